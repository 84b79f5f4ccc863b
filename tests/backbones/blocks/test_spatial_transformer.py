"""A learned alignment: the identity at first, then any affine map."""

import pytest
import torch

from backbones.blocks.spatial_transformer import SpatialTransformer
from backbones.registry import create


def _images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(32, 32), (47, 31), (112, 96)])
def test_at_first_images_pass_as_they_are(size: tuple[int, int]) -> None:
    images = _images(2, 3, *size)
    torch.testing.assert_close(SpatialTransformer()(images), images, rtol=0, atol=1e-5)


@torch.no_grad()
def test_an_affine_map_moves_every_place_as_it_says() -> None:
    layer, images = SpatialTransformer(), _images(1, 3, 8, 10)
    # Across by two pixels, and upside down: the output at (row, column) looks at (7 - row, + 2).
    layer.places.bias.copy_(torch.tensor([1, 0, 2 * 2 / 10, 0, -1, 0]))
    found = layer(images)
    for row in range(8):
        for column in range(10):
            source = images[0, :, 7 - row, min(column + 2, 9)]
            torch.testing.assert_close(found[0, :, row, column], source, rtol=0, atol=1e-5)


def test_it_learns_by_the_networks_own_loss() -> None:
    network = create("squeezenet1_1", stn=True, input_size=(64, 64), embedding_size=8, seed=0)
    network.train()(_images(3, 3, 64, 64)).square().sum().backward()
    assert network.stn.places.weight.grad is not None
    assert network.stn.places.weight.grad.abs().sum() > 0
    plain = create("squeezenet1_1", input_size=(64, 64), embedding_size=8, seed=0)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if "stn" not in k})
    found, expected = (each.eval()(_images(1, 3, 64, 64)) for each in (network, plain))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_pictures_that_are_painted_are_not_moved() -> None:
    network = create("vgg_slim", stn=True, seed=0).requires_grad_(False)
    network.stn.places.bias.copy_(torch.tensor([0.5, 0, 0, 0, 0.5, 0]))
    images = _images(1, 3, 32, 32)
    before = network.convolutions[0](network.normalise(images)).relu()
    torch.testing.assert_close(network.features(images, ["relu1_1"])["relu1_1"], before)
