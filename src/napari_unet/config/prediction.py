"""How images are tiled, and labels cut into objects."""

from __future__ import annotations

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["InstanceConfig", "TilingConfig"]

_MIN_SIZE_PX = 10


class InstanceConfig(Settings):
    """How labels are cut into objects: one id for each, touching ones come apart."""

    min_size_px: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        title="Smallest object (px)",
        description="Pieces with fewer pixels (voxels in a volume) than this are left "
        "out, and nothing smaller is cut off from an object. Automatic: a quarter of "
        "the size that nearly all of the painted objects exceed (5th percentile); "
        "10 px where fewer than three are painted: speckles go, objects of 5 px across "
        "(about 20 px) stay.",
    )
    split_strength: float = Field(
        0.8,
        ge=0,
        le=1,
        title="Split touching objects",
        description="Objects are cut apart at a neck narrower than this share of the "
        "smaller one's width. 0: never cut; 1: cut at any dent. 0.8 suits round nuclei "
        "(best near 0.9) and irregular cells (below 0.65) alike.",
    )
    fill_holes: bool = Field(
        True,
        title="Fill holes",
        description="Give background that lies within one object to that object. On, "
        "because a hole in a predicted object is mostly a mistake; gaps between "
        "several objects stay open.",
    )
    through_z: bool = Field(
        True,
        title="Objects through z",
        description="In a stack with a z axis, an object goes on in the planes above "
        "and below. Off: each plane has objects of its own, as time points always do.",
    )

    block_px: int = Field(
        1024,
        ge=32,
        le=8192,
        title="Block (px)",
        description="Side of the blocks that the objects of an image on disk are cut "
        "in, one after the other; in volumes a quarter of it, and less where "
        "a block would see more than 2^24 px. Memory grows with it: 1024 px stay below "
        "1 GB, and waste little on what blocks see twice.",
    )
    block_halo_px: int = Field(
        128,
        ge=4,
        le=2048,
        title="Halo of a block (px)",
        description="How far a block sees beyond itself; in volumes a quarter of it, "
        "and less where a block would see more than 2^24 px. What lies together within "
        "that reach is cut as in the whole image; of larger clumps, blocks see a part "
        "and have to agree. 128 is more than most cells.",
    )

    def size_px(self, painted_px: int | None = None) -> int:
        """Return what `min_size_px` comes to.

        ``painted_px`` is what automatic means where objects were painted, see
        `napari_unet.annotation.object_sizes.smallest_object_px`; None: not known.
        """
        automatic_px = _MIN_SIZE_PX if painted_px is None else painted_px
        return automatic_px if self.min_size_px is None else self.min_size_px

    def sized(self, painted_px: int | None) -> InstanceConfig:
        """Return these settings with a number for `min_size_px`, as in `size_px`."""
        return self.model_copy(update={"min_size_px": self.size_px(painted_px)})


class TilingConfig(Settings):
    """Overlap-tile prediction (the paper's figure 2)."""

    tile_px: int = Field(
        512,
        ge=32,
        le=8192,
        multiple_of=16,
        title="Tile (px)",
        description="Side of the part of a tile that is kept; the halo comes on top. "
        "Larger is faster, smaller needs less memory; 512 px suit a laptop.",
    )
    stream_tile_px: int = Field(
        1024,
        ge=32,
        le=8192,
        multiple_of=16,
        title="Tile of images on disk (px)",
        description="Side of a tile where a whole image is written to OME-Zarr tile by "
        "tile; rounded down to a multiple of the tile above. Larger wastes less on "
        "halos, smaller needs less memory; 1024 px stay below 1.5 GB.",
    )
