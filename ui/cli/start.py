"""The beginning of the `likeness` process, before anything that takes time is loaded.

Three things must hold from the first moment on: Ctrl-C is one line, whatever is being imported;
descriptors 0 to 2 are open, or the first file that is opened would get one of their numbers, and
what is printed would go into it; and there is a working folder, without which mathematics
libraries end the process.
"""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
"""The exit code that a shell expects of a process that Ctrl-C ended."""

_BAD_ARGUMENT = 2


def run() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, _end)
    open_missing_streams()
    try:
        os.getcwd()  # noqa: PTH109  (pathlib is not loaded yet)
    except OSError as error:
        _say(f"error: the working folder cannot be used ({error.strerror}): go to another one")
        sys.exit(_BAD_ARGUMENT)
    from .main import run as go

    go()


def open_missing_streams() -> None:
    """Let whichever of standard input, output and error is closed be the null device."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing has been begun yet that would have to be left in order."""
    _say("error: interrupted")
    os._exit(INTERRUPTED)


def _say(line: str) -> None:
    with suppress(OSError):  # else there is nobody to tell
        os.write(2, f"{line}\n".encode())
