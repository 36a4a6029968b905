"""How large tiles are: as set, or what memory was seen to have room for."""

from __future__ import annotations

from napari_unet.config import LearnerConfig
from napari_unet.errors import OutOfMemoryError

__all__ = ["TileSizes"]

_SMALLEST_PX = 64
_MOST_FULL_PX = 2048  # probabilities of a tile are of the full image: 17 MB a class


class TileSizes:
    """Sides of tiles (px), of the image as the network sees it and as it is in full.

    Attributes
    ----------
    max_px
        What there was room for, of the image as the network sees it.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self._grid: int = 2**config.depth
        self._factor = config.downsampling
        self._stream_px = config.tiling.stream_tile_px
        self._set_px = config.tiling.tile_px
        if self._factor > 1:
            self._set_px = min(self._set_px, _MOST_FULL_PX // self._factor)
        self.max_px = self._set_px

    @property
    def px(self) -> int:
        """Of the image that the network sees; on its pooling grid."""
        return max(self.max_px // self._grid, 1) * self._grid

    @property
    def full_px(self) -> int:
        """Of the full image."""
        return self.px * self._factor

    @property
    def stream_px(self) -> int:
        """Of a full image that goes to disk, kept in no cache."""
        if self.max_px < self._set_px:  # memory has run out before
            return self.full_px
        return max(self._stream_px // self.full_px, 1) * self.full_px

    def halve(self, error: Exception) -> None:
        """Take smaller ones, because memory ran out.

        Raises
        ------
        OutOfMemoryError
            If they are as small as can be; ``error`` is its cause.
        """
        if self.max_px <= _SMALLEST_PX:
            raise OutOfMemoryError(
                f"memory ran out with tiles of {self.max_px} px: close other programs "
                "or images, or choose fewer base channels"
            ) from error
        self.max_px = max(self.max_px // 2, _SMALLEST_PX)
