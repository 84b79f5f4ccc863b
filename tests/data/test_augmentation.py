"""x"""

import io
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter
from torch import Tensor

from data.augmentation import (
    _AXES,
    _DEVIATIONS,
    BEST_JPEG,
    MOST_WARP,
    Augmentation,
    Draws,
    blur,
    compress,
    occlude,
    place,
    recolour,
    shrink,
    training_augmentation,
)
from data.errors import ArgumentError

_NOTHING = {
    field.name: 0.0
    for field in fields(Augmentation)
    if field.name not in {"jpeg_quality", "lowest_resolution"}
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**changes: float) -> Augmentation:
    return Augmentation(**{**_NOTHING, **changes})


def augmented(images: Tensor, strength: Augmentation, seed: int = 0) -> Tensor:
    size = (images.shape[2], images.shape[3])
    return training_augmentation(size, generator=generator(seed), strength=strength)(images)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 20, 16, generator=generator(9))


def test_no_strength_changes_nothing(images: Tensor):
    before = images.clone()
    unchanged = augmented(images, only())
    assert torch.equal(unchanged, before)
    assert unchanged.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", [field.name for field in fields(Augmentation)])
def test_the_batch_that_is_given_is_left_as_it_was(images: Tensor, name: str):
    before = images.clone()
    augmented(images, Augmentation(**{name: 1 if name not in {"crop", "warp"} else 0.1}))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["blur", "low_resolution", "jpeg", "occlusion"])
def test_what_happens_to_some_images_leaves_the_others_as_they_would_be(name: str):
    images = torch.rand(64, 3, 24, 24, generator=generator(3))
    without = augmented(images, replace(Augmentation(), **{name: 0.0}))
    differs = (without != augmented(images, replace(Augmentation(), **{name: 0.3}))).flatten(1)
    assert 8 < differs.any(dim=1).sum() < 32  # 19 are expected


@pytest.mark.parametrize("name", ["warp", "pca_colour", "rotation", "brightness"])
def test_one_more_change_leaves_the_other_draws_alone(name: str):
    """An all but invisible strength gives all but the same result as none."""
    images = torch.rand(8, 3, 24, 24, generator=generator(4))
    with_all = replace(Augmentation(), jpeg=0.0)  # whose rounding is no small change
    none = augmented(images, replace(with_all, **{name: 0.0}))
    some = augmented(images, replace(with_all, **{name: 1e-6}))
    assert torch.allclose(none, some, atol=1e-4)


def test_mirroring_exchanges_left_and_right(images: Tensor):
    assert torch.allclose(augmented(images, only(mirror=1.0)), images.flip(3), atol=1e-5)


def test_about_half_is_mirrored():
    images = torch.linspace(0, 1, 8).expand(2000, 3, 8, 8)
    mirrored = augmented(images, only(mirror=0.5))
    share = (mirrored[:, 0, 0, 0] > 0.5).float().mean()
    assert abs(share - 0.5) < 0.05


def test_a_turn_keeps_circles_round_and_the_centre_in_place():
    # A bright dot, far from the centre, on a picture that is not square.
    images = torch.zeros(400, 3, 41, 61)
    images[:, :, 20, 45] = 1  # 15 pixels right of the centre
    turned = augmented(images, only(rotation=90.0))[:, 0]
    y, x = torch.meshgrid(torch.arange(41.0), torch.arange(61.0), indexing="ij")
    mass = turned.sum((1, 2))
    radius = torch.hypot((turned * x).sum((1, 2)) / mass - 30, (turned * y).sum((1, 2)) / mass - 20)
    assert torch.allclose(radius, torch.full_like(radius, 15.0), atol=0.3)


def test_a_turn_stays_within_its_limit():
    images = torch.zeros(400, 3, 41, 41)
    images[:, :, 20, 38] = 1
    turned = augmented(images, only(rotation=10.0))[:, 0]
    rows = (turned * torch.arange(41.0).view(-1, 1)).sum((1, 2)) / turned.sum((1, 2)) - 20
    furthest = rows.abs().max()
    assert 18 * math.sin(math.radians(8)) < furthest <= 18 * math.sin(math.radians(10)) + 0.1


def test_a_crop_shows_part_of_the_picture_without_its_outside():
    ramp = torch.linspace(0, 1, 64).expand(200, 3, 64, 64)
    cropped = augmented(ramp, only(crop=0.5))
    span = cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]
    assert (span > 0.45).all()
    assert (span < 1.001).all()
    assert (cropped.diff(dim=3) > 0).all()  # no repeated border inside


