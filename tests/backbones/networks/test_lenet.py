import math

import pytest
import torch

from backbones.networks.lenet import Grey, PartialConv2d, Squash, Subsample
from backbones.registry import create
from data.errors import ArgumentError


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_table_of_connections_has_the_papers_counts() -> None:
    network = create("lenet5", seed=0)
    counts = {
        name: sum(p.numel() for p in layer.parameters()) for name, layer in network.named_children()
    }
    expected = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert {name: counts[name] for name in expected} == expected


def test_a_map_sees_those_that_the_table_says_and_no_others() -> None:
    table = ((0, 2), (1,), (0, 1, 2))
    layer = PartialConv2d(3, table, 2)
    layer.weight.data = _random(6, 2, 2)
    layer.bias.data = _random(3)
    x = _random(1, 3, 4, 5)
    found = layer(x)
    kernels = iter(layer.weight.detach())
    for out, seen in enumerate(table):
        expected = torch.full((3, 4), float(layer.bias[out].detach()))
        for channel in seen:
            kernel = next(kernels)
            for row in range(3):
                for column in range(4):
                    window = x[0, channel, row : row + 2, column : column + 2]
                    expected[row, column] += (window * kernel).sum()
        torch.testing.assert_close(found[0, out].detach(), expected)


def test_c3_sees_three_four_and_six_maps() -> None:
    network = create("lenet5", seed=0)
    assert isinstance(network.c3, PartialConv2d)
    seen = (network.c3.dense().abs().sum(dim=(2, 3)) > 0).sum(dim=1)
    assert seen.tolist() == [3] * 6 + [4] * 9 + [6]


def test_a_sample_is_a_sum_times_a_coefficient_plus_a_bias() -> None:
    layer = Subsample(2)
    layer.coefficient.data = torch.tensor([0.5, -1.0]).view(2, 1, 1)
    layer.bias.data = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    x = _random(1, 2, 5, 4)
    found = layer(x).detach()
    assert found.shape == (1, 2, 2, 2)
    for c, (factor, summand) in enumerate([(0.5, 1.0), (-1.0, 2.0)]):
        for i in range(2):
            for j in range(2):
                cells = x[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum()
                assert float(found[0, c, i, j]) == pytest.approx(float(factor * cells + summand))


def test_squashing_keeps_one_and_ends_at_its_amplitude() -> None:
    found = Squash()(torch.tensor([-1e3, -1.0, 0.0, 1.0, 1e3]))
    torch.testing.assert_close(
        found, torch.tensor([-1.7159, -1.0, 0.0, 1.0, 1.7159]), atol=1e-4, rtol=0
    )


def test_grey_of_grey_is_itself_and_green_is_brightest() -> None:
    grey = Grey()
    assert torch.allclose(grey(torch.full((1, 3, 2, 2), 0.3)), torch.tensor(0.3))
    red, green, blue = (float(grey(torch.eye(3)[i].view(1, 3, 1, 1))) for i in range(3))
    assert green > red > blue > 0
    assert math.isclose(red + green + blue, 1, rel_tol=1e-6)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
def test_at_32_pixels_c5_has_one_cell_and_faces_are_searched(name: str) -> None:
    network = create(name, seed=0)
    assert network.features(torch.zeros(1, 3, 32, 32), ["c5"])["c5"].shape == (1, 120, 1, 1)
    larger = create(name, seed=0, input_size=(112, 112), embedding_size=16)
    assert larger(torch.rand(2, 3, 112, 112)).shape == (2, 16)
    with pytest.raises(ArgumentError, match="at least 32 pixels, not 31x40"):
        create(name, input_size=(31, 40))
