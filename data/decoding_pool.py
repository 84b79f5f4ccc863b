"""Strangers' pictures decoded in processes of their own, whose memory and time have a limit.

A picture that was made to break a decoder, or to keep it busy, costs its worker process and nothing
else. `decode` and `decode_pixels` are those of `data.decoding`; within `decoding_apart` they hand
the bytes to a worker and get raw pixels back, equal to the last bit. That takes two to three times
as long as decoding here, and 0.3 seconds for a worker's start: `benchmarks/decoding.py`.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from PIL import Image

from . import decoding
from .decoding import MAX_PIXELS, Warn, unheard
from .decoding_process import DecodingProcess
from .decoding_worker import REQUEST, kinds_of
from .errors import ArgumentError
from .formats import FORMATS
from .pixels import Array, Pixels

MOST_MEMORY = 2_000_000_000
"""Bytes of address space that decoding one picture may take.

The most that any picture of `MAX_PIXELS` was seen to take is between 1 and 1.5 billion.
"""

MOST_SECONDS = 10.0
"""Processor time that decoding one picture may take, and `PATIENCE` times as much by the clock."""

IDLE_SECONDS = 60.0
"""After so long without a picture the workers end."""

MOST_WORKERS = 64
"""Worker processes of one pool."""

_USUAL_WORKERS = 8


class DecodingPool:
    """Processes that decode; started when they are needed. Safe for several threads.

    Args:
        workers: The most of them; None: one a core, at most 8.
        memory: Bytes that a picture may take, where the system can limit that.
        seconds: Processor time that it may take; by the clock it is `PATIENCE` times as much.
        idle: Seconds without a picture after which a worker ends.

    Raises:
        ArgumentError: Less than one worker, or more than `MOST_WORKERS`.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        memory: int = MOST_MEMORY,
        seconds: float = MOST_SECONDS,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self.workers = min(usable_cores(), _USUAL_WORKERS) if workers is None else workers
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ArgumentError(f"{workers} workers: give 1 to {MOST_WORKERS}")
        self._memory, self._seconds, self._idle_seconds = memory, seconds, idle
        self._free = threading.BoundedSemaphore(self.workers)
        self._lock = threading.Lock()
        self._idle: list[DecodingProcess] = []
        self._sweeper: threading.Timer | None = None
        self._closed = False

    def decode(
        self,
        content: bytes,
        *,
        formats: Iterable[str] = FORMATS,
        max_pixels: int = MAX_PIXELS,
        warn: Warn = unheard,
    ) -> Image.Image:
        """As `data.decoding.decode`; a picture beyond the limits is an `ImageError` as well."""
        (colours,) = self._ask(content, False, formats, max_pixels, warn)
        return Image.fromarray(colours)

    def decode_pixels(
        self,
        content: bytes,
        *,
        formats: Iterable[str] = FORMATS,
        max_pixels: int = MAX_PIXELS,
        warn: Warn = unheard,
    ) -> Pixels:
        """As `data.decoding.decode_pixels`; likewise."""
        colours, *alpha = self._ask(content, True, formats, max_pixels, warn)
        return Pixels(colours=colours, alpha=alpha[0] if alpha else None)

    def close(self) -> None:
        """End the workers; one that is decoding ends when it has."""
        with self._lock:
            self._closed = True
            workers, self._idle = self._idle, []
            if self._sweeper is not None:
                self._sweeper.cancel()
        for worker in workers:
            worker.end()

    def _ask(
        self, content: bytes, deep: bool, formats: Iterable[str], max_pixels: int, warn: Warn
    ) -> list[Array]:
        most = min(max_pixels, MAX_PIXELS)
        request = REQUEST.pack(deep, kinds_of(frozenset(formats)), most, len(content))
        with self._worker() as worker:
            layers, warnings = worker.ask(request, content)
        for warning in warnings:
            warn(warning)
        return layers

    @contextmanager
    def _worker(self) -> Iterator[DecodingProcess]:
        """A worker that nobody else uses; whoever leaves the block by a broken one ends it."""
        with self._free:
            worker = self._waiting() or DecodingProcess(self._memory, self._seconds)
            try:
                yield worker
            finally:
                self._put_back(worker)

    def _waiting(self) -> DecodingProcess | None:
        """A worker that waits for pictures; those that were killed meanwhile are let go."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None or worker.is_alive:
                return worker
            worker.end()

    def _put_back(self, worker: DecodingProcess) -> None:
        with self._lock:
            if worker.is_ready and not self._closed:
                worker.waits_since = time.monotonic()
                self._idle.append(worker)
                self._sweep_later()
                return
        worker.end()

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(self._idle_seconds, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        """End the workers that have waited for long enough."""
        since = time.monotonic() - self._idle_seconds
        with self._lock:
            old = [worker for worker in self._idle if worker.waits_since <= since]
            self._idle = [worker for worker in self._idle if worker.waits_since > since]
            self._sweeper = None
            if self._idle and not self._closed:
                self._sweep_later()
        for worker in old:
            worker.end()


_pool: DecodingPool | None = None
"""Where this process has its pictures decoded; None: in itself."""


@contextmanager
def decoding_apart(workers: int | None = None) -> Iterator[DecodingPool]:
    """Let worker processes decode every picture that this process reads within the block.

    Args:
        workers: The most of them; a pool that is in use already keeps its number.
    """
    global _pool
    if _pool is not None:
        yield _pool
        return
    _pool = pool = DecodingPool(workers)
    try:
        yield pool
    finally:
        _pool = None
        pool.close()


def decode(
    content: bytes,
    *,
    formats: Iterable[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    warn: Warn = unheard,
) -> Image.Image:
    """Decode one picture here, or apart within `decoding_apart`; see `data.decoding.decode`."""
    return (_pool or decoding).decode(content, formats=formats, max_pixels=max_pixels, warn=warn)


def decode_pixels(
    content: bytes,
    *,
    formats: Iterable[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    warn: Warn = unheard,
) -> Pixels:
    """Decode one picture with all its bits; likewise."""
    decoder = _pool or decoding
    return decoder.decode_pixels(content, formats=formats, max_pixels=max_pixels, warn=warn)


def usable_cores() -> int:
    """So many processors may this process use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
