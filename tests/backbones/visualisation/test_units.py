"""Units, their receptive fields, and the patches that excite them most."""

import pytest
import torch
from torch import Tensor

from backbones.network import Backbone
from backbones.registry import create, spec_of
from backbones.visualisation.units import Unit, gather, parse_unit, receptive_box
from data.errors import ArgumentError


@pytest.fixture(scope="module")
def network() -> Backbone:
    return create("squeezenet1_1", seed=0).requires_grad_(False)


def _images(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 60 + 7 * n, 90, generator=generator) for n in range(count)]


def test_a_unit_is_read_as_it_is_written() -> None:
    spec = spec_of("squeezenet1_0")
    assert parse_unit(" fire5:255 ", spec) == Unit("fire5", 255)
    assert str(Unit("fire5", 255)) == "fire5:255"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fire5", "written TAP:CHANNEL, such as fire5:12"),
        ("fire5:-1", "written TAP:CHANNEL"),
        ("fire5:256", "fire5 has channels 0 to 255"),
        ("fire5:99999999999", "written TAP:CHANNEL"),
        ("fire55:0", "has no tap 'fire55'; choose from relu1"),
        ("", "written TAP:CHANNEL"),
    ],
)
def test_what_is_no_unit_says_so_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said) as caught:
        parse_unit(text, spec_of("squeezenet1_0"))
    assert "\n" not in str(caught.value)


def test_the_kept_patches_are_the_strongest_of_all_images(network: Backbone) -> None:
    images = _images(7)
    found = gather(network, ["fire4", "fire2"], images, count=3)["fire2"]
    for channel in range(0, 128, 17):
        peaks = [
            float(network.features(image[None], ["fire2"])["fire2"][0, channel].max())
            for image in images
        ]
        order = sorted((n for n in range(7) if peaks[n] > 0), key=lambda n: -peaks[n])[:3]
        patches = found.patches(channel)
        assert [patch.image for patch in patches] == order
        for patch in patches:
            assert patch.activation == pytest.approx(peaks[patch.image], rel=1e-5)
            left, top, right, bottom = patch.box
            assert torch.equal(patch.pixels, images[patch.image][:, top:bottom, left:right])


@pytest.mark.parametrize(
    ("name", "tap"), [("vgg_slim", "relu3_1"), ("squeezenet1_1", "fire4"), ("alexnet", "relu3")]
)
def test_a_cell_sees_its_receptive_box_and_nothing_beyond(name: str, tap: str) -> None:
    network = create(name, seed=0).requires_grad_(False)
    image = torch.rand(1, 3, 131, 151, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps = network.features(image, [tap])[tap]
    place = (maps.shape[2] // 2, maps.shape[3] // 2)
    [slope] = torch.autograd.grad(maps[0, :, place[0], place[1]].sum(), image)
    box = receptive_box(network.spec, Unit(tap, 0), place, maps.shape[2:], image.shape[2:])
    left, top, right, bottom = box
    seen = slope[0].abs().sum(dim=0) > 0
    reached = seen.nonzero()
    stride = network.spec.tap(tap).stride
    # A side that the strides do not divide leaves it open by less than a stride where it lies.
    for axis, (first, last) in enumerate(((top, bottom), (left, right))):
        low, high = reached[:, axis].min(), reached[:, axis].max()
        assert first - stride <= int(low)
        assert int(high) < last + stride
        assert last - first <= int(high) - int(low) + 1 + 2 * stride


def test_an_image_that_is_too_small_is_refused(network: Backbone) -> None:
    with pytest.raises(ArgumentError, match="needs 33 pixels each way for fire9"):
        gather(network, ["relu1", "fire9"], [torch.rand(3, 20, 90)], count=1)
