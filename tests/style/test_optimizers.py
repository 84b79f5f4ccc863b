"""Adam and L-BFGS on objectives whose answers are known."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from data.errors import StyleError
from style.config import Optimizer, StyleConfig
from style.optimizers import AdamPainter, LbfgsPainter, painter

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


def test_the_step_length_falls_in_a_line_to_a_twentieth() -> None:
    """Under a constant gradient Adam moves by the step length itself."""
    easel = AdamPainter(
        torch.full((1, 3, 5, 6), 0.5),
        lambda image: {"total": image.mean()},
        StyleConfig(learning_rate=0.01, averaging=0),
        steps=4,
    )
    pictures = [easel.picture()]
    for _ in range(5):
        easel.step()
        pictures.append(easel.picture())
    lengths = [(a - b).mean().item() for a, b in pairwise(pictures)]
    expected = [0.01 * (0.05 + 0.95 * left) for left in (1, 0.75, 0.5, 0.25, 0)]
    assert lengths == pytest.approx(expected, rel=1e-3)


def _awkward(image: Tensor) -> Losses:
    """Badly conditioned along the width, and not quadratic."""
    stretch = torch.linspace(1, 7, image.shape[-1])
    return {"total": (stretch * (image - 0.4)).pow(4).mean() + (image - 0.3).square().mean()}


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("stop", [0, 1, 6])
def test_a_restored_painter_goes_on_as_if_nothing_had_happened(
    optimizer: Optimizer, stop: int
) -> None:
    config = StyleConfig(optimizer=optimizer)
    easel = painter(_start(), _awkward, config, steps=20)
    for _ in range(stop):
        easel.step()
    state = {name: tensor.clone() for name, tensor in easel.state().items()}
    expected = [easel.step() for _ in range(8)]
    again = painter(_start(), _awkward, config, steps=20)
    again.restore(state)
    assert [again.step() for _ in range(8)] == expected
    assert torch.equal(again.picture(), easel.picture())


def test_a_larger_scale_begins_with_adam_s_moments_enlarged() -> None:
    """With moments of its own the first step of Adam has full length in every pixel."""
    config = StyleConfig(averaging=0)
    small = AdamPainter(_start(), _towards(torch.zeros(1, 3, 5, 6)), config, steps=9)
    for _ in range(5):
        small.step()
    before = small.state()
    image = torch.full((1, 3, 10, 12), 0.5)
    large = AdamPainter(image, _towards(image), config, steps=9, before=before)
    inherited = large.state()
    assert inherited["step"] == 5
    for name, mode in (("exp_avg", "bicubic"), ("exp_avg_sq", "bilinear")):
        expected = torch.nn.functional.interpolate(before[name], (10, 12), mode=mode)
        torch.testing.assert_close(inherited[name], expected)
    assert inherited["exp_avg_sq"].min() >= 0
    large.step()  # no gradient of its own here: what moves it is the momentum alone
    assert (large.picture() - image).abs().max() > 1e-4


def test_steps_do_not_depend_on_how_many_places_share_the_loss() -> None:
    """A picture of a thousand times the places has gradients a thousand times smaller."""
    moved = []
    for repeats in (1, 200):
        start = _start().repeat(1, 1, repeats, 1)
        easel = AdamPainter(
            start, lambda image: {"total": 1e-7 * image.mean()}, StyleConfig(averaging=0), steps=9
        )
        easel.step()
        moved.append((easel.picture() - start)[..., :5, :])
    torch.testing.assert_close(moved[0], moved[1])


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
