"""A file layer that records every write, or makes one fail: below SQLite, and below Python's files.

SQLite is given a file system of our own (a VFS that passes everything on to the usual one), by
ctypes, in the very library that Python's `sqlite3` uses; so no line of the gallery knows of it.
"""

import _sqlite3
import ctypes
import errno
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

SECTOR = 512
FULL, IOERR, CANTOPEN, OK = 13, 10, 14, 0
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = (IOERR | n << 8 for n in (3, 4, 6, 10))
CREATE, WAL, MAIN = 0x4, 0x80000, 0x100  # SQLITE_OPEN_…

_pointer, _int, _long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_XOpen = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_XDelete = ctypes.CFUNCTYPE(_int, _pointer, ctypes.c_char_p, _int)
_XWrite = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _long)
_XTruncate = ctypes.CFUNCTYPE(_int, _pointer, _long)
_XSync = ctypes.CFUNCTYPE(_int, _pointer, _int)


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`; what is not touched is a plain pointer."""

    _fields_ = [
        ("version", _int), ("file_size", _int), ("longest_path", _int), ("next", _pointer),
        ("name", ctypes.c_char_p), ("data", _pointer), ("open", _XOpen), ("delete", _XDelete),
        *((f"rest_{n}", _pointer) for n in range(14)),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = [
        ("version", _int), ("close", _pointer), ("read", _pointer), ("write", _XWrite),
        ("truncate", _XTruncate), ("sync", _XSync), *((f"rest_{n}", _pointer) for n in range(13)),
    ]  # fmt: skip


class _File(ctypes.Structure):
    """`sqlite3_file`, as far as everybody knows it."""

    _fields_ = [("methods", ctypes.POINTER(_Methods))]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a file, or an acknowledgement.

    Attributes:
        kind: create, write, truncate, sync, delete, or acknowledge.
        name: The file's name; of an acknowledgement, what was acknowledged.
        offset: Where it was written; the new length of a truncation.
        content: What was written.
    """

    kind: str
    name: str
    offset: int = 0
    content: bytes = b""


@dataclass
class Faults:
    """Which of the writes fail. Points are counted from 0 over every kind of write.

    Attributes:
        at: The point that fails; None lets all pass.
        lasting: Whether every later one fails as well.
        full: Whether the disk is full, or else broken.
        torn: Whether half of a failing write reaches the file.
        quota: Bytes by which files may grow before the disk is full; None for no limit.
        points: How many there have been.
    """

    at: int | None = None
    lasting: bool = False
    full: bool = False
    torn: bool = False
    quota: int | None = None
    points: int = 0
    written: int = 0
    events: list[Event] = field(default_factory=list)

    def next_fails(self, grows: int = 0) -> bool:
        """Count one point; whether it is one that fails."""
        point, self.points = self.points, self.points + 1
        if self.quota is not None and grows:
            if self.written + grows > self.quota:
                return True
            self.written += grows
        return self.at is not None and (point == self.at or (self.lasting and point > self.at))

    def error(self) -> OSError:
        """What Python is told."""
        number = errno.ENOSPC if self.full or self.quota is not None else errno.EIO
        return OSError(number, os.strerror(number))

    def code(self, otherwise: int) -> int:
        """What SQLite is told."""
        return FULL if self.full or self.quota is not None else otherwise

    def acknowledge(self, what: str) -> None:
        """Note that the gallery has said that something is done."""
        self.events.append(Event("acknowledge", what))


@contextmanager
def faulty(faults: Faults) -> Iterator[Faults]:
    """Let every write of this process, SQLite's and Python's, pass through `faults`."""
    with _below_sqlite(faults), _below_python(faults):
        yield faults


@contextmanager
def _below_sqlite(faults: Faults) -> Iterator[None]:
    library = ctypes.CDLL(_sqlite3.__file__)  # finds what that module is linked to
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    usual = library.sqlite3_vfs_find(None)
    ours = _Vfs.from_buffer_copy(usual.contents)
    ours.name = b"likeness-torture"
    names: dict[int, str] = {}
    methods: dict[int, tuple[_Methods, _Methods]] = {}  # by the address of the usual ones

    def open_file(_: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        creates = bool(path and flags & CREATE and not Path(path).exists())
        if creates and faults.next_fails():
            ctypes.cast(file, ctypes.POINTER(_File)).contents.methods = None  # not to be closed
            return CANTOPEN
        code = usual.contents.open(ctypes.addressof(usual.contents), name, file, flags, out)
        if code == OK:
            opened = ctypes.cast(file, ctypes.POINTER(_File)).contents
            names[file] = Path(path).name
            if creates:
                faults.events.append(Event("create", names[file]))
            opened.methods = ctypes.pointer(replaced(opened.methods.contents))
        return int(code)

    def replaced(given: _Methods) -> _Methods:
        address = ctypes.addressof(given)
        if address not in methods:
            copy = _Methods.from_buffer_copy(given)
            copy.write, copy.truncate, copy.sync = write, truncate, sync
            methods[address] = (copy, given)
            methods[ctypes.addressof(copy)] = (copy, given)
        return methods[address][0]

    def usual_of(file: int) -> _Methods:
        opened = ctypes.cast(file, ctypes.POINTER(_File)).contents
        return methods[ctypes.addressof(opened.methods.contents)][1]

    def write_file(file: int, buffer: int, count: int, offset: int) -> int:
        content = ctypes.string_at(buffer, count)
        if names[file] and faults.next_fails(grows=count):
            if faults.torn:
                usual_of(file).write(file, buffer, count // 2, offset)
            return faults.code(IOERR_WRITE)
        faults.events.append(Event("write", names[file], offset, content))
        return int(usual_of(file).write(file, buffer, count, offset))

    def truncate_file(file: int, size: int) -> int:
        if names[file] and faults.next_fails():
            return IOERR_TRUNCATE
        faults.events.append(Event("truncate", names[file], size))
        return int(usual_of(file).truncate(file, size))

    def sync_file(file: int, flags: int) -> int:
        if names[file] and faults.next_fails():
            return IOERR_FSYNC
        faults.events.append(Event("sync", names[file]))
        return int(usual_of(file).sync(file, flags))

    def delete_file(_: int, name: bytes, sync_folder: int) -> int:
        if faults.next_fails():
            return IOERR_DELETE
        faults.events.append(Event("delete", Path(name.decode()).name))
        return int(usual.contents.delete(ctypes.addressof(usual.contents), name, sync_folder))

    write, truncate, sync = _XWrite(write_file), _XTruncate(truncate_file), _XSync(sync_file)
    ours.open, ours.delete = _XOpen(open_file), _XDelete(delete_file)
    library.sqlite3_vfs_register(ctypes.byref(ours), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(ours))
        library.sqlite3_vfs_register(usual, 1)
        _KEPT.append((ours, methods, write, truncate, sync))  # connections may outlive the block


_KEPT: list[Any] = []

_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"), (os, "link"), (os, "mkdir"), (Path, "mkdir"), (Path, "replace"),
    (Path, "write_bytes"), (Path, "unlink"), (tempfile, "mkstemp"),
)  # fmt: skip


@contextmanager
def _below_python(faults: Faults) -> Iterator[None]:
    """The calls by which our own code changes files, one point each."""

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def passed_on(*args: Any, **options: Any) -> Any:
            content = args[1] if call.__name__ == "write_bytes" else b""
            if faults.next_fails(grows=len(content)):
                if faults.torn and content:
                    call(args[0], content[: len(content) // 2])
                raise faults.error()
            return call(*args, **options)

        return passed_on

    patches = [mock.patch.object(o, name, failing(getattr(o, name))) for o, name in _CALLS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def after_a_power_cut(
    before: dict[str, bytes], events: list[Event], cut: int, rng: random.Random
) -> dict[str, bytes]:
    """One of the states in which the disk may be found when the power goes after `cut` events.

    What was synced is there. Of what was not, any part may be: each write since, a beginning of it
    in whole sectors, or nothing of it, in any order; a new file may be there or not.

    Args:
        before: File name → content, safely on the disk.
        events: What was recorded then.
        cut: How many of them happened.
        rng: Draws the state.

    Returns:
        File name → content.
    """
    disk = {name: bytearray(content) for name, content in before.items()}
    waiting: dict[str, list[Event]] = {}
    for event in events[:cut]:
        if event.kind == "sync":
            for late in waiting.pop(event.name, ()):
                _apply(disk, late)
        elif event.kind != "acknowledge":
            waiting.setdefault(event.name, []).append(event)
    for late in waiting.values():
        survivors = [event for event in late if rng.random() < 0.5]
        if rng.random() < 0.5:
            rng.shuffle(survivors)
        for event in survivors:
            sectors = -(-len(event.content) // SECTOR)
            kept = rng.randint(0, sectors) * SECTOR if rng.random() < 0.3 else len(event.content)
            _apply(disk, Event(event.kind, event.name, event.offset, event.content[:kept]))
    return {name: bytes(content) for name, content in disk.items()}


def _apply(disk: dict[str, bytearray], event: Event) -> None:
    if event.kind == "delete":
        disk.pop(event.name, None)
        return
    content = disk.setdefault(event.name, bytearray())
    if event.kind == "truncate":
        del content[event.offset :]
    elif event.kind == "write":
        content.extend(bytes(max(0, event.offset - len(content))))
        content[event.offset : event.offset + len(event.content)] = event.content


def fresh(folder: Path) -> Path:
    """An empty folder of this name, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
