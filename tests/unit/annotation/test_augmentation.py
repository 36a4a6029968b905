import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unet.annotation.augmentation import augment, elastic_displacement
from napari_unet.config import AugmentationConfig
from napari_unet.core.losses import IGNORE_INDEX
from napari_unet.errors import AnnotationError

OFF = AugmentationConfig(
    flip=False, rotate=False, elastic_sigma_px=0, contrast=0, brightness=0, noise=0
)
# all of them at once, as strong as fits small images
ALL = AugmentationConfig(
    flip=True,
    rotate=True,
    elastic_sigma_px=4,
    contrast=0.2,
    brightness=0.2,
    noise=0.05,
)


def _only(**settings):
    return OFF.model_copy(update=settings)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _blobs(n, height, width, seed=0):
    """Return smooth images (n, 1, H, W) with values about 0..10."""
    coarse = torch.rand((n, 1, 5, 5), generator=_generator(seed)) * 10
    return torch.nn.functional.interpolate(
        coarse, size=(height, width), mode="bicubic", align_corners=True
    )


def test_everything_off_is_the_identity():
    images, targets = _blobs(3, 16, 16), torch.randint(-1, 3, (3, 16, 16))
    new_images, new_targets = augment(images, targets, OFF, _generator())
    torch.testing.assert_close(new_images, images, rtol=0, atol=0)
    torch.testing.assert_close(new_targets, targets, rtol=0, atol=0)


@pytest.mark.parametrize(
    "config",
    [
        _only(flip=True),
        _only(rotate=True),
        _only(flip=True, rotate=True),
    ],
)
@pytest.mark.parametrize("shape", [(16, 16), (16, 24)])
def test_turns_move_image_and_target_together_exactly(config, shape):
    targets = torch.randint(-1, 50, (16, *shape), generator=_generator())
    images = targets[:, None].float()
    new_images, new_targets = augment(images, targets, config, _generator(1))
    torch.testing.assert_close(new_images[:, 0].long(), new_targets, rtol=0, atol=0)
    assert new_images.shape == images.shape
    assert not torch.equal(new_targets, targets)


def _motions(patch, config, n=400):
    """Return how often each distinct result comes out of ``n`` draws."""
    targets = patch.expand(n, *patch.shape)
    _, moved = augment(targets[:, None].float(), targets, config, _generator())
    kinds, counts = np.unique(moved.flatten(1).numpy(), axis=0, return_counts=True)
    return {tuple(kind): count for kind, count in zip(kinds, counts, strict=True)}


def test_rotations_are_the_four_of_rot90_equally_often():
    patch = torch.arange(9).view(3, 3)
    found = _motions(patch, _only(rotate=True))
    expected = {tuple(torch.rot90(patch, k).flatten().tolist()) for k in range(4)}
    assert found.keys() == expected
    assert min(found.values()) > 60


def test_flips_and_rotations_are_the_eight_of_the_square_equally_often():
    patch = torch.arange(9).view(3, 3)
    found = _motions(patch, _only(rotate=True, flip=True))
    assert len(found) == 8
    assert min(found.values()) > 25


def test_flips_alone_are_four_and_never_turn():
    patch = torch.arange(9).view(3, 3)
    found = _motions(patch, _only(flip=True))
    expected = {
        tuple(patch.flip(axes).flatten().tolist()) for axes in ((), (0,), (1,), (0, 1))
    }
    assert found.keys() == expected


def test_oblong_patches_turn_by_180_degrees_only():
    patch = torch.arange(6).view(2, 3)
    found = _motions(patch, _only(rotate=True))
    assert found.keys() == {tuple(range(6)), tuple(range(6))[::-1]}


def test_elastic_moves_image_and_target_together():
    images = _blobs(4, 96, 96)
    targets = images[:, 0].round().long()
    config = _only(elastic_sigma_px=6)
    new_images, new_targets = augment(images, targets, config, _generator())
    assert (new_targets != targets).float().mean() > 0.1  # it did move
    # the image is sampled between pixels, the target at the nearest one: they differ
    # by the rounding and at most a pixel's slope
    slope = (images.diff(dim=-1).abs().max() + images.diff(dim=-2).abs().max()).item()
    error = (new_images[:, 0] - new_targets).abs().max().item()
    assert error <= 0.5 + slope


def test_elastic_agrees_with_the_displacement_field():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images = torch.stack([y, x])[None]
    config = _only(elastic_sigma_px=2)
    moved, _ = augment(
        images, torch.zeros(1, 64, 64, dtype=torch.long), config, _generator(3)
    )
    field = elastic_displacement(1, (64, 64), 2, config.elastic_grid, _generator(3))
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    expected = (images + field)[inner]
    torch.testing.assert_close(moved[inner], expected, rtol=0, atol=1e-3)


