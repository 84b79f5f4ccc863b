"""The process that stands between the page and one job: `python -m ui.supervise FOLDER LOCK`.

It runs the job's command at a low priority, keeps what it prints, and writes down how it ended.
Because it is not the page's own process, a job outlives a reload of the page and a restart of its
server. The lock is an open file, held until the last process of the job is gone: nobody takes a job
for alive that was killed, or for dead that is not.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from data.files import write_atomic

RECORD, LINES, COMPLAINTS, ENDED = "job.json", "progress.jsonl", "complaints.txt", "ended.json"
"""The files of a job's folder: what is run, what it prints on stdout and stderr, how it ended."""

DONE = (0, 3)
"""Exit codes of a command that has done its work; after 3 it tells of other people."""

_NICENESS = 10
# Seconds that a cancelled command has for the step that it is in, and for saving what it has done.
# On few cores a step of a large picture takes the better part of a minute.
_PATIENCE = 120


def supervise(folder: Path, lock: int) -> None:
    """Run a job's command to its end; the wish to stop (SIGTERM) reaches it as Ctrl-C would.

    Args:
        folder: The job's folder, whose record names the command.
        lock: The descriptor of the open lock file, which the command inherits.
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
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    with (folder / LINES).open("wb") as lines, (folder / COMPLAINTS).open("wb") as complaints:
        process = subprocess.Popen(
            record["command"],
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=complaints,
            pass_fds=(lock,),
        )
    if stopping:  # asked for while the command was being started
        _interrupt(process)
    exit_code = process.wait()
    write_atomic(folder / ENDED, json.dumps({"exit_code": exit_code}).encode())


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Ask a command to stop, and make an end of it if it does not."""
    signal.signal(signal.SIGALRM, lambda number, frame: process.kill())
    signal.alarm(_PATIENCE)
    process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), int(sys.argv[2]))
