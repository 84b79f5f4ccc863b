"""Long work in the background: submit, watch, cancel, and find again after a reload.

A job is a command of this application that runs in processes of its own (`ui.jobs.supervisor`).
All that is known of it lies in `<home>/jobs/<id>/`: what it was given, what it reports line by line
as JSON, what it makes, and how it ended. So any process may watch it at any time, and its id is all
that a page must remember. For Linux and macOS, whose file locks tell whether a job is alive.

A record holds what a job was asked to do, never a command: whoever starts a job makes that of its
order. The files may be damaged or another's: a record that is none is left out and named by
`unreadable`, and a signal goes to no process but those of the job, which hold its lock.
"""

import fcntl
import json
import math
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Any

import psutil

from data import clock
from data.environment import handed_on
from data.errors import AppError
from data.files import (
    data_home,
    printable,
    private_folder,
    read_beginning,
    read_end,
    read_regular,
    write_atomic,
)
from data.temporary import sweep

from .orders import JobOrder
from .supervisor import COMPLAINTS, DONE, ENDED, MOST_BYTES, MOST_BYTES_KEPT, size_of_all

MOST_RUNNING = 2
"""Jobs that may run at once; each may take all the cores and some gigabytes of memory."""
KEPT_DAYS = 7
"""How long the folder of a job that has ended is kept."""

MOST_KEPT = 500
"""Jobs whose folders are there at once."""

