"""Work on an index in a thread of its own, while an older one answers."""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Generic, TypeVar

from data.errors import AppError

from ..storage.store import Store

Made = TypeVar("Made")


class Stopped(Exception):  # noqa: N818  # not an error
    """The index is not wanted any more."""


class Background(Generic[Made]):
    """Does something with the gallery, opened once more, in a thread.

    Whatever fails there costs time and nothing else: what answers meanwhile goes on doing so.

    Args:
        open_store: Opens the gallery once more.
        work: Called with it, and with what raises `Stopped` where this is not wanted any more.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        work: Callable[[Store, Callable[[], None]], Made],
    ) -> None:
        self._open_store, self._work = open_store, work
        self._is_unwanted = threading.Event()
        self._made: Made | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with closing(self._open_store()) as store:
                self._made = self._work(store, self._check)
        except (OSError, AppError, RuntimeError, MemoryError, Stopped) as error:
            self._error = error

    def _check(self) -> None:
        if self._is_unwanted.is_set():
            raise Stopped

    @property
    def is_busy(self) -> bool:
        """Whether it is still at it."""
        return self._thread.is_alive()

    @property
    def made(self) -> Made | None:
        """What came of it, once it is done; None where it failed."""
        return None if self.is_busy else self._made

    @property
    def error(self) -> Exception | None:
        """Why it failed; None where it did not."""
        return None if self.is_busy else self._error

    def stop(self) -> None:
        """Give up, and wait until that is done."""
        self._is_unwanted.set()
        self._thread.join()