def test_the_size_is_the_one_asked_for(images: Tensor):
    augment = training_augmentation((10, 30), generator=generator())
    assert augment(images).shape == (6, 3, 10, 30)


def test_without_colour_all_channels_agree(images: Tensor):
    grey = augmented(images, only(grey=1.0))
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)


def test_colour_changes_each_image_by_its_own_amount():
    images = torch.full((50, 3, 4, 4), 0.5)
    bright = augmented(images, only(brightness=0.2))
    values = bright[:, 0, 0, 0]
    assert values.unique().numel() > 40
    assert (values >= 0.4).all()
    assert (values <= 0.6).all()


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_values_stay_within_range_and_the_seed_decides(seed: int):
    images = torch.rand(3, 3, 12, 12, generator=generator(seed))
    strong = Augmentation(
        rotation=180,
        crop=0.9,
        warp=0.1,
        brightness=1,
        contrast=1,
        saturation=1,
        grey=0.5,
        pca_colour=1,
        blur=0.5,
        blur_sigma=4,
        low_resolution=0.5,
        lowest_resolution=0.01,
        jpeg=0.5,
        jpeg_quality=1,
        occlusion=0.5,
        occlusion_area=1,
    )
    result = augmented(images, strong, seed)
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(result, augmented(images, strong, seed))


def test_the_generator_s_state_carries_on(images: Tensor):
    own = generator()
    augment = training_augmentation((20, 16), generator=own)
    augment(images)
    state = own.get_state()
    expected = augment(images)
    own.set_state(state)
    assert torch.equal(augment(images), expected)


def test_the_global_generator_is_left_alone(images: Tensor):
    before = torch.get_rng_state()
    augmented(images, Augmentation())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"mirror": 1.1},
        {"rotation": -1},
        {"rotation": 181},
        {"crop": 1},
        {"grey": float("nan")},
        {"warp": 0.11},
        {"pca_colour": -0.1},
        {"blur": 2},
        {"blur_sigma": 17},
        {"low_resolution": -1},
        {"lowest_resolution": 0},
        {"jpeg": 1.5},
        {"jpeg_quality": 0},
        {"jpeg_quality": 96},
        {"occlusion": float("inf")},
        {"occlusion_area": 1.1},
    ],
)
def test_strengths_out_of_range_are_refused(changes: dict[str, float]):
    with pytest.raises(ArgumentError, match="expected"):
        Augmentation(**changes)


LUMA = np.array([0.299, 0.587, 0.114])


def recoloured(images: Tensor, seed: int = 0, **strengths: float) -> Tensor:
    nothing = dict.fromkeys(("brightness", "contrast", "saturation", "grey", "pca_colour"), 0.0)
    draws = Draws(len(images), torch.Generator().manual_seed(seed))
    return recolour(images, draws, **nothing | strengths)


