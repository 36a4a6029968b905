"""A network with its head as one module: from a whole image to class probabilities.

It gives what `Learner.predict_probabilities` gives, without tiles and without this
package's classes around it, so that other programs can run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.annotation.objects import BORDER, shown_value, shown_values
from napari_unet.core.head import RidgeHead
from napari_unet.core.unet import UNet
from napari_unet.export.portable_scaling import Scaling, as_tensor
from napari_unet.inference.prediction import SHARES
from napari_unet.learning.candidates import Network

__all__ = ["PortableNetwork"]

Size = Any  # an int, or a symbol of one while a network is exported


class PortableNetwork(nn.Module):
    """Maps images (B, C, Y, X) to probabilities (B, K, Y, X), whatever their size.

    Of a network that sees the planes around: (B, C, Z, Y, X) to (B, K, Z, Y, X). Each
    item of a batch is normalised by itself. Weights are standardised once and for all.

    Parameters
    ----------
    network, head
        The chosen network and its closed-form head.
    values
        The head's classes; of annotated objects, the border is merged into objects.
    of_objects
        Whether objects were annotated.
    downsampling
        Pixels of the image along Y and X for one that the network sees.
    is_scaled
        See `Scaling`.

    Attributes
    ----------
    classes
        Values of the K classes that come out.
    """

    merging: Tensor

    def __init__(
        self,
        network: Network,
        head: RidgeHead,
        values: Sequence[int],
        *,
        of_objects: bool = False,
        downsampling: int = 1,
        is_scaled: bool = False,
    ) -> None:
        super().__init__()
        self.scaling = Scaling(is_scaled)
        self.downsampling = downsampling
        self.unet = _plain(network.unet)
        self.n_levels = network.n_levels
        weights = torch.from_numpy(head.weights * head.temperature).T.contiguous()
        n_channels = self.unet.config.in_channels
        of_scale = [*self.unet.config.channels[: self.n_levels]]
        self.sizes = [*of_scale * network.n_scales, n_channels]
        self.is_used = [
            bool(part.any()) for part in torch.split(weights, self.sizes, 1)
        ]
        self.weight = nn.Parameter(weights)  # (K, F)
        self.bias = nn.Parameter(torch.from_numpy(head.bias * head.temperature))
        self.is_merged = of_objects and BORDER in values
        self.classes = shown_values(values) if self.is_merged else tuple(values)
        if self.is_merged:
            shown = torch.tensor([int(shown_value(value)) for value in values])
            merging = torch.tensor(self.classes)[:, None] == shown
            shares = torch.tensor([SHARES[value] for value in values])
            self.register_buffer("merging", merging * shares)
        self.eval().requires_grad_(False)

    @property
    def ndim(self) -> int:
        """Spatial axes: 2, or 3 where the network sees the planes around."""
        return 3 if self.unet.planes_around else 2

    @property
    def n_scales(self) -> int:
        """Sizes of the image that are looked at; what no class weighs is left out."""
        n_maps = max(
            (i + 1 for i, used in enumerate(self.is_used[:-1]) if used), default=1
        )
        return -(-n_maps // self.n_levels)

    @property
    def reach_px(self) -> int:
        """How far around a pixel it looks (px of the image)."""
        # to the pooling grid, and as far as interpolation looks
        reach: int = (self.unet.halo_px + 2 * self.unet.grid_px) << (self.n_scales - 1)
        return reach * self.downsampling

    @property
    def grid_px(self) -> int:
        """Tiles whose corners lie on multiples of this give the same (px)."""
        grid: int = self.unet.grid_px << (self.n_scales - 1)
        return grid * self.downsampling

    def forward(self, image: Tensor) -> Tensor:
        """Return the probabilities."""
        size = image.shape[2:]
        x = _block_means(image, self.downsampling)
        logits = self._logits(self.scaling(x))
        found = logits.softmax(dim=1)
        if self.downsampling > 1:
            found = _enlarged(found, self.downsampling)
            # a slice would be laid out in memory as the size has it, and torch.export
            # would hold every image to the layout of its example
            for axis in (-2, -1):
                found = found.index_select(axis, torch.arange(size[axis]))
        if self.is_merged:
            found = torch.einsum("sk,bk...->bs...", self.merging, found)
            found = found / found.sum(dim=1, keepdim=True)
        return found

    def _logits(self, image: Tensor) -> Tensor:
        """Return scores (B, K, *S) of normalised images (B, C, *S)."""
        height, width = image.shape[-2:]
        *per_map, of_image = torch.split(self.weight, self.sizes, 1)
        total = _mixed(_planes_as_batch(image), of_image) + self.bias[:, None, None]
        image_or_slab = image if image.ndim == 4 else self._slab(image)
        for scale in range(self.n_scales):
            first = scale * self.n_levels
            rows, top = self._seen(height, 2**scale)
            columns, left = self._seen(width, 2**scale)
            seen = image_or_slab.index_select(-2, rows).index_select(-1, columns)
            maps = self._maps(seen, 2**scale)
            for level in range(self.n_levels):
                if not self.is_used[first + level]:
                    continue
                scores = _mixed(maps[level], per_map[first + level])
                scores = _enlarged(scores, 2 ** (level + scale))
                y, x = (n - (self._outset_px(level) << scale) for n in (top, left))
                total = total + scores[..., y : y + height, x : x + width]
        return _planes_of_batch(total, image)

    def _slab(self, image: Tensor) -> Tensor:
        """Return a volume with mirrored planes around it."""
        n, around = image.shape[2], self.unet.planes_around
        return image.index_select(2, _mirrored(-around, n + around, n))

    def _maps(self, seen: Tensor, scale: int) -> list[Tensor]:
        """Return the network's maps of images or slabs at a fraction of their size."""
        if seen.ndim == 4:
            return self.unet.features(F.avg_pool2d(seen, scale))
        return self.unet.plane_features(F.avg_pool3d(seen, (1, scale, scale)))

    def _seen(self, n: Size, scale: int) -> tuple[Tensor, int]:
        """Return the pixels of an axis that the network sees, and where 0 lies there.

        As for one tile in `napari_unet.inference.maps`: mirrored at the image's border.
        """
        unet, grid = self.unet, self.unet.grid_px
        n_cells = (n + scale - 1) // scale
        if unet.is_padded:
            before = max(2 * grid, 32)
            stop = (n_cells + before + grid - 1) // grid * grid
        else:
            n_in, smallest = unet.valid_input_px(1)
            crop = (n_in - smallest) // 2
            rim = grid if scale > 1 else 0  # for interpolation
            before = crop + rim
            n_out = n_cells + 2 * rim
            n_out = (n_out - smallest + grid - 1) // grid * grid + smallest
            stop = n_out - rim + crop
        return _mirrored(-before * scale, stop * scale, n), before * scale

    def _outset_px(self, level: int) -> int:
        """How far inside its input a level's map begins (px)."""
        unet = self.unet
        if unet.is_padded:
            return 0
        n_in, n_out = unet.valid_input_px(1)
        outset: int = (n_in - n_out) // 2 - unet.feature_crop_px(level)
        return outset