def test_targets_come_from_the_nearest_pixel():
    x = torch.arange(64).expand(2, 64, 64)
    y = x.transpose(1, 2)
    config = _only(elastic_sigma_px=2)
    for target in (x, y):
        images = target[:, None].float()
        moved, moved_target = augment(images, target, config, _generator())
        error = (moved[:, 0] - moved_target)[:, 12:-12, 12:-12]
        assert error.abs().max() <= 0.5 + 1e-3
        assert error.min() < -0.4
        assert error.max() > 0.4


def test_elastic_brings_no_new_target_value():
    targets = torch.full((4, 64, 64), IGNORE_INDEX)
    targets[:, 10:20, 10:50] = 2
    targets[:, 40:50, 10:50] = 7
    config = _only(elastic_sigma_px=10)
    _, moved = augment(torch.zeros(4, 1, 64, 64), targets, config, _generator())
    assert moved.dtype == torch.int64
    assert set(moved.unique().tolist()) == {IGNORE_INDEX, 2, 7}


@pytest.mark.parametrize("sigma_px", [4.0, 50.0])
def test_beyond_the_border_the_image_is_mirrored(sigma_px):
    images = torch.rand((8, 1, 32, 32), generator=_generator()) + 3
    targets = torch.full((8, 32, 32), 1)
    config = _only(elastic_sigma_px=sigma_px)
    moved, moved_targets = augment(images, targets, config, _generator())
    assert moved.min() >= 3 - 1e-4  # zeros from beyond the border would show
    assert moved.max() <= 4 + 1e-4
    assert (moved_targets == 1).all()


def test_mirroring_is_numpys_reflect():
    from napari_unet.annotation.augmentation import _mirror

    padded = np.pad(np.arange(5), 8, mode="reflect")
    positions = torch.arange(-8, 13).float()
    assert _mirror(positions, 5).tolist() == padded.tolist()
    assert (_mirror(positions, 1) == 0).all()


def test_displacement_has_the_std_asked_for_at_the_nodes():
    field = elastic_displacement(2000, (33, 65), 7.0, 3, _generator())
    assert field.shape == (2000, 2, 33, 65)
    assert field.dtype == torch.float32
    nodes = field[:, :, ::16, ::32]
    assert nodes.shape[2:] == (3, 3)
    stds = nodes.std(dim=0)
    torch.testing.assert_close(stds, torch.full_like(stds, 7.0), rtol=0.07, atol=0)
    assert nodes.mean().abs() < 0.2
    # neighbouring nodes are drawn independently
    correlation = torch.corrcoef(nodes.flatten(1).T)
    assert (correlation - torch.eye(18)).abs().max() < 0.12


def test_displacement_is_smooth():
    field = elastic_displacement(50, (129, 129), 4.0, 3, _generator())
    assert field.diff(dim=-1).abs().max() < 1  # no folding at the default strength


def _cubic(distance):
    """The kernel of cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711)."""
    a, d = -0.75, np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _bicubic(nodes, shape):
    """Interpolate nodes (G, G), of which the outermost are at the corner pixels."""
    padded = np.pad(nodes, 2, mode="edge")
    last = len(nodes) - 1
    rows, columns = (
        _cubic(
            np.linspace(0, last, n)[:, None] - np.arange(-2, len(nodes) + 2)
        )  # (n, G + 4)
        for n in shape
    )
    return rows @ padded @ columns.T


@pytest.mark.parametrize("shape", [(57, 57), (40, 33)])
def test_displacements_are_bicubic_between_the_nodes(shape):
    sigma_px, grid = 10.0, 3
    field = elastic_displacement(4, shape, sigma_px, grid, _generator(2)).numpy()
    nodes = sigma_px * torch.randn((4, 2, grid, grid), generator=_generator(2))
    for vectors, of_patch in zip(nodes.numpy(), field, strict=True):
        for component, found in zip(vectors, of_patch, strict=True):
            expected = _bicubic(component.astype(float), shape)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            # the corner pixels and the middle have the nodes' own vectors
            np.testing.assert_allclose(
                found[:: shape[0] - 1, :: shape[1] - 1], component[::2, ::2], rtol=1e-5
            )


