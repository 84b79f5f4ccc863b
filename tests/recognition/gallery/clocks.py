"""A clock that a test sets."""

from datetime import UTC, datetime, timedelta


class Clock:
    """What everything reads; it shows the real time and what was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def forward(self, **time: float) -> None:
        """Let time pass; or turn the clock back, by less than none."""
        self.ahead += timedelta(**time)

    def read(self) -> datetime:
        return datetime.now(UTC) + self.ahead
