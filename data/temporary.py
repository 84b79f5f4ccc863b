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
_TRIES = 100  # of making one that nobody sweeps before it is locked
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
        for left in reversed(range(_TRIES)):
            path = folder / f"{PREFIX}{secrets.token_hex(8)}{suffix}"
            with contextlib.ExitStack() as made:
                if notes is not None and notes.resolve() != folder.resolve():
                    note = made.enter_context(temporary_path(notes, _NOTE))
                    note.write_bytes(os.fsencode(path.absolute()))
                made.callback(_remove_group, folder, path.name[: len(PREFIX) + 16])
                if is_folder:
                    path.mkdir(mode=0o700)
                else:
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
                try:
                    made.enter_context(_lock(path))
                except FileNotFoundError:  # swept between these two lines
                    if not left:
                        raise
                    continue
                held.enter_context(made.pop_all())
                break
        yield path


def sweep(*folders: Path) -> None:
    """Remove what killed processes have left in folders, and elsewhere if a note there says so.

    What cannot be looked at or removed stays.
    """
    for folder in folders:
        for token in sorted(_tokens(folder)):
            with _claimed(folder, token) as is_nobodys:
                if is_nobodys:
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


@contextlib.contextmanager
def _claimed(folder: Path, token: str) -> Iterator[bool]:
    """Whether no process needs any of a group; its locks are held meanwhile.

    So whoever has just made a file, and comes to lock it, waits until it is removed, and sees that.
    """
    with contextlib.ExitStack() as held:
        yield all(_is_free(path, held) for path in _group(folder, token))


def _is_free(path: Path, held: contextlib.ExitStack) -> bool:
    """Whether nobody has locked a file or folder; if so, it is locked until the stack is closed."""
    try:
        status = path.lstat()
        if fcntl is None:
            return time.time() - status.st_mtime >= _OLD
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        held.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _follow(note: Path) -> None:
    """Remove what a note names, if it is something temporary that nobody needs."""
    try:
        with note.open("rb") as file:
            named = Path(os.fsdecode(file.read(_LONGEST_NOTE)))
    except (OSError, ValueError):
        return
    found = _OURS.match(named.name)
    with contextlib.suppress(OSError, ValueError):
        if found and named.is_absolute():
            with _claimed(named.parent, found[0]) as is_nobodys:
                if is_nobodys:
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
