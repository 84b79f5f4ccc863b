"""Adam and L-BFGS on objectives whose answers are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from data.errors import StyleError
from style.config import Optimizer, StyleConfig
from style.lbfgs import LbfgsPainter
from style.painters import AdamPainter, painter

Losses = dict[str, Tensor]


def _towards(target: Tensor) -> Callable[[Tensor], Losses]:
    """Half the squared distance to `target`, which may lie outside [0, 1]."""
    return lambda image: {"total": 0.5 * (image - target).square().mean()}


def _start() -> Tensor:
    return torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_the_least_loss_within_the_bounds_is_found(optimizer: Optimizer) -> None:
    target = torch.linspace(-0.5, 1.5, 90).view(1, 3, 5, 6)
    config = StyleConfig(optimizer=optimizer, averaging=0.9)
    easel = painter(_start(), _towards(target), config, steps=200)
    for _ in range(200):
        easel.step()
    torch.testing.assert_close(easel.picture(), target.clamp(0, 1), atol=0.01, rtol=0)


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_pixels_never_leave_the_range(optimizer: Optimizer) -> None:
    config = StyleConfig(optimizer=optimizer, learning_rate=1.0, averaging=0)
    easel = painter(_start().round(), _towards(torch.full((1, 3, 5, 6), 9.0)), config, steps=200)
    for _ in range(10):
        easel.step()
        assert easel.picture().min() >= 0
        assert easel.picture().max() <= 1


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_a_step_tells_the_losses_from_before_it(optimizer: Optimizer) -> None:
    start, target = _start().clamp(0.1, 0.9), torch.zeros(1, 3, 5, 6)
    easel = painter(
        start, _towards(target), StyleConfig(optimizer=optimizer, averaging=0), steps=200
    )
    first = easel.step()
    expected = 0.5 * start.square().mean().item()
    assert first["total"] == pytest.approx(expected, rel=1e-5)
    now = 0.5 * easel.picture().square().mean().item()
    assert easel.step()["total"] == pytest.approx(now, rel=1e-5)


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_before_the_first_step_the_picture_is_where_it_began(optimizer: Optimizer) -> None:
    easel = painter(_start(), _towards(_start()), StyleConfig(optimizer=optimizer), steps=200)
    torch.testing.assert_close(easel.picture(), _start(), atol=1 / 512, rtol=0)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_adam_shows_the_weighted_mean_of_its_iterates(decay: float) -> None:
    target = torch.full((1, 3, 5, 6), 0.3)
    last = AdamPainter(_start(), _towards(target), StyleConfig(averaging=0), steps=9)
    mean = AdamPainter(_start(), _towards(target), StyleConfig(averaging=decay), steps=9)
    iterates = []
    for _ in range(7):
        last.step()
        mean.step()
        iterates.append(last.picture())
    weights = [decay**age for age in reversed(range(7))]
    expected = sum(w * i for w, i in zip(weights, iterates, strict=True)) / sum(weights)
    torch.testing.assert_close(mean.picture(), expected, atol=1e-5, rtol=0)


def test_lbfgs_evaluates_about_once_a_step() -> None:
    evaluations = 0

    def objective(image: Tensor) -> Losses:
        nonlocal evaluations
        evaluations += 1
        stretch = torch.arange(1.0, 7.0)  # badly conditioned along the width
        return {"total": (stretch * (image - 0.4)).square().mean()}

    easel = LbfgsPainter(_start(), objective)
    for _ in range(20):
        easel.step()
    assert evaluations <= 40


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_and_leaves_the_picture(
    optimizer: Optimizer, value: float
) -> None:
    broken = False

    def objective(image: Tensor) -> Losses:
        total = image.square().mean()
        return {"content": total, "total": total * value if broken else total}

    easel = painter(_start(), objective, StyleConfig(optimizer=optimizer), steps=200)
    easel.step()
    before = easel.picture().clone()
    broken = True
    with pytest.raises(StyleError, match=r"total loss became (nan|inf).*lower") as refusal:
        easel.step()
    assert "\n" not in str(refusal.value)
    assert torch.equal(easel.picture(), before)
