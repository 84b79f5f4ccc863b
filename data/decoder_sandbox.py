"""The same in processes of their own, whose memory and time are bounded."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from . import decoding
from .decoder_worker import PATIENCE, REPLY, REQUEST, WARNINGS, kinds_of
from .decoding import MAX_PIXELS, Warn, unheard
from .environment import handed_on
from .errors import ArgumentError, ImageError
from .formats import FORMATS
from .pixels import Array, Pixels

# A worker process as it is seen from here: asked for pixels, and ended when it fails.

_PIPE = 1 << 20  # bytes on their way, where the system lets a pipe hold so many

_LONGEST_MESSAGE = 2000  # bytes

_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "HOME", "LD_LIBRARY_PATH", "SYSTEMROOT")

_TOO_LONG = [-getattr(signal, name, 0) for name in ("SIGPROF", "SIGALRM")]
"""How a process ends whose time is over."""

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from data.decoder_worker import serve; "
    "serve(int(sys.argv[2]), float(sys.argv[3]))"
)


class DecodingProcess:
    """A worker, asked by one thread at a time.

    Args:
        memory: Bytes that a picture may take, where the system can limit that.
        seconds: Processor time that it may take; by the clock it is `PATIENCE` times as much.

    Raises:
        ImageError: The system starts no more processes.

    Attributes:
        waits_since: For its owner: when it was last given back, by `time.monotonic`.
        is_ready: Whether it can be asked: not while it is, and never again once that has failed.
    """

    def __init__(self, memory: int, seconds: float) -> None:
        self._seconds = seconds
        self._is_late = False
        self.waits_since = 0.0
        self.is_ready = True
        try:
            self._process = _started(memory, seconds)
        except OSError as error:
            raise ImageError(
                f"no process could be started to decode it ({error.strerror}): close other "
                "programs and try again"
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, request: bytes, content: bytes) -> tuple[list[Array], list[str]]:
        """Decode one picture.

        Returns:
            Colours (H, W, 3), and alpha (H, W) where there is any; and what is odd about it.

        Raises:
            ImageError: It is refused, or the worker has ended over it.
        """
        self.is_ready = False
        alarm = threading.Timer(PATIENCE * self._seconds, self._give_up)
        alarm.daemon = True
        alarm.start()
        try:
            answer = self._converse(request, content)
        except (OSError, EOFError, ValueError) as error:
            raise ImageError(self._last_words()) from error
        finally:
            alarm.cancel()
        self.is_ready = not self._is_late
        if isinstance(answer, str):
            raise ImageError(answer)
        return answer

    def _converse(self, request: bytes, content: bytes) -> tuple[list[Array], list[str]] | str:
        assert self._process.stdin is not None
        self._process.stdin.write(request)
        self._process.stdin.write(content)
        self._process.stdin.flush()
        depth, height, width, channels = REPLY.unpack(self._read(REPLY.size))
        if not depth:
            return self._message(height)
        # Whatever a picture may have made of its decoder, no more is read than can be right.
        if depth > 2 or height * width > MAX_PIXELS:
            raise ValueError(f"{height}×{width} values of {depth} bytes")
        kind = np.dtype(f"<u{depth}")
        colours = np.frombuffer(self._read(height * width * 3 * depth), kind)
        layers: list[Array] = [colours.reshape(height, width, 3)]
        if channels == 4:
            alpha = np.frombuffer(self._read(height * width * depth), kind)
            layers.append(alpha.reshape(height, width))
        (length,) = WARNINGS.unpack(self._read(WARNINGS.size))
        return layers, self._message(length).splitlines()

    def _message(self, length: int) -> str:
        return self._read(min(length, _LONGEST_MESSAGE)).decode()

    def _read(self, length: int) -> bytes:
        assert self._process.stdout is not None
        content = self._process.stdout.read(length)
        if len(content) < length:
            raise EOFError
        return content

    def _give_up(self) -> None:
        self._is_late = True
        self._process.kill()

    def _last_words(self) -> str:
        """Why a picture has ended its worker."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        if self._is_late or self._process.returncode in _TOO_LONG:
            return (
                f"it could not be decoded within {self._seconds:g} seconds; expected a whole "
                "picture: save it again, or smaller"
            )
        return (
            "its decoder broke down over it, or was ended from outside; expected a whole picture: "
            "save it again, or smaller"
        )

    def end(self) -> None:
        """End it, and wait until it has."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()


def _started(memory: int, seconds: float) -> "subprocess.Popen[bytes]":
    # -P: what lies in the folder that this application was started in is none of it.
    place = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, place, str(memory), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=_PIPE,
        env=_environment(),
        start_new_session=True,  # Ctrl-C is not meant for it
    )


def _environment() -> dict[str, str]:
    """What Python needs to start, and none of what may be secret, such as a gallery's key."""
    kept = {name: value for name, value in handed_on().items() if name in _ENVIRONMENT}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


# Strangers' pictures decoded in processes of their own, whose memory and time have a limit.
#
# A picture that was made to break a decoder, or to keep it busy, costs its worker process and
# nothing else. `decode` and `decode_pixels` are those of `data.decoding`; within `decoding_apart`
# they hand the bytes to a worker and get raw pixels back, equal to the last bit. That takes two
# to three times as long as decoding here, and 0.3 seconds for a worker's start:
# `benchmarks/decoding.py`.

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
