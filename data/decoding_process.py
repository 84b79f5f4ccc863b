"""A worker process as it is seen from here: asked for pixels, and ended when it fails."""

import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from .decoding import MAX_PIXELS
from .decoding_worker import PATIENCE, REPLY, WARNINGS
from .environment import handed_on
from .errors import ImageError
from .pixels import Array

_PIPE = 1 << 20  # bytes on their way, where the system lets a pipe hold so many

_LONGEST_MESSAGE = 2000  # bytes

_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "HOME", "LD_LIBRARY_PATH", "SYSTEMROOT")

_TOO_LONG = [-getattr(signal, name, 0) for name in ("SIGPROF", "SIGALRM")]
"""How a process ends whose time is over."""

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from data.decoding_worker import serve; "
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