def test_one_matrix_does_what_one_change_after_another_does():
    images = torch.rand(20, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    limits = {"brightness": 0.5, "contrast": 0.6, "saturation": 0.7, "pca_colour": 0.2}
    result = recoloured(images, grey=0.3, **limits).numpy()
    draws = Draws(20, torch.Generator().manual_seed(0))
    brightness, contrast, saturation = (
        1 + draws.around_zero(name, limits[name]).numpy()
        for name in ("brightness", "contrast", "saturation")
    )
    saturation[draws.chosen("grey", 0.3).numpy()] = 0
    assert 0 < (saturation == 0).sum() < 20
    shares = torch.randn((20, 3), generator=draws.stream("pca_colour")).numpy() * 0.2
    for i, image in enumerate(images.double().numpy()):
        changed = image * brightness[i]
        middle = np.tensordot(LUMA, changed, 1).mean()
        changed = middle + (changed - middle) * contrast[i]
        hue = sum(shares[i, k] * _DEVIATIONS[k] * np.array(_AXES[k]) for k in range(3))
        changed = changed + hue[:, None, None]
        grey = np.tensordot(LUMA, changed, 1)
        changed = grey + (changed - grey) * saturation[i]
        assert np.abs(result[i] - changed.clip(0, 1)).max() < 1e-5


def test_colours_move_along_the_axes_of_faces():
    """The covariance of the moves is the colours' own, scaled."""
    images = torch.full((20_000, 3, 1, 1), 0.5)
    moves = (recoloured(images, pca_colour=0.1) - 0.5).flatten(1).double().numpy()
    axes, deviations = np.array(_AXES), np.array(_DEVIATIONS)
    expected = 0.01 * axes.T @ np.diag(deviations**2) @ axes
    assert np.abs(np.cov(moves.T) - expected).max() < 0.03 * expected.max()


def test_the_axes_are_orthonormal():
    axes = np.array(_AXES)
    assert np.abs(axes @ axes.T - np.eye(3)).max() < 2e-3


def test_a_grey_image_stays_grey_whatever_the_hue():
    images = torch.rand(30, 3, 4, 4)
    changed = recoloured(images, grey=1.0, pca_colour=1.0, brightness=0.5)
    assert torch.allclose(changed[:, 0], changed[:, 2], atol=1e-6)
    assert torch.allclose(changed[:, 0], changed[:, 1], atol=1e-6)


def test_an_image_does_not_depend_on_its_neighbours():
    images = torch.rand(4, 3, 8, 8)
    others = torch.cat([images[:1], torch.zeros(3, 3, 8, 8)])
    strengths = {"brightness": 0.3, "contrast": 0.3, "pca_colour": 0.3}
    first, same = recoloured(images, **strengths)[0], recoloured(others, **strengths)[0]
    assert torch.allclose(first, same, atol=1e-6)


def placed(images: Tensor, *, size: tuple[int, int] | None = None, **strengths: float) -> Tensor:
    nothing = {"mirror": 0.0, "rotation": 0.0, "crop": 0.0, "warp": 0.0}
    draws = Draws(len(images), torch.Generator().manual_seed(0))
    return place(images, size or (images.shape[2], images.shape[3]), draws, **nothing | strengths)


def positions(count: int, side: int) -> Tensor:
    """Images whose red is each pixel's column and whose green is its row."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    one = torch.stack([columns, rows, torch.zeros_like(rows)]).float()
    return one.expand(count, 3, side, side)


def test_nothing_returns_the_very_images():
    images = positions(2, 9)
    assert placed(images) is images


def test_a_mirror_alone_copies_pixels():
    images = torch.rand(3, 3, 8, 9)
    assert torch.equal(placed(images, mirror=1.0), images.flip(3))


def test_a_warp_moves_points_smoothly_and_never_too_far():
    side = 64
    before = positions(50, side)
    moved = (placed(before, warp=0.05) - before)[:, :2, 8:-8, 8:-8] / side
    assert moved.abs().max() <= 0.05
    assert 0.005 < moved.std() < 0.05
    bend = moved.diff(dim=3).diff(dim=3).abs().max()
    assert bend < 0.05 * (4 * 4 / side) ** 2 * 4  # a cubic spline's second difference
    assert moved.mean(dim=(2, 3)).std() < moved.std()  # a warp, not a shift


def test_the_strongest_warp_folds_nowhere():
    """The Jacobian of the map stays positive, even where all offsets are at their limit."""
    warped = placed(positions(200, 64), warp=MOST_WARP)[:, :2, 8:-8, 8:-8]
    across, down = warped.diff(dim=3)[:, :, :-1], warped.diff(dim=2)[:, :, :, :-1]
    jacobian = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    assert jacobian.min() > 0


@pytest.mark.parametrize("size", [(40, 40), (40, 56)])
def test_a_warp_is_the_b_spline_of_its_offsets(size: tuple[int, int]):
    height, width = size
    images = positions(1, 200)
    field = (placed(images, size=size, warp=0.04) - placed(images, size=size))[0, :2] / 200
    stream = Draws(1, torch.Generator().manual_seed(0)).stream("warp")
    offsets = (torch.rand((1, 2, 7, 7), generator=stream)[0].double() * 2 - 1) * 0.04
    knots = np.arange(-3.0, 8.0)
    down = BSpline.design_matrix((np.arange(height) + 0.5) * 4 / height, knots, 3).toarray()
    across = BSpline.design_matrix((np.arange(width) + 0.5) * 4 / width, knots, 3).toarray()
    expected = down @ offsets.numpy() @ across.T
    inside = np.s_[:, 3:-3, 3:-3]  # the border is repeated outside of the picture
    assert np.abs(field.numpy() - expected)[inside].max() < 1e-5


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(count, torch.Generator().manual_seed(seed))


def smooth(count: int, side: int = 40) -> Tensor:
    """Smooth pictures, as photographs are."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(5))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return fine.clamp(0, 1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_many_are_chosen_as_the_probability_says(share: float):
    chosen = draws(4000).chosen("blur", share)
    assert abs(len(chosen) / 4000 - share) < 0.03
    assert torch.equal(chosen, chosen.unique())


def test_kinds_have_streams_of_their_own():
    own = draws(1000)
    assert torch.equal(own.shares("blur"), draws(1000).shares("blur"))
    together = torch.stack([own.shares("blur"), own.shares("jpeg"), draws(1000, 1).shares("blur")])
    assert (torch.corrcoef(together) - torch.eye(3)).abs().max() < 0.12


def test_a_blur_is_the_gaussian_of_its_width():
    images = torch.rand(6, 3, 31, 25, generator=torch.Generator().manual_seed(2))
    blurred = images.clone()
    blur(blurred, draws(6), probability=1.0, sigma=3.0)
    sigmas = draws(6).shares("blur sigma") * 3
    for before, after, sigma in zip(images, blurred, sigmas.tolist(), strict=True):
        for plane, result in zip(before.numpy(), after.numpy(), strict=True):
            expected = gaussian_filter(plane, sigma, mode="nearest", radius=9)
            assert np.abs(result - expected).max() < 1e-5


def test_a_blur_of_nearly_no_width_changes_nothing():
    images = torch.rand(4, 3, 9, 9)
    blurred = images.clone()
    blur(blurred, draws(4), probability=1.0, sigma=1e-5)
    assert torch.allclose(blurred, images)


def test_shrinking_loses_what_is_fine_and_keeps_what_is_coarse():
    coarse = smooth(8)
    fine = torch.stack([torch.ones(40), torch.zeros(40)], dim=1).flatten()[:40]
    stripes = fine.expand(8, 3, 40, 40).clone()
    shrunk, flat = coarse.clone(), stripes.clone()
    shrink(shrunk, draws(8), probability=1.0, least=0.2)
    shrink(flat, draws(8), probability=1.0, least=0.2)
    small = draws(8).shares("low_resolution share") < 0.3  # at most 0.44 of each side
    assert small.any()
    assert (shrunk - coarse).abs().mean() < 0.05
    assert flat[small].std(dim=3).max() < 0.2 < stripes.std(dim=3).min()


def test_at_full_size_nothing_is_shrunk():
    images = torch.rand(4, 3, 9, 9)
    same = images.clone()
    shrink(same, draws(4), probability=1.0, least=1.0)
    assert torch.equal(same, images)


def test_jpeg_leaves_its_own_traces():
    images = (smooth(6) * 255).round() / 255
    spoilt = images.clone()
    compress(spoilt, draws(6), probability=1.0, quality=10)
    qualities = (10 + draws(6).shares("jpeg quality") * (BEST_JPEG - 9)).long().tolist()
    for before, after, quality in zip(images, spoilt, qualities, strict=True):
        assert 10 <= quality <= BEST_JPEG
        file = io.BytesIO()
        pixels = (before * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        expected = np.array(Image.open(file))
        assert np.array_equal((after * 255).round().byte().permute(1, 2, 0).numpy(), expected)
    assert not torch.equal(spoilt, images)


def test_an_occluder_is_one_rectangle_of_at_most_that_area():
    side, area = 60, 0.25
    images = smooth(60, side)
    covered = images.clone()
    occlude(covered, draws(60), probability=1.0, area=area)
    shares, plain = [], 0
    for before, after in zip(images, covered, strict=True):
        hidden = (before != after).any(dim=0)
        rows, columns = hidden.any(dim=1).nonzero()[:, 0], hidden.any(dim=0).nonzero()[:, 0]
        height, width = (int(axis[-1] - axis[0]) + 1 for axis in (rows, columns))
        inside = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert hidden.sum() > 0.98 * height * width  # a value may be the same by chance
        assert 0.25 < height / width < 4
        shares.append(height * width / side**2)
        is_plain = inside.std(dim=(1, 2)).max() < 1e-5
        plain += int(is_plain)
        if is_plain:
            assert torch.allclose(inside[:, 0, 0], before.mean(dim=(1, 2)), atol=1e-5)
    assert max(shares) < area * 1.1
    assert min(shares) < 0.06
    assert 15 < plain < 45


def test_occluders_lie_everywhere():
    images = torch.full((3000, 3, 12, 12), 0.5)
    occlude(images, draws(3000), probability=1.0, area=0.3)
    # The mean of a plain image hides nothing; noise shows where it lies.
    hidden = (images != 0.5).any(dim=1).float().mean(dim=0)
    assert 0.001 < hidden.min() < 0.1 < hidden.max()
    assert torch.allclose(hidden, hidden.flip(0), atol=0.04)
    assert torch.allclose(hidden, hidden.flip(1), atol=0.04)
