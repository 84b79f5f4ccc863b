"""A small random network and pictures for the tests of the painter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from style.network import StyleNetwork

Seen = list[tuple[int, int]]


@pytest.fixture
def seen() -> Seen:
    """(H, W) of each picture that `network` was shown, in order."""
    return []


@pytest.fixture
def network(seen: Seen) -> StyleNetwork:
    """Two random convolutions; taps of stride 1 and 4."""
    source = torch.Generator().manual_seed(0)
    fine = nn.Conv2d(3, 8, 3, padding=1)
    coarse = nn.Conv2d(8, 12, 3, stride=4, padding=1)
    for layer in (fine, coarse):
        layer.requires_grad_(False)
        layer.weight.normal_(std=0.3, generator=source)
        layer.bias.zero_()

    def extract(image: Tensor) -> dict[str, Tensor]:
        seen.append((image.shape[-2], image.shape[-1]))
        first = fine(image).relu()
        return {"fine": first, "coarse": coarse(first).relu()}

    return StyleNetwork(
        extract=extract, content_taps={"coarse": 1}, style_taps={"fine": 1, "coarse": 1}, stride=4
    )


@pytest.fixture(scope="session")
def picture() -> Callable[..., Tensor]:
    """Makes a smooth random picture (1, 3, H, W) of a seed and a size."""

    def make(seed: int, height: int = 72, width: int = 96) -> Tensor:
        source = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 6, 8, generator=source)
        return nn.functional.interpolate(coarse, (height, width), mode="bilinear")

    return make
