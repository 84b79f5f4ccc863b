import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data.augmentation import Augmentation, training_augmentation
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
