import pytest
import torch
from torch import nn

from recognition.learning.choices import OptimizerName
from recognition.learning.config import OptimizerConfig
from recognition.learning.optimizers import build_optimizer


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
