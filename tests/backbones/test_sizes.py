"""Every network of the shelf takes every size that it says it takes: odd, prime, not square."""

from collections.abc import Callable

import pytest
import torch
from families import lightest

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.registry import available, create, spec_of

PRIMES = (5, 11, 13, 17, 23, 37, 53, 67, 71, 109)

BEYOND = [(0, 0), (1, 0), (0, 1), (3, 14), (5, 0), (7, 22)]
"""Pixels beyond the least side, down and across: each remainder of the strides comes up."""


@pytest.mark.parametrize("name", available())
def test_an_odd_picture_that_is_not_square_has_every_tap(
    name: str, shapes_of: Callable[[str], Backbone]
) -> None:
    network = shapes_of(name)
    taps = network.spec.taps
    least = max(tap.least_side for tap in taps)
    height, width = least | 1, next(prime for prime in PRIMES if prime > least)
    images = torch.empty(1, 3, height, width, device="meta")
    for tap, found in network.features(images, [tap.name for tap in taps]).items():
        channels, stride = (getattr(network.spec.tap(tap), it) for it in ("channels", "stride"))
        assert found.shape[:2] == (1, channels)
        # Not more cells than strides begin, and at most the least side's fewer.
        for cells, side in zip(found.shape[2:], (height, width), strict=True):
            assert 2 <= cells <= -(-side // stride)


@pytest.mark.parametrize("name", lightest())
@pytest.mark.parametrize("continued", [False, True])
def test_every_tap_has_two_cells_each_way_from_its_least_side_on(
    name: str, continued: bool, shapes_of: Callable[[str], Backbone]
) -> None:
    taps = spec_of(name).taps
    for side in {tap.least_side for tap in taps}:
        names = [tap.name for tap in taps if tap.least_side == side]
        extract = FeatureExtractor(shapes_of(name), names, continued=continued)
        for tap, found in extract(torch.empty(1, 3, side, side + 1, device="meta")).items():
            assert found.shape[1] == spec_of(name).tap(tap).channels
            assert min(found.shape[2:]) >= 2


@pytest.mark.parametrize("name", lightest())
def test_a_gradient_comes_back_from_every_size(name: str) -> None:
    spec = spec_of(name)
    taps = tuple(dict.fromkeys((*spec.content_taps, *spec.style_taps)))
    extract = FeatureExtractor(create(name, seed=0), taps, continued=True)
    least = max(spec.tap(tap).least_side for tap in taps)
    source = torch.Generator().manual_seed(0)
    for down, across in BEYOND:
        picture = torch.rand(1, 3, least + down, least + across, generator=source)
        picture.requires_grad_()
        sum(found.float().square().mean() for found in extract(picture).values()).backward()
        assert picture.grad is not None
        assert torch.isfinite(picture.grad).all()
        assert picture.grad.abs().sum() > 0
