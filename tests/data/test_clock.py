"""Whether a clock can be believed, by what it showed before."""

import os
import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from data import clock
from data.clock import GRACE_AFTER_LEAP, judged

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def seen(*days: float) -> list[datetime]:
    """What was written down, the latest first: so many days before now."""
    return [NOW - timedelta(days=one) for one in days]


@pytest.mark.parametrize(
    ("days", "is_plausible", "begins"),
    [
        ((), False, True),
        ((0.9,), False, False),
        ((1.1,), True, False),
        ((0.1, 0.5, 1.1), True, False),
        ((300, 600, 900), True, False),
        ((400,), False, True),  # unseen for more than a year
        ((3, 400), False, False),
        ((8, 400), True, False),
        ((-3650, 1), False, True),  # it was ten years ahead, and is right now
        ((3, -3650, 10), False, False),
        ((8, -3650, 10), True, False),
        ((-0.01, 2), True, False),  # set right by a quarter of an hour
    ],
)
def test_it_is_believed_once_it_ran_for_a_day_and_after_a_leap_for_a_week(
    days: tuple[float, ...], is_plausible: bool, begins: bool
) -> None:
    found = judged(NOW, seen(*days))
    assert (found.is_plausible, found.begins) == (is_plausible, begins)


def test_a_clock_that_has_leapt_is_not_believed_before_a_week_however_often_it_is_read() -> None:
    rng = random.Random(0)
    for _ in range(300):
        before = seen(*sorted(rng.uniform(0, 300) for _ in range(rng.randrange(1, 6))))
        wrong = NOW + rng.choice((-1, 1)) * timedelta(days=rng.uniform(400, 20_000))
        within = [wrong + timedelta(days=one) for one in sorted(rng.uniform(0, 7) for _ in "abc")]
        log = before
        for moment in within:
            assert not judged(moment, log).is_plausible
            log = [moment, *log]
        assert judged(within[0] + GRACE_AFTER_LEAP, log).is_plausible
        back = NOW + timedelta(days=rng.uniform(0, 6))  # it is set right, and nothing was lost
        assert not judged(back, log).is_plausible


def test_a_long_log_is_read_only_as_far_as_it_takes() -> None:
    def endless():
        yield NOW - timedelta(days=500)
        raise AssertionError("read on")

    assert not judged(NOW, endless()).is_plausible


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Pacific/Kiritimati", "2026-12-01"),
        ("UTC", "2026-11-30"),
        ("Pacific/Pago_Pago", "2026-11-29"),
    ],
)
def test_the_day_is_that_of_the_user_s_own_time_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, day: str
) -> None:
    monkeypatch.setattr(clock, "_read", lambda: datetime(2026, 11, 30, 10, tzinfo=UTC))
    before = os.environ.get("TZ")
    try:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert clock.today().isoformat() == day
    finally:
        monkeypatch.undo()
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()
