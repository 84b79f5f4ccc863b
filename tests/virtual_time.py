"""An event loop whose clock stands still while anything happens, and jumps when nothing does.

What is limited to some seconds is tried without waiting for them, and however busy the machine is:
a timer runs out only once every task waits for one.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_SETTLED = 0.02
"""Seconds after which no byte is on its way any more between two sockets of this process."""


def run(task: Coroutine[Any, Any, _T]) -> _T:
    """What `asyncio.run` does, on such a loop; both ends of a connection have to be in the task."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(task)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Finds what has come; where nothing has, the loop's clock stands where its next timer does."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        connected = len(self.get_map()) > 1  # one is the loop's own
        found = super().select(min(timeout, _SETTLED) if connected else 0)
        if not found:
            self._loop.now += timeout
        return found
