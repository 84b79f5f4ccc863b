"""What time it is, and whether the clock can be believed before something is removed for ever.

A clock may be years off: an empty battery, a wrong key in a form, a virtual machine that was put to
sleep. What is hidden by mistake comes back when the clock is right again, what is removed does not.
So nothing is removed before the clock was seen running, without a leap, for a day; and where it did
leap, by more than a year or backwards, for a week.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

GRACE = timedelta(days=1)
"""How long the clock must have run before something is removed whose time is over."""

GRACE_AFTER_LEAP = timedelta(days=7)
"""The same where it has leapt."""

LEAP = timedelta(days=366)
"""A step of the clock that is one, if nobody was there in between."""

_TOLERANCE = timedelta(hours=1)  # backwards, as when a machine's clock is set right


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clock that shows some time is worth.

    Attributes:
        is_plausible: Whether something may be removed by it.
        begins: Whether nothing that was seen before leads up to it: it is to be written down, so
            that it can become plausible.
    """

    is_plausible: bool
    begins: bool


def now() -> datetime:
    """The moment, in UTC."""
    return _read()


def today() -> date:
    """The day where the user is, by their own time zone: by it what was agreed to ends."""
    return _read().astimezone().date()


def judged(moment: datetime, seen: Iterable[datetime]) -> Reading:
    """Judge what a clock shows by what it showed before.

    Args:
        moment: What it shows.
        seen: What it showed when something was written down, the latest entry first; it is read
            only as far as it takes.
    """
    start, leapt, begins = moment, False, True
    for earlier in seen:
        leapt = earlier > start + _TOLERANCE or start - earlier > LEAP
        if leapt:
            break
        start, begins = min(start, earlier), False
    grace = GRACE_AFTER_LEAP if leapt else GRACE
    return Reading(is_plausible=moment - start >= grace, begins=begins)


def _read() -> datetime:
    return datetime.now(UTC)
