"""Long work in the background: submit, watch, cancel, and find again after a reload.

A job is a command of this application that runs in processes of its own (`ui.supervise`). All that
is known of it lies in `<home>/jobs/<id>/`: what it was given, what it reports line by line as JSON,
what it makes, and how it ended. So any process may watch it at any time, and its id is all that a
page must remember. For Linux and macOS, whose file locks tell whether a job is alive.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from data.errors import AppError
from data.files import data_home, private_folder, write_atomic

from .supervise import COMPLAINTS, DONE, ENDED, RECORD

MOST_RUNNING = 2
"""Jobs that may run at once; each may take all the cores and some gigabytes of memory."""
KEPT_DAYS = 7
"""How long the folder of a job that has ended is kept."""

_ID = re.compile(r"[0-9a-f]{16}")
_LOCK, _CANCELLED = "lock", "cancelled"


class JobState(StrEnum):
    """How a job is doing."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stood when it was looked at.

    Attributes:
        id: Hard to guess; whoever knows it may watch and cancel the job.
        folder: Where its files are.
        kind: What sort of work it is.
        title: What to call it; perhaps a stranger's text.
        created: When it was submitted, in seconds since 1970.
        state: How it is doing.
        cancelled: Whether somebody has asked it to stop.
        error: Why it failed, in one line; None where it did not.
    """

    id: str
    folder: Path
    kind: str
    title: str
    created: float
    state: JobState
    cancelled: bool
    error: str | None

    def read(self, name: str) -> bytes | None:
        """The content of one of the job's files, if it is there."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None


def prepare(files: Mapping[str, bytes], *, home: Path | None = None) -> Path:
    """Make a job's folder and put into it what the job works on.

    Args:
        files: Content by file name; the names are the caller's own, never a stranger's.
        home: The data folder; None takes the user's.

    Returns:
        The folder, for `start`; its name is the job's id.

    Raises:
        AppError: Enough jobs are running, or the folder cannot be written.
    """
    tidy(home)
    _require_room(home)
    folder = private_folder(_folder(home) / secrets.token_hex(8))
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise AppError(f"cannot write {folder}: {error.strerror}; make room on the disk") from error
    return folder


def start(folder: Path, command: Sequence[str], *, kind: str, title: str) -> Job:
    """Start a job and return at once.

    Args:
        folder: From `prepare`.
        command: What to run, as an argument list.
        kind: What sort of work it is.
        title: What to call it.
    """
    record = {"command": list(command), "kind": kind, "title": title, "created": time.time()}
    (folder / _LOCK).touch(mode=0o600)
    with (folder / _LOCK).open("r+b") as lock:
        # Taken before anybody can see the record; the copies that the processes inherit keep it.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody was faster to start it again
            return _look_at(folder, record)
        lock.truncate()
        for name in (ENDED, _CANCELLED):
            (folder / name).unlink(missing_ok=True)
        write_atomic(folder / RECORD, json.dumps(record).encode())
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ui.supervise", str(folder), str(lock.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock.fileno(),),
            start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
        )
        lock.write(str(process.pid).encode())
    # Somebody must wait for it, or a zombie would stay until the server ends.
    threading.Thread(target=process.wait, daemon=True).start()
    return _look_at(folder, record)


def go_on(job: Job, *, home: Path | None = None) -> Job:
    """Start the command of a job that has ended once more, in the same folder, and return at once.

    For commands that go on with what they have left there.

    Args:
        job: The job.
        home: The data folder; None takes the user's.

    Raises:
        AppError: Enough jobs are running, or it was discarded meanwhile.
    """
    _require_room(home)
    try:
        record = json.loads((job.folder / RECORD).read_text(encoding="utf-8"))
    except OSError as error:
        raise AppError("this job was discarded meanwhile: start it anew") from error
    return start(job.folder, record["command"], kind=job.kind, title=job.title)


def find(identity: str, *, home: Path | None = None) -> Job | None:
    """The job of that id, or None where there is none: any text is safe to ask for."""
    if not _ID.fullmatch(identity):
        return None
    folder = _folder(home) / identity
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _look_at(folder, record)


def all_jobs(home: Path | None = None) -> list[Job]:
    """Every job whose folder is still there, the newest first."""
    folder = _folder(home)
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    jobs = [job for name in names if (job := find(name, home=home))]
    return sorted(jobs, key=lambda job: job.created, reverse=True)


def cancel(job: Job) -> None:
    """Ask a running job to stop; what it has made so far stays."""
    with _held(job.folder) as held:
        if held:
            (job.folder / _CANCELLED).touch(mode=0o600)
            with suppress(OSError, ValueError):  # gone in this very moment
                os.kill(int((job.folder / _LOCK).read_text()), signal.SIGTERM)


def discard(job: Job) -> None:
    """Remove a job and everything it was given and has made; a running one is cancelled."""
    cancel(job)
    shutil.rmtree(job.folder, ignore_errors=True)


def tidy(home: Path | None = None) -> None:
    """Remove the folders of jobs that ended too long ago, and of those that never began."""
    limit = time.time() - KEPT_DAYS * 24 * 3600
    folder = _folder(home)
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError):
            if not _ID.fullmatch(entry.name) or entry.stat().st_mtime > limit:
                continue
            job = find(entry.name, home=home)
            if job is None or job.state is not JobState.RUNNING:
                shutil.rmtree(entry, ignore_errors=True)


def _require_room(home: Path | None) -> None:
    """Raise AppError where enough jobs are running."""
    running = sum(job.state is JobState.RUNNING for job in all_jobs(home))
    if running >= MOST_RUNNING:
        raise AppError(f"{running} jobs are running already: wait for one to end, or cancel it")


def _folder(home: Path | None) -> Path:
    """Where the jobs of a data folder are."""
    return data_home(home) / "jobs"


def _look_at(folder: Path, record: Mapping[str, Any]) -> Job:
    """A job as it stands now."""
    state, error = _state(folder)
    return Job(
        id=folder.name,
        folder=folder,
        kind=record["kind"],
        title=record["title"],
        created=record["created"],
        state=state,
        cancelled=(folder / _CANCELLED).exists(),
        error=error,
    )


def _state(folder: Path) -> tuple[JobState, str | None]:
    """How a job is doing, and why it failed if it did."""
    with _held(folder) as held:
        if held:
            return JobState.RUNNING, None
    try:
        exit_code = json.loads((folder / ENDED).read_text(encoding="utf-8"))["exit_code"]
    except (OSError, ValueError):
        exit_code = None
    if exit_code in DONE:
        return JobState.DONE, None
    if (folder / _CANCELLED).exists():
        return JobState.CANCELLED, None
    return JobState.FAILED, _complaint(folder, exit_code)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether a process of the job is alive, which cannot become true again within the block."""
    try:
        lock = (folder / _LOCK).open("rb")
    except OSError:
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield True
        else:
            yield False


def _complaint(folder: Path, exit_code: int | None) -> str:
    """The last line of error that a job has printed, or what can be said without one."""
    with suppress(OSError):
        for line in reversed((folder / COMPLAINTS).read_text("utf-8", "replace").splitlines()):
            if line.startswith("error: "):
                return line.removeprefix("error: ")
    if exit_code is None:
        return "it was ended from outside, or memory ran out: start it again, perhaps smaller"
    return f"it ended with exit code {exit_code}: start it again"
