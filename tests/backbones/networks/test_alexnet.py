import pytest
import torch

from backbones.networks.alexnet import local_response_norm
from backbones.registry import create


def test_local_response_norm_is_the_papers_formula() -> None:
    x = torch.randn(2, 9, 3, 4, generator=torch.Generator().manual_seed(0)) * 20
    found = local_response_norm()(x)
    for b in range(2):
        for i in range(9):
            for y in range(3):
                for z in range(4):
                    neighbours = range(max(0, i - 2), min(8, i + 2) + 1)
                    total = sum(float(x[b, j, y, z]) ** 2 for j in neighbours)
                    expected = float(x[b, i, y, z]) / (2 + 1e-4 * total) ** 0.75
                    assert float(found[b, i, y, z]) == pytest.approx(expected, rel=1e-5)


def test_each_gpu_of_2012_sees_its_own_half_until_the_third_layer() -> None:
    network = create("alexnet_2012", seed=0)
    images = torch.rand(1, 3, 99, 99, generator=torch.Generator().manual_seed(0))
    before = network.features(images, ["relu1", "relu2", "relu3"])
    with torch.no_grad():
        network.convolutions[0].weight[48:] = 0  # the second GPU sees nothing any more
    after = network.features(images, ["relu1", "relu2", "relu3"])
    changed = {tap: (before[tap] - after[tap]).abs().sum(dim=(0, 2, 3)) > 1e-6 for tap in before}
    # Local response normalisation looks two channels beyond the border between the halves.
    assert not changed["relu1"][:46].any()
    halves = changed["relu2"].view(2, 128).float().mean(dim=1)
    assert halves[1] > 0.9
    assert changed["relu3"].float().mean() > 0.9


def test_the_papers_sizes_come_from_227_pixels() -> None:
    network = create("alexnet_2012", seed=0)
    taps = [tap.name for tap in network.spec.taps]
    found = network.features(torch.zeros(1, 3, 227, 227), taps)
    assert [found[tap].shape[-1] for tap in taps] == [55, 27, 13, 13, 13]
    zfnet = create("zfnet", seed=0)
    found = zfnet.features(torch.zeros(1, 3, 224, 224), taps)
    assert [found[tap].shape[-1] for tap in taps] == [110, 26, 13, 13, 13]
