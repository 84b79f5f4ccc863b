"""Standard output and error of a command line whose reader may be full, closed or gone."""

import io
import os
import signal
import sys
from types import FrameType
from typing import Any

from .start import open_missing_streams


class PrintingError(OSError):
    """What was to be printed on standard output could not be.

    Attributes:
        midway: Whether it was about work that was still going on.
    """

    midway = False


class ReaderGoneError(PrintingError, BrokenPipeError):
    """The same because whoever read it has closed the pipe, as `head` does."""


class _Raw(io.RawIOBase):
    """A descriptor to write to; after the first failure everything is thrown away.

    Args:
        number: The descriptor; it stays open.
        deaf: Whether not even the first failure is told of.
    """

    def __init__(self, number: int, *, deaf: bool) -> None:
        self._number, self._deaf, self._broken = number, deaf, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any) -> int:
        size = len(memoryview(data).cast("B"))
        if self._broken:
            return size
        try:
            return os.write(self._number, data)
        except BlockingIOError:
            return size
        except OSError as error:
            self._broken = True
            if self._deaf:
                return size
            kind = ReaderGoneError if isinstance(error, BrokenPipeError) else PrintingError
            raise kind(error.errno, error.strerror) from error


class Interruption:
    """Whether Ctrl-C has been pressed; an exception on its way up may have been turned into others.

    A library that is interrupted while it is loaded or called back tells of an error of its own.
    """

    def __init__(self) -> None:
        self.happened = False

    def watch(self) -> None:
        """Note Ctrl-C, and let it end what goes on as ever."""
        signal.signal(signal.SIGINT, self._note)
        told = sys.unraisablehook

        def quiet(problem: "sys.UnraisableHookArgs") -> None:
            if not self.happened:
                told(problem)

        sys.unraisablehook = quiet

    def ignore(self) -> None:
        """Let the process end in order: it has nothing left to do but that."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        raise KeyboardInterrupt


INTERRUPTION = Interruption()
"""That of this process."""


def prepare() -> None:
    """Make standard output and error safe to print to, whatever they are connected to."""
    open_missing_streams()
    sys.stdout = _stream(1, sys.stdout, deaf=False)
    sys.stderr = _stream(2, sys.stderr, deaf=True)


def _stream(number: int, old: Any, *, deaf: bool) -> io.TextIOWrapper:
    """A text stream on a descriptor, of the encoding that it had before."""
    raw = _Raw(number, deaf=deaf)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(old, "encoding", None) or "utf-8",
        errors="backslashreplace",  # a file's name may be no valid text
        line_buffering=deaf or raw.isatty(),
    )
