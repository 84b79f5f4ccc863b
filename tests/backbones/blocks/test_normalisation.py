from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbones.blocks.normalisation import SwitchableNorm, exchange_norms
from backbones.metadata import parse_metadata, weights_metadata
from backbones.registry import create, spec_of
from backbones.spec import Norm
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from data.tensors import write_tensors

OTHERS = [Norm.GROUP, Norm.LAYER, Norm.INSTANCE]


def by_hand(x: Tensor, norm: Norm) -> Tensor:
    """The definition, image by image and set of channels by set of channels."""
    size = {Norm.GROUP: 16, Norm.LAYER: x.shape[1], Norm.INSTANCE: 1}[norm]
    y = torch.empty_like(x)
    for image in range(len(x)):
        for first in range(0, x.shape[1], size):
            part = x[image, first : first + size]
            deviation = (part.var(correction=0) + 1e-5).sqrt()
            y[image, first : first + size] = (part - part.mean()) / deviation
    return y


@pytest.mark.parametrize("norm", OTHERS)
def test_each_norm_against_its_definition(norm: Norm) -> None:
    network = nn.Sequential(nn.BatchNorm2d(48))
    exchanged = exchange_norms(network, norm)
    x = torch.randn(3, 48, 5, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    torch.testing.assert_close(network(x), by_hand(x, norm))
    assert list(exchanged.values()) == [network[0]]
    assert list(network.state_dict()) == ["0.weight", "0.bias"]


def test_batch_norm_stays_what_it_is() -> None:
    network = nn.Sequential(nn.BatchNorm2d(48))
    assert exchange_norms(network, Norm.BATCH) == {}
    assert type(network[0]) is nn.BatchNorm2d


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (64, 4), (100, 2), (97, 1), (512, 32)])
def test_groups_divide_the_channels_and_have_sixteen_or_more(channels: int, groups: int) -> None:
    network = nn.Sequential(nn.BatchNorm2d(channels))
    exchange_norms(network, Norm.GROUP)
    assert network[0].num_groups == groups
    assert channels % groups == 0


@pytest.mark.parametrize("norm", OTHERS)
def test_in_the_head_every_norm_takes_all_channels(norm: Norm) -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Sequential(nn.BatchNorm2d(32)))
    exchange_norms(network, norm, head=[network[1]])
    assert network[1][0].num_groups == 1


def test_a_network_without_norms_has_none_to_exchange() -> None:
    with pytest.raises(ArgumentError, match="leave norm at batch"):
        exchange_norms(nn.Sequential(nn.Conv2d(3, 4, 1)), Norm.GROUP)
    with pytest.raises(ArgumentError, match="leave norm at batch"):
        create("squeezenet1_0", norm=Norm.GROUP)


@pytest.mark.parametrize("norm", OTHERS)
@pytest.mark.parametrize(
    ("name", "size"), [("mobilefacenet", 48), ("resnet18", 64), ("inception_resnet_v1", 112)]
)
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(
    name: str, size: int, norm: Norm
) -> None:
    network = create(name, norm=norm, embedding_size=32, input_size=(size, size), seed=0).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        used = network.eval()(images)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in network.modules())
    assert float(together.std(dim=0).min()) > 1e-4  # the images still make a difference
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(used, together)


def test_the_weights_beneath_are_those_of_the_same_seed() -> None:
    group, batch = (create("mobilefacenet", norm=n, seed=3) for n in (Norm.GROUP, Norm.BATCH))
    state = batch.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in group.state_dict().items())


@pytest.mark.parametrize("norm", Norm)
def test_a_weights_file_alone_rebuilds_the_network(norm: Norm, tmp_path: Path) -> None:
    network = create("mobilefacenet", norm=norm, input_size=(48, 48), seed=0)
    file = tmp_path / "weights.safetensors"
    write_tensors(file, network.state_dict(), weights_metadata(network.spec))
    loaded = load_backbone(None, weights=file).backbone
    assert loaded.spec.norm is norm
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images), rtol=1e-2, atol=1e-3)