_ID = re.compile(r"[0-9a-f]{16}")
_CLOCK, _MOST_SEEN = "clock.json", 1000
_RECORD, _LOCK, _CANCELLED, _KEPT = "job.json", "lock", "cancelled", "kept"
_STARTING = "starting.lock"
_LONGEST_RECORD, _LONGEST_TITLE = 100_000, 200  # bytes, characters
_LONGEST_COMPLAINT = 1_000_000  # bytes at the end of what a job prints as errors
_LATEST = 1e11  # seconds since 1970 that a record may tell of; NaN is none of them


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
        order: What it was asked to do, as its record has it; `ui.jobs.orders` checks it.
        kept: Whether it stays, however long ago it ended.
    """

    id: str
    folder: Path
    kind: str
    title: str
    created: float
    state: JobState
    cancelled: bool
    error: str | None
    order: object = field(default=None, repr=False)
    kept: bool = False

    def read(self, name: str) -> bytes | None:
        """The content of one of the job's files, if it is there and not too long to be one."""
        try:
            return read_regular(self.folder / name, error=AppError, most_bytes=MOST_BYTES)
        except AppError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What is written down of a job when it is started."""

    kind: str
    title: str
    created: float
    order: object


def prepare(files: Mapping[str, bytes], *, home: Path | None = None) -> Path:
    """Make a job's folder and put into it what the job works on.

    Args:
        files: Content by file name; the names are the caller's own, never a stranger's.
        home: The data folder; None takes the user's.

    Returns:
        The folder, for `start`; its name is the job's id.

    Raises:
        AppError: Enough jobs are running, their files take too much room, or the folder cannot be
            written.
    """
    tidy(home)
    _require_room(_folder(home))
    _require_space(home, sum(map(len, files.values())))
    folder = private_folder(_folder(home) / secrets.token_hex(8))
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise AppError(f"cannot write {folder}: {error.strerror}; make room on the disk") from error
    return folder


def start(
    folder: Path, command: Sequence[str], order: JobOrder, *, environment: Iterable[str] = ()
) -> Job:
    """Start a job and return at once.

    Its processes get no more of this one's environment than `data.environment` lists, and work in
    the job's folder.

    Args:
        folder: From `prepare`.
        command: What to run, as an argument list.
        order: What it is asked to do, which the command was made of.
        environment: Variables that it gets besides those on the list.

    Raises:
        AppError: Enough jobs are running by now, or its lock is no file.
    """
    record = _Record(
        kind=order.kind,
        title=order.title[:_LONGEST_TITLE],
        created=time.time(),
        order=order.as_json(),
    )
    with _leaving_nothing(folder), _starting(folder.parent), _lock_file(folder) as lock:
        # Taken before anybody can see the record; the copies that the processes inherit keep it.
        if not _is_taken(lock):  # somebody was faster to start it again
            return _look_at(folder, record)
        _require_room(folder.parent, besides=folder.name)
        lock.truncate()
        for name in (ENDED, _CANCELLED):
            (folder / name).unlink(missing_ok=True)
        written = {name: getattr(record, name) for name in _Record.__slots__}
        write_atomic(folder / _RECORD, json.dumps(written).encode())
        program = [
            sys.executable,
            "-P",
            "-m",
            "ui.jobs.supervisor",
            str(folder),
            str(lock.fileno()),
        ]
        process = subprocess.Popen(
            [*program, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=handed_on(environment),
            pass_fds=(lock.fileno(),),
            start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
        )
        lock.write(str(process.pid).encode())
    # Somebody must wait for it, or a zombie would stay until the server ends.
    threading.Thread(target=process.wait, daemon=True).start()
    return _look_at(folder, record)


def go_on(job: Job, command: Sequence[str], order: JobOrder, *, home: Path | None = None) -> Job:
    """Start a job that has ended once more, in the same folder, and return at once.

    For commands that go on with what they have left there.

    Args:
        job: The job.
        command: What to run, as an argument list.
        order: What it is asked to do, which the command was made of.
        home: The data folder; None takes the user's.

    Raises:
        AppError: Enough jobs are running, all files take too much room, or it was discarded
            meanwhile.
    """
    _require_space(home, 0, jobs=0)
    if _record(job.folder) is None:
        raise AppError("this job was discarded meanwhile: start it anew")
    return start(job.folder, command, order)


def find(identity: str, *, home: Path | None = None) -> Job | None:
    """The job of that id, or None where there is none: any text is safe to ask for."""
    if not _ID.fullmatch(identity):
        return None
    folder = _folder(home) / identity
    record = _record(folder)
    return None if record is None else _look_at(folder, record)


def all_jobs(home: Path | None = None) -> list[Job]:
    """Every job whose time is not over and whose record can be read, the newest first."""
    tidy(home)
    jobs = [job for name in _ids(home) if (job := find(name, home=home))]
    return sorted(jobs, key=lambda job: job.created, reverse=True)


def unreadable(home: Path | None = None) -> list[str]:
    """The ids of jobs whose record cannot be read; `discard_unreadable` removes them."""
    found = []
    for name in _ids(home):
        folder = _folder(home) / name
        if _record(folder) is None and (folder / _RECORD).exists():
            found.append(name)
    return sorted(found)


def discard_unreadable(home: Path | None = None) -> None:
    """Remove the jobs whose record cannot be read, and everything that is in their folders."""
    for name in unreadable(home):
        _end(_folder(home) / name)
        shutil.rmtree(_folder(home) / name, ignore_errors=True)


def cancel(job: Job) -> None:
    """Ask a running job to stop; what it has made so far stays.

    Where the process that would pass that on was killed, those that it has left are ended.
    """
    with _held(job.folder) as held:
        if held:
            with suppress(OSError):  # on a full disk it is stopped all the same
                (job.folder / _CANCELLED).touch(mode=0o600)
            _end(job.folder)


def keep(job: Job, kept: bool = True) -> None:
    """Let a job stay however long ago it ended, or take that back.

    Raises:
        AppError: It was discarded meanwhile, or the disk does not take it.
    """
    mark = job.folder / _KEPT
    try:
        if kept:
            mark.touch(mode=0o600)
        else:
            mark.unlink(missing_ok=True)
    except OSError as error:
        raise AppError(
            f"this picture cannot be kept ({error.strerror}): it was discarded, or the disk is full"
        ) from error


def discard(job: Job) -> None:
    """Remove a job and everything it was given and has made; a running one is cancelled."""
    cancel(job)
    shutil.rmtree(job.folder, ignore_errors=True)


def tidy(home: Path | None = None) -> None:
    """Remove the folders of jobs that ended too long ago, and of those that never began.

    By the end that was written down, however often somebody looked at the pictures since; and only
    if the clock can be believed, see `data.clock`.
    """
    folder, limit = _folder(home), clock.now() - timedelta(days=KEPT_DAYS)
    sweep(folder)
    over = [name for name in _ids(home) if _kept_since(folder / name) < limit.timestamp()]
    if not over or not _clock_is_plausible(folder):
        return
    for name in over:
        sweep(folder / name)
        with _held(folder / name) as held:  # by the files themselves: a record may be damaged
            if not (held or (folder / name / _KEPT).exists()):
                shutil.rmtree(folder / name, ignore_errors=True)


def _kept_since(folder: Path) -> float:
    """When a job ended, or else was started, or its folder was made: seconds since 1970."""
    record = _record(folder)
    for moment in (_ended(folder).get("ended"), None if record is None else record.created):
        if isinstance(moment, int | float) and type(moment) is not bool and 0 <= moment <= _LATEST:
            return float(moment)
    with suppress(OSError):
        return folder.stat().st_mtime
    return math.inf


def _clock_is_plausible(folder: Path) -> bool:
    """Whether something may be removed by the clock, which is noted now and then."""
    path, now = folder / _CLOCK, clock.now()
    seen: list[datetime] = []
    with suppress(AppError, ValueError, TypeError, RecursionError):
        text = read_regular(path, error=AppError, most_bytes=_LONGEST_RECORD)
        seen = [datetime.fromisoformat(one) for one in json.loads(text)][:_MOST_SEEN]
        if any(one.tzinfo is None for one in seen):
            seen = []
    reading = clock.judged(now, seen)
    if not seen or abs(now - seen[0]) > timedelta(hours=1):
        kept = [one.isoformat() for one in [now, *seen][:_MOST_SEEN]]
        with suppress(OSError):
            write_atomic(path, json.dumps(kept).encode())
    return reading.is_plausible


def _require_room(folder: Path, *, besides: str = "") -> None:
    """Raise AppError where enough jobs are running.

    Args:
        folder: Where the jobs are.
        besides: One of them, which does not count.
    """
    running = 0
    for name in _names(folder):
        if name != besides:
            with _held(folder / name) as held:
                running += held
    if running >= MOST_RUNNING:
        raise AppError(f"{running} jobs are running already: wait for one to end, or cancel it")


def _require_space(home: Path | None, more: int, *, jobs: int = 1) -> None:
    """Raise AppError where so many bytes more are too many, or so many folders."""
    names = _ids(home)
    used = size_of_all(_folder(home))
    if (
        more > MOST_BYTES
        or used + more > MOST_BYTES_KEPT
        or (jobs and len(names) + jobs > MOST_KEPT)
    ):
        raise AppError(
            f"{len(names)} jobs of the last {KEPT_DAYS} days take {used / 1e9:.1f} GB, of "
            f"{MOST_KEPT} and {MOST_BYTES_KEPT / 1e9:.0f} GB: discard pictures that are not needed"
        )


def _ids(home: Path | None) -> list[str]:
    """The names of all folders that may be jobs'."""
    return _names(_folder(home))


