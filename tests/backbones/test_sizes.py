"""Every network of the shelf takes every size that it says it takes: odd, prime, not square."""

import pytest
import torch

from backbones.features import FeatureExtractor
from backbones.registry import available, create, spec_of

BEYOND = [(0, 0), (1, 0), (0, 1), (3, 14), (5, 0), (7, 22)]
"""Pixels beyond the least side, down and across: each remainder of the strides comes up."""


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("continued", [False, True])
def test_every_tap_has_two_cells_each_way_from_its_least_side_on(
    name: str, continued: bool
) -> None:
    network = create(name, seed=0)
    for tap in spec_of(name).taps:
        extract = FeatureExtractor(network, [tap.name], continued=continued)
        side = tap.least_side
        found = extract(torch.full((1, 3, side, side + 1), 0.5))[tap.name]
        assert found.shape[1] == tap.channels
        assert min(found.shape[2:]) >= 2


@pytest.mark.parametrize("name", available())
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
