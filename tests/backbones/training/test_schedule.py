import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.training.schedule import ScheduleConfig, ScheduleName, momentum_at, rate_factor

EPOCHS, STEPS = 10, 20


def factors(**settings: object) -> list[float]:
    config = ScheduleConfig(**settings)  # type: ignore[arg-type]
    return [
        rate_factor(config, step, epochs=EPOCHS, steps_per_epoch=STEPS)
        for step in range(EPOCHS * STEPS)
    ]


def test_inverse_decay_is_the_formula_of_the_epoch() -> None:
    curve = factors(name=ScheduleName.INVERSE, decay=0.5, warmup=0)
    for epoch in range(EPOCHS):
        assert curve[epoch * STEPS] == curve[epoch * STEPS + STEPS - 1] == 1 / (1 + 0.5 * epoch)


def test_exponential_and_step_decay_multiply() -> None:
    assert factors(name=ScheduleName.EXPONENTIAL, decay=0.9, warmup=0)[::STEPS] == pytest.approx(
        [0.9**epoch for epoch in range(EPOCHS)]
    )
    stairs = factors(name=ScheduleName.STEP, decay=0.1, every=4, warmup=0)[::STEPS]
    assert stairs == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)


def test_cosine_is_half_in_the_middle_and_ends_at_almost_nothing() -> None:
    curve = factors(name=ScheduleName.COSINE, warmup=0)
    assert curve[0] == 1
    assert curve[len(curve) // 2] == pytest.approx(0.5)
    assert 0 < curve[-1] < 1e-3


def test_one_cycle_rises_once_and_falls_once() -> None:
    curve = factors(name=ScheduleName.ONE_CYCLE, warmup=0.25)
    top = curve.index(max(curve))
    assert top == len(curve) // 4 - 1
    assert curve[:top] == sorted(curve[:top])
    assert curve[top:] == sorted(curve[top:], reverse=True)
    assert curve[0] < 0.1
    assert curve[-1] < 0.01


@given(
    name=st.sampled_from(list(ScheduleName)),
    warmup=st.floats(0, 0.9),
    decay=st.floats(0.01, 1),
    every=st.integers(1, 20),
)
def test_every_factor_is_above_0_and_at_most_1(
    name: ScheduleName, warmup: float, decay: float, every: int
) -> None:
    for factor in factors(name=name, warmup=warmup, decay=decay, every=every):
        assert math.isfinite(factor)
        assert 0 < factor <= 1


@pytest.mark.parametrize("name", list(ScheduleName))
def test_no_default_gives_up_half_way(name: ScheduleName) -> None:
    """In the middle of a run of twenty epochs a tenth of the rate is left at least."""
    config = ScheduleConfig(name=name)
    middle = rate_factor(config, 10 * STEPS, epochs=20, steps_per_epoch=STEPS)
    assert middle >= 0.1


def test_one_cycle_moves_momentum_against_the_rate_and_cosine_leaves_it() -> None:
    cycle, cosine = (
        ScheduleConfig(name=name, warmup=0.25)
        for name in (ScheduleName.ONE_CYCLE, ScheduleName.COSINE)
    )
    rates = factors(name=ScheduleName.ONE_CYCLE, warmup=0.25)
    momenta = [momentum_at(cycle, factor) for factor in rates]
    top = rates.index(max(rates))
    assert momenta[top] == min(momenta) == pytest.approx(0.85)
    assert momenta[-1] == pytest.approx(0.95, abs=1e-3)
    assert momentum_at(cosine, 0.5) is None
    assert rates[:top] != factors(name=ScheduleName.COSINE, warmup=0.25)[:top]
