"""Temporary files: hidden, of one prefix, and swept by whoever comes next if a kill left them.

Whoever makes one holds a lock on it as long as it is needed. The operating system lets go of the
lock with the process, however that ends: what can be locked is nobody's any more.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".likeness-"
"""What the name of everything temporary begins with."""

_OURS = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}")
_NOTE = ".place"
_LONGEST_NOTE = 10_000  # bytes
_OLD = 24 * 3600  # seconds after which a file is nobody's, where there are no locks


@contextlib.contextmanager
def temporary_path(
    folder: Path,
    suffix: str = "",
    *,
    is_folder: bool = False,
    mode: int = 0o600,
    notes: Path | None = None,
) -> Iterator[Path]:
    """Make an empty file or folder, hidden; what is left of it at the end is removed.

    Args:
        folder: Where; it must exist.
        suffix: Of its name.
        is_folder: Whether a folder is wanted.
        mode: Permissions of a file, less the process's umask; a folder is this user's alone.
        notes: A folder that is swept by every command. Where the temporary one is elsewhere, a note
            in it says where, so that it is found after a kill.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with contextlib.ExitStack() as held:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{suffix}"
        if notes is not None and notes.resolve() != folder.resolve():
            note = held.enter_context(temporary_path(notes, _NOTE))
            note.write_bytes(os.fsencode(path.absolute()))
        held.callback(_remove_group, folder, path.name[: len(PREFIX) + 16])
        if is_folder:
            path.mkdir(mode=0o700)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        held.enter_context(_lock(path))
        yield path


def sweep(*folders: Path) -> None:
    """Remove what killed processes have left in folders, and elsewhere if a note there says so.

    What cannot be looked at or removed stays.
    """
    for folder in folders:
        for token in sorted(_tokens(folder)):
            if _is_held(folder, token):
                continue
            for note in folder.glob(f"{token}{_NOTE}"):
                _follow(note)
            _remove_group(folder, token)


def _tokens(folder: Path) -> set[str]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return set()
    return {found[0] for name in names if (found := _OURS.match(name))}


def _group(folder: Path, token: str) -> list[Path]:
    """A temporary file with what SQLite keeps beside it."""
    return [path for path in folder.glob(f"{token}*") if not path.is_symlink()]


def _is_held(folder: Path, token: str) -> bool:
    """Whether some process still needs any of a group."""
    return any(_is_locked(path) for path in _group(folder, token))


def _is_locked(path: Path) -> bool:
    try:
        status = path.lstat()
        if fcntl is None:
            return time.time() - status.st_mtime < _OLD
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return True
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _follow(note: Path) -> None:
    """Remove what a note names, if it is something temporary that nobody needs."""
    try:
        with note.open("rb") as file:
            named = Path(os.fsdecode(file.read(_LONGEST_NOTE)))
    except (OSError, ValueError):
        return
    found = _OURS.match(named.name)
    with contextlib.suppress(OSError, ValueError):
        if found and named.is_absolute() and not _is_held(named.parent, found[0]):
            _remove_group(named.parent, found[0])


def _remove_group(folder: Path, token: str) -> None:
    for path in _group(folder, token):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock on a file or folder that was just made."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: `sweep` leaves it alone
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not path.exists():
            raise FileNotFoundError(2, "another process swept it in this very moment", str(path))
        yield
    finally:
        os.close(descriptor)
