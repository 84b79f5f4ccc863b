import pytest
import torch
from torch import nn

from backbones.training.optimizers import (
    OptimizerConfig,
    OptimizerName,
    build_optimizer,
    set_momentum,
)


@pytest.mark.parametrize("name", list(OptimizerName))
def test_every_rule_goes_down_a_bowl(name: OptimizerName) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0, -2.0], [0.5, 0.0], [2.0, 1.0]]) + 1
    rate = 1.0 if name is OptimizerName.ADADELTA else 0.05  # AdaDelta finds its own scale
    optimizer = build_optimizer(OptimizerConfig(name=name, rate=rate, weight_decay=0), [layer])
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("name", list(OptimizerName))
def test_weight_decay_spares_biases_norms_and_slopes(name: OptimizerName) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4))
    nn.init.ones_(network[0].bias)
    before = {key: value.clone() for key, value in network.named_parameters()}
    optimizer = build_optimizer(OptimizerConfig(name=name, rate=0.1, weight_decay=0.5), [network])
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {key for key, value in network.named_parameters() if not value.equal(before[key])}
    assert moved == {"0.weight"}


def test_sgd_momentum_and_nesterov_are_the_textbooks() -> None:
    """On f(w) = w²/2: v ← μ v + g, and w moves by v, or by g + μ v."""
    for name in (OptimizerName.SGD, OptimizerName.MOMENTUM, OptimizerName.NESTEROV):
        weight = nn.Parameter(torch.tensor([1.0]))
        holder = nn.ParameterList([weight])
        optimizer = build_optimizer(OptimizerConfig(name=name, rate=0.1, momentum=0.5), [holder])
        w, v = 1.0, 0.0
        for _ in range(5):
            optimizer.zero_grad()
            (weight.square() / 2).sum().backward()
            optimizer.step()
            g = w
            v = 0.5 * v + g
            w -= 0.1 * {"sgd": g, "momentum": v, "nesterov": g + 0.5 * v}[name]
            assert float(weight.detach()) == pytest.approx(w)


@pytest.mark.parametrize("name", list(OptimizerName))
def test_every_rule_learns_by_its_default_rate(name: OptimizerName) -> None:
    """In a hundred steps a small network learns to tell ten kinds apart; one rate for all did not.

    By the old default of 0.001, SGD, AdaGrad, AdaDelta and momentum hardly moved.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.PReLU(64), nn.Linear(64, 10))
    labels = torch.arange(200) % 10
    x = torch.randn(10, 20)[labels] + 0.5 * torch.randn(200, 20)
    config = OptimizerConfig(name=name)
    optimizer = build_optimizer(config, [network])
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    assert config.peak_rate == optimizer.param_groups[0]["lr"]


def test_momentum_is_changed_where_a_rule_has_any() -> None:
    for name in OptimizerName:
        layer = nn.Linear(3, 2)
        optimizer = build_optimizer(OptimizerConfig(name=name), [layer])
        for group in optimizer.param_groups:
            set_momentum(group, 0.87)
        kept = optimizer.param_groups[0]
        assert (kept.get("momentum") == 0.87) == (name in {"momentum", "nesterov"})
        assert (kept.get("betas", (0,))[0] == 0.87) == (name in {"adam", "adamw"})