def _names(folder: Path) -> list[str]:
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return [name for name in names if _ID.fullmatch(name) and not (folder / name).is_symlink()]


@contextmanager
def _leaving_nothing(folder: Path) -> Iterator[None]:
    """Remove the folder of a job that could not be started and was none before.

    Raises:
        AppError: A file could not be written or replaced, in words.
    """
    is_new = not os.path.lexists(folder / _RECORD)
    try:
        yield
    except (AppError, OSError) as error:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise AppError(
                f"cannot write into {folder}: {error.strerror}; make room on the disk, or discard "
                "this job"
            ) from error
        raise


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """Let one process at a time look whether there is room for a job, and start it.

    Args:
        folder: Where the jobs are.
    """
    descriptor = _opened(folder / _STARTING)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(folder: Path) -> Iterator[FileIO]:
    """The open lock of a job, which is made where there is none."""
    with FileIO(_opened(folder / _LOCK), "r+") as lock:
        yield lock


def _is_taken(lock: FileIO) -> bool:
    """Whether the lock of a job could be taken; whoever looks at a job has it for a moment."""
    for _ in range(20):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _opened(path: Path) -> int:
    """The descriptor of a file of ours, which is made where there is none.

    Raises:
        AppError: Something else has its name, a link or a pipe; or it cannot be opened.
    """
    # Opening a pipe would wait for its other end; a link may lead to somebody's file.
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise AppError(
            f"cannot open {printable(path)} ({error.strerror}): remove it, and try again"
        ) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise AppError(f"{printable(path)} is no file: remove it, and try again")