def test_displacements_are_near_those_of_a_cubic_spline():
    """Another bicubic method, by another library: they differ between the nodes."""
    field = elastic_displacement(50, (41, 41), 10.0, 3, _generator(2)).numpy()
    splines = ndimage.zoom(
        field[:, :, ::20, ::20], (1, 1, 41 / 3, 41 / 3), order=3, mode="nearest"
    )
    assert splines.shape == field.shape
    assert np.corrcoef(splines.ravel(), field.ravel())[0, 1] > 0.98
    assert np.sqrt(np.mean((splines - field) ** 2)) < 0.2 * 10


def test_zero_sigma_displaces_nothing():
    assert (elastic_displacement(2, (9, 9), 0.0, 3, _generator()) == 0).all()


def test_contrast_is_a_factor_per_patch_within_its_range():
    images = torch.ones(500, 2, 4, 4)
    changed, _ = augment(
        images, torch.zeros(500, 4, 4).long(), _only(contrast=0.2), _generator()
    )
    factors = changed[:, 0, 0, 0]
    assert (changed == factors[:, None, None, None]).all()
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2


def test_brightness_is_a_shift_per_patch_within_its_range():
    images = torch.rand((500, 1, 4, 4), generator=_generator())
    changed, _ = augment(
        images, torch.zeros(500, 4, 4).long(), _only(brightness=0.3), _generator(1)
    )
    shifts = changed - images
    assert shifts.flatten(1).std(dim=1).max() < 1e-6
    assert shifts.min() >= -0.3 - 1e-6
    assert shifts.max() <= 0.3 + 1e-6
    assert shifts.std() == pytest.approx(0.3 / 3**0.5, rel=0.1)


def test_noise_has_its_std():
    images = torch.zeros(4, 1, 64, 64)
    changed, _ = augment(
        images, torch.zeros(4, 64, 64).long(), _only(noise=0.1), _generator()
    )
    assert changed.std() == pytest.approx(0.1, rel=0.05)
    assert changed.mean().abs() < 0.01


def test_the_generator_decides_everything():
    config = AugmentationConfig()
    images, targets = _blobs(4, 32, 32), torch.randint(-1, 3, (4, 32, 32))
    first = augment(images, targets, config, _generator(5))
    torch.rand(7)  # the global generator must not matter
    again = augment(images, targets, config, _generator(5))
    other = augment(images, targets, config, _generator(6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    images, targets = _blobs(2, 16, 16), torch.zeros(2, 16, 16).long()
    augment(images, targets, ALL, _generator())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_inputs_are_not_written_to_and_patches_differ():
    one = _blobs(1, 32, 32)
    images, targets = one.repeat(4, 2, 1, 1), torch.ones(4, 32, 32).long()
    before = images.clone()
    changed, _ = augment(images, targets, ALL, _generator())
    assert torch.equal(images, before)
    assert (targets == 1).all()
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert len({patch.sum().item() for patch in changed}) == 4


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AnnotationError, match=r"\(2, 1, 8, 8\).*\(2, 8, 9\)"):
        augment(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 9).long(), OFF, _generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_gives_the_same_patches():
    images, targets = _blobs(4, 32, 32), torch.randint(-1, 3, (4, 32, 32))
    on_cpu = augment(images, targets, ALL, _generator())
    on_gpu = augment(images.cuda(), targets.cuda(), ALL, _generator())
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], rtol=0, atol=1e-3)
    assert (on_gpu[1].cpu() == on_cpu[1]).float().mean() > 0.999


def test_the_planes_of_a_slab_change_together():
    planes = torch.stack([_blobs(6, 16, 16)] * 3, dim=2)  # (6, 1, 3, 16, 16)
    planes = planes + torch.arange(3.0).view(3, 1, 1) * 100
    targets = torch.randint(-1, 3, (6, 16, 16))
    config = _only(flip=True, rotate=True)
    slabs, moved = augment(planes, targets, config, _generator())
    assert slabs.shape == planes.shape
    flat, moved_alone = augment(planes[:, :, 1], targets, config, _generator())
    torch.testing.assert_close(slabs[:, :, 1], flat, rtol=0, atol=0)
    assert torch.equal(moved, moved_alone)
    steps = (slabs[:, :, 1:] - slabs[:, :, :-1]).flatten(1)
    # all planes moved alike, and some slabs were turned upside down
    torch.testing.assert_close(
        steps.abs(), torch.full_like(steps, 100), rtol=1e-4, atol=0
    )
    assert {step.sign().unique().tolist()[0] for step in steps} == {-1.0, 1.0}


def test_slabs_stay_as_they_are_where_flips_are_off():
    slabs, targets = torch.randn(4, 2, 5, 8, 8), torch.randint(-1, 3, (4, 8, 8))
    assert torch.equal(augment(slabs, targets, OFF, _generator())[0], slabs)