def test_what_a_file_says_of_norms_must_be_understood() -> None:
    spec = replace(spec_of("mobilefacenet"), norm=Norm.LAYER)
    assert parse_metadata(weights_metadata(spec)).norm is Norm.LAYER
    assert "norm" not in weights_metadata(spec_of("mobilefacenet"))
    with pytest.raises(WeightsError, match="norm is 'spectral', expected batch or group or"):
        parse_metadata({"norm": "spectral"})


def test_switchable_norm_mixes_the_statistics_of_three_norms() -> None:
    layer = SwitchableNorm(3)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1
    found = layer(x).detach()
    means = [x.mean((2, 3)), x.mean((1, 2, 3))[:, None], x.mean((0, 2, 3))[None]]
    variances = [
        x.var((2, 3), correction=0),
        x.var((1, 2, 3), correction=0)[:, None],
        x.var((0, 2, 3), correction=0)[None],
    ]
    first, second = (
        torch.softmax(shares.detach(), 0) for shares in (layer.mean_shares, layer.variance_shares)
    )
    for b in range(2):
        for c in range(3):
            mean, variance = (
                sum(
                    float(share) * float(each.expand(2, 3)[b, c])
                    for share, each in zip(shares, kinds, strict=True)
                )
                for shares, kinds in ((first, means), (second, variances))
            )
            normal = (x[b, c] - mean) / (variance + 1e-5) ** 0.5
            expected = normal * layer.weight[c].detach() + layer.bias[c].detach()
            torch.testing.assert_close(found[b, c], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.running_mean, 0.1 * means[2][0])
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * variances[2][0])


def test_switchable_norm_in_use_does_not_look_at_the_batch() -> None:
    network = create(
        "resnet18", norm=Norm.SWITCHABLE, embedding_size=8, input_size=(64, 64), seed=0
    )
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.train()(images)
        together = network.eval()(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert sum(isinstance(module, SwitchableNorm) for module in network.modules()) == 20
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("mean", "deviation"), [(4.0, 0.2), (-100.0, 1.0), (0.0, 1.0), (3.0, 0.0)])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("share", [0, 1, 2])
def test_switchable_norm_keeps_small_variances_of_numbers_far_from_zero(
    mean: float, deviation: float, kind: torch.dtype, share: int
) -> None:
    """One kind of statistics at a time, of narrow numbers, against float64."""
    layer = SwitchableNorm(4, momentum=1.0)
    for shares in (layer.mean_shares, layer.variance_shares):
        shares.data[share] = 50.0
    drawn = torch.randn(3, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    x = (mean + deviation * drawn).to(kind)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype is kind
    true = x.double()
    over = [(2, 3), (1, 2, 3), (0, 2, 3)][share]
    variance = true.var(over, correction=0, keepdim=True)
    expected = (true - true.mean(over, keepdim=True)) / (variance + layer.eps).sqrt()
    near = {torch.float32: 1e-3, torch.float16: 2e-3, torch.bfloat16: 1e-2}[kind]
    torch.testing.assert_close(found.double(), expected, rtol=near, atol=near)
    assert float(layer.running_var.min()) >= 0
    torch.testing.assert_close(
        layer.running_var.double(), true.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(layer.eval()(x).double(), expected, rtol=near, atol=near)


def test_switchable_norm_behind_a_convolution_under_autocast_learns_as_without() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), SwitchableNorm(8), nn.Conv2d(8, 1, 1))
    network[0].bias.data.fill_(4.0)  # a channel's mean, many deviations from 0
    network[0].weight.data.mul_(0.2)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    gradients = []
    for narrow in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            network(images).float().square().mean().backward()
        gradients.append(network[1].weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.1, atol=0.02)


def test_a_running_variance_below_zero_of_older_weights_counts_as_zero() -> None:
    layer = SwitchableNorm(2).eval()
    layer.variance_shares.data[2] = 50.0
    layer.running_var.fill_(-0.01)
    assert torch.isfinite(layer(torch.rand(1, 2, 3, 3))).all()