def _plain(unet: UNet) -> UNet:
    """Return a copy on the CPU whose convolutions have their weights standardised."""
    plain = deepcopy(unet).cpu().float().eval()
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for name, module in list(plain.named_modules()):
        if not hasattr(module, "standardised_weight"):
            continue
        conv = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.Conv3d
        layer: Any = conv(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            padding=module.padding,
        )
        with torch.no_grad():
            layer.weight.copy_(module.standardised_weight())
            layer.bias.copy_(module.bias)
        parent, _, last = name.rpartition(".")
        setattr(plain.get_submodule(parent), last, layer)
    return plain


def _mirrored(start: Size, stop: Size, n: Size) -> Tensor:
    """Return the indices start..stop, folded back into 0..n-1 at both borders."""
    period = as_tensor(n) * 2 - 2  # no ONNX operator divides by a symbol
    folded = torch.arange(start, stop).abs() % period.clamp(min=1)
    return torch.where(folded >= n, period - folded, folded)


def _planes_as_batch(image: Tensor) -> Tensor:
    """Return each plane of (B, C, Z, Y, X) as one item of a batch."""
    return image if image.ndim == 4 else image.transpose(1, 2).flatten(0, 1)


def _planes_of_batch(flat: Tensor, image: Tensor) -> Tensor:
    """Undo `_planes_as_batch` for what was made of the planes of ``image``."""
    if image.ndim == 4:
        return flat
    planes = flat.reshape(image.shape[0], image.shape[2], *flat.shape[1:])
    return planes.transpose(1, 2)


def _mixed(maps: Tensor, weights: Tensor) -> Tensor:
    """Apply weights (K, C) to the channels of (B, C, Y, X)."""
    return F.conv2d(maps, weights[:, :, None, None])


def _enlarged(x: Tensor, factor: int) -> Tensor:
    """Upsample (B, K, [Z,] Y, X) along Y and X, each pixel to ``factor`` a side."""
    if factor == 1:
        return x
    flat = _planes_as_batch(x)
    flat = F.interpolate(
        flat, scale_factor=float(factor), mode="bilinear", align_corners=False
    )
    return _planes_of_batch(flat, x)


def _block_means(image: Tensor, factor: int) -> Tensor:
    """Return the means of blocks, smaller at the far borders, of what is a number."""
    if factor == 1:
        return image
    rest = [(factor - n % factor) % factor for n in image.shape[-2:]]
    is_number = torch.isfinite(image)
    padding = (0, rest[1], 0, rest[0])
    sums, counts = (
        _block_sums(F.pad(part, padding), factor)
        for part in (torch.where(is_number, image, 0), is_number.to(image.dtype))
    )
    return torch.where(counts > 0, sums / counts.clamp(min=1), torch.nan)


def _block_sums(x: Tensor, factor: int) -> Tensor:
    flat = F.avg_pool2d(_planes_as_batch(x), factor) * factor**2
    return _planes_of_batch(flat, x)
