"""Work that several threads do ahead of whoever takes its results, in order and within bounds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Ahead(Generic[Result]):
    """The results of some tasks, done by threads before they are asked for.

    Tasks begin in order, and none begins while the results that wait are too many or too large; so
    what waits has been done before, can be taken without it, and nobody waits for ever.

    Args:
        do: Does one task, by its number from 0.
        count: How many tasks there are.
        threads: How many are done at once.
        size: How large a result is.
        most: Tasks that may be under way or done and not taken.
        most_size: No task begins while the results that wait are larger than this together.
    """

    def __init__(
        self,
        do: Callable[[int], Result],
        count: int,
        *,
        threads: int,
        size: Callable[[Result], int],
        most: int,
        most_size: int,
    ) -> None:
        self._do, self._count, self._size = do, count, size
        self._most, self._most_size = most, most_size
        self._done: dict[int, Result | BaseException] = {}
        self._begun = self._taken = self._waiting_size = 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(min(threads, count))
        ]

    @contextmanager
    def results(self) -> Iterator[Iterator[Result]]:
        """Start, and hand out the results in order; what is not begun at the end is not done.

        An exception of a task is raised in its place.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield self._results()
        finally:
            with self._changed:
                self._count = 0
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _results(self) -> Iterator[Result]:
        for number in range(self._count):
            with self._changed:
                self._changed.wait_for(lambda number=number: number in self._done)  # type: ignore[misc]
                result = self._done.pop(number)
                self._taken += 1
                if isinstance(result, BaseException):
                    raise result
                self._waiting_size -= self._size(result)
                self._changed.notify_all()
            yield result

    def _may_begin(self) -> bool:
        return self._begun >= self._count or (
            self._begun - self._taken < self._most and self._waiting_size <= self._most_size
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._may_begin)
                if self._begun >= self._count:
                    return
                number = self._begun
                self._begun += 1
            try:
                result: Result | BaseException = self._do(number)
                size = self._size(result)  # type: ignore[arg-type]
            except BaseException as error:
                result, size = error, 0
            with self._changed:
                self._done[number] = result
                self._waiting_size += size
                self._changed.notify_all()
