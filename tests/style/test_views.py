"""The measured views are those that strides, kernels and paddings give."""

import pytest
import torch
from torch import Tensor, nn

from backbones.registry import create
from data.errors import StyleError
from style.config import PaintingPrecision, StyleConfig
from style.network import ReceptiveField, StyleNetwork, measure_views

LIKE = torch.zeros(1)


def test_a_chain_of_convolutions_is_measured_to_within_a_stride() -> None:
    fine = nn.Conv2d(3, 4, 5, padding=1)  # place i sees i−1 … i+3
    pool = nn.MaxPool2d(2)  # i: 2i−1 … 2i+4
    coarse = nn.Conv2d(4, 4, 3, stride=2, padding=2)  # i: 4i−5 … 4i+4

    def extract(image: Tensor) -> dict[str, Tensor]:
        first = fine(image).relu()
        return {"fine": first, "coarse": coarse(pool(first))}

    views = measure_views(extract, 4, LIKE)
    assert views["fine"] == ReceptiveField(stride=1, before=1, after=3)
    coarse_view = views["coarse"]
    assert coarse_view.stride == 4
    assert 5 <= coarse_view.before < 9
    assert 4 <= coarse_view.after < 8


def test_what_sees_farther_one_way_counts_both_ways() -> None:
    wide = nn.Conv2d(3, 2, (1, 9), padding=(0, 4))
    assert measure_views(lambda image: {"wide": wide(image)}, 1, LIKE) == {
        "wide": ReceptiveField(1, 4, 4)
    }


@pytest.mark.parametrize("name", ["vgg19_quarter", "squeezenet1_0"])
def test_no_pixel_outside_of_a_view_has_a_gradient(name: str) -> None:
    network = StyleNetwork.of(
        create(name, seed=0), StyleConfig(precision=PaintingPrecision.FLOAT32)
    )
    image = torch.rand(1, 3, 40 * network.stride, 4 * network.stride, requires_grad=True)
    seen = network.extract(image)
    for tap, view in measure_views(network.extract, network.stride, LIKE).items():
        place = seen[tap].shape[2] // 2
        (gradient,) = torch.autograd.grad(seen[tap][:, :, place].sum(), image, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert rows.min() >= place * view.stride - view.before
        assert rows.max() <= place * view.stride + view.after


def test_a_network_that_looks_everywhere_is_refused() -> None:
    with pytest.raises(StyleError, match="sees the whole picture"):
        measure_views(lambda image: {"all": image - image.mean(dim=(2, 3), keepdim=True)}, 1, LIKE)