def _record(folder: Path) -> _Record | None:
    """What is written down of a job; None where nothing is, or something else."""
    try:
        text = read_regular(folder / _RECORD, error=AppError, most_bytes=_LONGEST_RECORD)
        value = json.loads(text)
        kind, title, created = value["kind"], value["title"], value["created"]
        if not (
            isinstance(kind, str)
            and isinstance(title, str)
            and len(title) <= _LONGEST_TITLE
            and type(created) in (int, float)
            and 0 <= created <= _LATEST
        ):
            return None
        return _Record(kind=kind, title=title, created=created, order=value.get("order"))
    except (AppError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


def _folder(home: Path | None) -> Path:
    """Where the jobs of a data folder are."""
    return data_home(home) / "jobs"


def _look_at(folder: Path, record: _Record) -> Job:
    """A job as it stands now."""
    state, error = _state(folder)
    return Job(
        id=folder.name,
        folder=folder,
        kind=record.kind,
        title=record.title,
        created=record.created,
        order=record.order,
        state=state,
        cancelled=(folder / _CANCELLED).exists(),
        error=error,
        kept=(folder / _KEPT).exists(),
    )


def _state(folder: Path) -> tuple[JobState, str | None]:
    """How a job is doing, and why it failed if it did."""
    with _held(folder) as held:
        if held:
            return JobState.RUNNING, None
    ended = _ended(folder)
    exit_code = ended.get("exit_code")
    if type(exit_code) is not int or not -256 < exit_code < 256:
        exit_code = None
    if ended.get("too_large") is True:
        return JobState.FAILED, (
            f"it wrote more than {MOST_BYTES / 1e9:.0f} GB, which no job may: paint smaller"
        )
    if ended.get("no_space") is True:
        return JobState.FAILED, (
            f"the files of all jobs would take more than {MOST_BYTES_KEPT / 1e9:.0f} GB: discard "
            "pictures that are not needed, and start it again"
        )
    if exit_code in DONE:
        return JobState.DONE, None
    if (folder / _CANCELLED).exists():
        return JobState.CANCELLED, None
    return JobState.FAILED, _complaint(folder, exit_code)


def _ended(folder: Path) -> Mapping[str, Any]:
    """What the supervisor has written down at the end; empty where it has not, or it is damaged."""
    try:
        text = read_regular(folder / ENDED, error=AppError, most_bytes=_LONGEST_RECORD)
        value = json.loads(text)
    except (AppError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether a process of the job is alive, which cannot become true again within the block."""
    try:
        # Opening a pipe that somebody has put there would wait for its other end.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder / _LOCK, flags)
    except OSError:
        yield False
        return
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield True
        else:
            yield False
    finally:
        os.close(descriptor)


def _end(folder: Path) -> None:
    """Ask the supervisor of a job to stop it; without one, end what is left of the job."""
    if (folder / _LOCK).is_symlink():  # perhaps to the lock of another one
        return
    try:
        leader = int(read_beginning(folder / _LOCK, 20))
        lock = (folder / _LOCK).stat()
    except (OSError, ValueError):
        return
    members = [pid for pid in _session(leader) if _has_open(pid, lock)]
    if leader in members:
        _signal(leader, lock, signal.SIGTERM)
    else:
        for pid in members:
            _signal(pid, lock, signal.SIGKILL)


def _session(leader: int) -> Iterator[int]:
    """The processes of a job's session; a number in a file may be anything, and most are nobody's.

    A process's number is given again once it has ended, and a session's never while one of it is
    there: so whoever is of this session and holds the lock besides is the job's.
    """
    for pid in psutil.pids():
        with suppress(OSError):
            if pid > 1 and leader > 1 and os.getsid(pid) == leader:
                yield pid


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    """Whether a process has this very file open."""
    with suppress(OSError, psutil.Error):
        if Path("/proc/self/fd").is_dir():
            return any(_is_same(link, wanted) for link in Path(f"/proc/{pid}/fd").iterdir())
        return any(_is_same(Path(each.path), wanted) for each in psutil.Process(pid).open_files())
    return False


def _is_same(path: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), wanted)
    except OSError:
        return False


def _signal(pid: int, lock: os.stat_result, number: signal.Signals) -> None:
    """Signal a process of a job, and no other one that may get its number in this moment."""
    with suppress(OSError):
        if sys.platform != "linux":
            os.kill(pid, number)
            return
        process = os.pidfd_open(pid)
        try:
            if _has_open(
                pid, lock
            ):  # looked at again: from here on it is this process that is meant
                signal.pidfd_send_signal(process, number)
        finally:
            os.close(process)


def _complaint(folder: Path, exit_code: int | None) -> str:
    """The last line of error that a job has printed, or what can be said without one."""
    with suppress(OSError):
        text, _ = read_end(folder / COMPLAINTS, _LONGEST_COMPLAINT)
        for line in reversed(text.decode("utf-8", "replace").splitlines()):
            if line.startswith("error: "):
                return printable(line.removeprefix("error: "))
    if exit_code is None:
        return "it was ended from outside, or memory ran out: start it again, perhaps smaller"
    return f"it ended with exit code {exit_code}: start it again"
