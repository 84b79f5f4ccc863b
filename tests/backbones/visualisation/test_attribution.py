"""Maps of what a number hangs on, against functions whose answer is known."""

import pytest
import torch
from torch import Tensor

from backbones.registry import create
from backbones.visualisation.attribution import (
    cover_masks,
    grad_cam,
    occlusion,
    saliency,
    score_of,
)
from backbones.visualisation.units import Unit


def _image(*size: int) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(0))


def test_the_saliency_of_a_weighted_sum_are_its_weights() -> None:
    weights = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    found = saliency(lambda images: (images * weights).sum(dim=(1, 2, 3)), _image(5, 7))
    torch.testing.assert_close(found, weights.abs().amax(dim=0))


@pytest.mark.parametrize("sign", [1, -1])
def test_occlusion_is_strong_where_the_evidence_was_planted(sign: int) -> None:
    image = _image(40, 48) * 0.2
    image[:, 8:16, 30:40] = 1  # the only bright place

    def bright(images: Tensor) -> Tensor:
        return sign * images[:, :, 8:16, 30:40].mean(dim=(1, 2, 3))

    found = occlusion(bright, image, side=8, stride=4)
    assert found.shape == (40, 48)
    inside = found[8:16, 30:40] * sign
    assert inside.mean() > 0.1
    found[:28, 18:] = 0  # squares that touch it reach so far
    assert found.abs().max() < 1e-6  # elsewhere nothing is lost


@pytest.mark.parametrize("size", [(20, 31), (7, 7), (64, 5)])
def test_squares_cover_the_whole_image_evenly(size: tuple[int, int]) -> None:
    total = torch.stack(list(cover_masks(*size, side=8, stride=4))).sum(dim=0)
    assert total.shape == size
    assert total.min() > 0
    torch.testing.assert_close(total, total.flip(0).flip(1))


@pytest.mark.parametrize("unit", [None, Unit("fire3", 5)])
def test_grad_cam_is_the_papers_sum(unit: Unit | None) -> None:
    network = create("squeezenet1_1", seed=0).requires_grad_(False)
    image = _image(64, 80)
    tap = "fire9" if unit is None else "fire2"
    maps = network.features(image[None], [tap])[tap].requires_grad_()
    if unit is None:
        total = network.head_of(maps).square().sum()
    else:
        x = maps
        layers = dict(network.stages_through("fire3"))["fire3"]
        for layer in layers:
            x = layer(x)
        total = x[0, 5].max()
    [slope] = torch.autograd.grad(total, maps)
    cam = sum(float(slope[0, c].mean()) * maps.detach()[0, c] for c in range(maps.shape[1]))
    assert isinstance(cam, Tensor)
    expected = torch.nn.functional.interpolate(
        cam.clamp_min(0)[None, None], (64, 80), mode="bilinear"
    )[0, 0]
    torch.testing.assert_close(grad_cam(network, image, unit), expected, rtol=1e-3, atol=1e-5)


def test_the_number_of_a_unit_is_its_strongest_activation() -> None:
    network = create("squeezenet1_1", seed=0).requires_grad_(False)
    images = torch.stack([_image(48, 48), _image(48, 48).flip(2) * 0.5])
    maps = network.features(images, ["fire2"])["fire2"]
    found = score_of(network, Unit("fire2", 3))(images)
    assert torch.equal(found, torch.stack([maps[0, 3].max(), maps[1, 3].max()]))
