import pytest
import torch
from torch import nn

from backbones.training.averaging import WeightAverage


def test_the_first_average_is_the_weights_themselves() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, 0.99)
    average.update(layer)
    torch.testing.assert_close(average.averaged(layer)["weight"], layer.weight.detach())


def test_the_average_is_the_weighted_mean_of_all_steps() -> None:
    layer, decay, seen = nn.BatchNorm1d(2), 0.8, []
    average = WeightAverage(layer, decay)
    for step in range(7):
        layer.weight.data.fill_(step * step)
        layer.running_mean.fill_(-step)
        layer.num_batches_tracked.fill_(step)
        average.update(layer)
        seen.append(float(step * step))
    weights = [decay ** (6 - step) for step in range(7)]
    expected = sum(w * x for w, x in zip(weights, seen, strict=True)) / sum(weights)
    averaged = average.averaged(layer)
    assert averaged["weight"].tolist() == pytest.approx([expected] * 2)
    mean = sum(-w * step for step, w in enumerate(weights)) / sum(weights)
    assert averaged["running_mean"].tolist() == pytest.approx([mean] * 2)
    assert int(averaged["num_batches_tracked"]) == 6


def test_before_any_step_the_weights_are_as_they_are() -> None:
    layer = nn.Linear(3, 2)
    assert WeightAverage(layer, 0.9).averaged(layer)["bias"].equal(layer.bias)
