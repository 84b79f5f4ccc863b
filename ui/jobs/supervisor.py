"""The process between the page and a job: `python -m ui.jobs.supervisor FOLDER LOCK COMMAND…`.

It runs the job's command at a low priority, keeps what it prints, and writes down how it ended.
Because it is not the page's own process, a job outlives a reload of the page and a restart of its
server. The lock is an open file, held until the last process of the job is gone: nobody takes a job
for alive that was killed, or for dead that is not. On Linux the command dies with this process,
whatever kills it, for nobody else would wait for it or stop it.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from data.files import write_atomic

LINES, COMPLAINTS, ENDED = "progress.jsonl", "complaints.txt", "ended.json"
"""The files of a job's folder: what it prints on stdout and stderr, how it ended."""

DONE = (0, 3)
"""Exit codes of a command that has done its work; after 3 it tells of other people."""

MOST_BYTES = 2_000_000_000
"""Bytes that the files of one job may have; it is ended when they have more."""

MOST_BYTES_KEPT = 5_000_000_000
"""Bytes of the files of all jobs; those that write are ended when there are more."""

MODEST = 50_000_000
"""Bytes that a job may write even then, so that none is ended for what another one wrote."""

_NICENESS = 10
# Seconds that a cancelled command has for the step that it is in, and for saving what it has done.
# On few cores a step of a large picture takes the better part of a minute.
_PATIENCE = 120
_LOOKED_AT = 2.0  # seconds between two looks at how much has been written
_SET_DEATH_SIGNAL = 1  # Linux's PR_SET_PDEATHSIG


def supervise(
    folder: Path,
    lock: int,
    command: Sequence[str],
    *,
    most_bytes: int = MOST_BYTES,
    most_of_all: int = MOST_BYTES_KEPT,
    modest: int = MODEST,
) -> None:
    """Run a job's command to its end; the wish to stop (SIGTERM) reaches it as Ctrl-C would.

    Args:
        folder: The job's folder.
        lock: The descriptor of the open lock file, which the command inherits.
        command: What to run.
        most_bytes: What the files in the folder may have.
        most_of_all: What those of all jobs may have, whose folders lie beside this one.
        modest: What this one may write even when they have more.
    """
    process: subprocess.Popen[bytes] | None = None
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if process is not None:
            _interrupt(process)

    signal.signal(signal.SIGTERM, stop)
    os.nice(_NICENESS)
    os.umask(0o077)  # what a job makes of somebody's photographs is theirs alone
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nor is a dump of them left behind
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    at_first = folder_size(folder)
    with _written_anew(folder / LINES) as lines, _written_anew(folder / COMPLAINTS) as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=complaints,
            pass_fds=(lock,),
            preexec_fn=_dies_with(os.getpid()),
        )
    if stopping:  # asked for while the command was being started
        _interrupt(process)
    ended: dict[str, object] = {}
    while True:
        try:
            ended["exit_code"] = process.wait(_LOOKED_AT)
            break
        except subprocess.TimeoutExpired:
            size = folder_size(folder)
            if size > most_bytes:
                ended["too_large"] = True
                process.kill()
            elif size > at_first + modest and size_of_all(folder.parent) > most_of_all:
                ended["no_space"] = True
                process.kill()
    ended["ended"] = time.time()  # by it the folder is kept for some days
    write_atomic(folder / ENDED, json.dumps(ended).encode())


def size_of_all(jobs: Path) -> int:
    """Bytes of the files of all jobs.

    Args:
        jobs: Where their folders are.
    """
    size = 0
    with suppress(OSError), os.scandir(jobs) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                size += folder_size(Path(entry.path))
    return size


def folder_size(folder: Path) -> int:
    """Bytes of a job's files, which lie in no folders of their own."""
    size = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_size
    return size


def _written_anew(path: Path) -> BinaryIO:
    """A new file in the place of whatever has its name, which may be a pipe or a link."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def _dies_with(parent: int) -> Callable[[], None] | None:
    """What a process does before it becomes the command: it asks to die when this one does."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)  # loaded before the fork, after which little is safe

    def ask() -> None:
        library.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was faster
            os._exit(1)

    return ask


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Ask a command to stop, and make an end of it if it does not."""
    signal.signal(signal.SIGALRM, lambda number, frame: process.kill())
    signal.alarm(_PATIENCE)
    process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
