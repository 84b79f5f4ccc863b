import pytest
import torch
import torch.nn.functional as F
from torchvision import models

from backbones.registry import create

# Where torchvision's chain has its convolutions, and before which of them it pools.
CONVOLUTIONS = {
    "vgg16": ([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28], {5, 10, 17, 24}),
    "vgg19": ([0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34], {5, 10, 19, 28}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_taps_are_the_rectified_convolutions(name: str) -> None:
    network = create(name, seed=0)
    state = network.state_dict()
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    found = network.features(images, [tap.name for tap in network.spec.taps])
    x = (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    places, pooled = CONVOLUTIONS[name]
    for place, tap in zip(places, network.spec.taps, strict=True):
        if place in pooled:
            x = F.max_pool2d(x, 2)
        weight, bias = (state[f"convolutions.{place}.{part}"] for part in ("weight", "bias"))
        x = F.conv2d(x, weight, bias, padding=1).relu()
        torch.testing.assert_close(found[tap.name], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_published_names_and_shapes_fit(name: str) -> None:
    network = create(name, seed=0)
    with torch.device("meta"):
        published = getattr(models, name)(weights=None).state_dict()
    shapes = {
        own: tensor.shape for key, tensor in published.items() if (own := network.own_key(key))
    }
    assert shapes == {key: tensor.shape for key, tensor in network.state_dict().items()}
