"""Files on disk: where the user's data lives, whole writes or none, digests, careful reading."""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from .errors import AppError, ArgumentError
from .temporary import temporary_path

_LONGEST_SHOWN = 160
"""Characters of a file's name or of a library's message that a line for the user holds."""


_SHARED_FILE_SYSTEMS = frozenset({
    # served over a network
    "nfs", "nfs2", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncp", "ncpfs", "afs",
    "auristorfs", "afpfs", "coda", "dav", "davfs", "davfs2", "sshfs", "curlftpfs",
    # of several machines together
    "ceph", "glusterfs", "lustre", "gpfs", "mmfs", "beegfs", "beegfs_nodev", "fhgfs", "orangefs",
    "pvfs2", "panfs", "wekafs", "juicefs", "moosefs", "mfs", "lizardfs", "saunafs", "quobyte",
    "cvfs", "snfs", "acfs",
    # a disk that several machines write to at once
    "gfs", "gfs2", "ocfs2",
    # the host's, inside a virtual machine or a container
    "9p", "virtiofs", "vboxsf", "vmhgfs", "hgfs", "prl_fs", "drvfs", "grpcfuse", "osxfs",
    "fakeowner", "hostfs",
    # some program's, and not told which
    "fuse",
})  # fmt: skip
_LOCAL_PROGRAMS = frozenset({
    "ntfs", "ntfs-3g", "lowntfs-3g", "exfat", "exfat-fuse", "ext2", "ext4", "fuse-ext2", "fuse2fs",
    "fusefat", "apfs", "apfs-fuse", "hfsfuse", "zfs", "zfs-fuse", "bcachefs", "encfs", "gocryptfs",
    "cryfs", "securefs", "veracrypt", "dislocker", "mergerfs", "mhddfs", "unionfs", "unionfs-fuse",
    "fuse-overlayfs", "bindfs", "squashfuse", "squashfuse_ll", "snapfuse", "erofsfuse",
    "archivemount", "ratarmount", "fuse-zip", "lxcfs", "portal",
})  # fmt: skip
"""Those that show files of this machine by FUSE; any other may fetch them from elsewhere."""

_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def printable(text: str | os.PathLike[str]) -> str:
    """Return `text` fit for a message of one line, whatever a file's name may hold.

    Line breaks, control characters, undecodable bytes and marks that reverse the writing direction
    are escaped; what is too long loses its middle.
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in os.fspath(text)
    )
    if len(shown) > _LONGEST_SHOWN:
        half = _LONGEST_SHOWN // 2
        shown = f"{shown[:half]}…{shown[-half:]}"
    return shown


def data_home(override: Path | None = None) -> Path:
    """Return the folder that holds this user's gallery and weights; it may not exist yet.

    Args:
        override: A folder that the user named; otherwise `LIKENESS_HOME` counts, then the place
            that the operating system has for a user's data.

    Raises:
        ArgumentError: It is a file, or lies below one; or `LIKENESS_HOME` is empty.
    """
    told = os.environ.get("LIKENESS_HOME")
    if override is None and told == "":
        raise ArgumentError("LIKENESS_HOME is empty: unset it, or name a folder")
    named = override or told or platformdirs.user_data_path("likeness")
    folder = Path(named).expanduser().absolute()
    # os.path, for Path.exists raises where a folder may not be looked into.
    nearest = next(p for p in (folder, *folder.parents) if os.path.exists(p))  # noqa: PTH110
    if not nearest.is_dir():
        place = "" if nearest == folder else f" lies below {printable(nearest)}, which"
        raise ArgumentError(f"the data folder {printable(folder)}{place} is a file: name a folder")
    return folder


def private_folder(path: Path) -> Path:
    """Create `path` and what is missing above it, for this user alone (0700), and return it.

    A folder that is there already keeps its permissions.

    Raises:
        ArgumentError: It cannot be created, or something else has its name.
    """
    try:
        for folder in [*reversed(path.parents), path]:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ArgumentError(
            f"cannot create the folder {printable(path)}: {reason}; name another place"
        ) from error
    return path


def mode_for_others(path: Path) -> int:
    """The permissions of a file or folder that others than its owner have some of, or else 0.

    Always 0 where there is none, and on Windows, where they are no permissions.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
    return mode if os.name == "posix" and mode & 0o077 else 0


def network_file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The kind of file system that a path is on, where other machines may share it.

    Args:
        path: It, or the nearest folder above that is there, counts.
        mounts: Where Linux tells what is mounted; other systems do not.

    Returns:
        Its name, as `nfs4` or `fuse.sshfs`; None where it is this machine's alone, or not known.
    """
    try:
        lines = mounts.read_bytes().split(b"\n")
        real = Path(os.path.realpath(path))
    except OSError:
        return None
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, described = before.split(b" "), after.split(b" ")
        if len(fields) < 5 or not described[0]:
            continue
        at = Path(os.fsdecode(_ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), fields[4])))
        if len(at.parts) >= best and (real == at or at in real.parents):
            best, kind = len(at.parts), os.fsdecode(described[0])
    return kind if _is_shared(kind) else None


def _is_shared(kind: str) -> bool:
    """Whether other machines may have a file system of this kind in their hands, too."""
    system, _, program = kind.partition(".")
    if system == "fuse" and program:
        return program not in _LOCAL_PROGRAMS
    return system in _SHARED_FILE_SYSTEMS


@contextlib.contextmanager
def atomic_output(path: Path, *, mode: int = 0o600, notes: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and put it in `path`'s place once the block is done.

    Whoever looks at `path` sees the old file or the whole new one, also after a power cut. If the
    block fails, the temporary file is removed and the old file stays. A link at `path` is replaced,
    never written through.

    Args:
        path: The file to write; its folder must exist.
        mode: Permissions of the new file, less the process's umask.
        notes: See `temporary_path`.

    Yields:
        An empty file in the same folder, hidden, with the suffix of `path`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with temporary_path(path.parent, path.suffix, mode=mode, notes=notes) as temporary:
        yield temporary
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
    if hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder, and keeps renames by itself
        _sync(path.parent, os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write `content` to `path` whole or not at all; see `atomic_output`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with atomic_output(path, mode=mode) as temporary:
        temporary.write_bytes(content)


def sha256_of(source: str | os.PathLike[str] | bytes) -> str:
    """Return the SHA-256 of a file's content, or of `bytes`, as 64 hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_regular(
    path: str | os.PathLike[str], *, error: type[AppError], most_bytes: int | None = None
) -> bytes:
    """Read a file that strangers may have prepared: never waits, never reads without end.

    Args:
        path: The file; links are followed.
        error: What to raise for a file that is there and cannot be read.
        most_bytes: Refuse a longer file before any of it is read; None reads any length.

    Raises:
        ArgumentError: There is no such file.
        AppError: As `error`: a folder, a pipe, a device, a circle of links, unreadable, too long.
    """
    shown = printable(path)
    try:
        # Opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{shown} is not a regular file; expected a file on disk")
            if most_bytes is not None and status.st_size > most_bytes:
                raise error(
                    f"{shown} has {status.st_size:,} bytes; at most {most_bytes:,} are read"
                )
            return file.read()
    except IsADirectoryError as problem:
        raise error(f"{shown} is a folder; expected a file") from problem
    except OSError as problem:
        if problem.errno in _NO_SUCH_FILE:
            raise ArgumentError(f"there is no file {shown}; check the path") from problem
        raise error(f"cannot read {shown}: {problem.strerror}; check the file") from problem
    except ValueError as problem:  # a NUL in the name: no file system has such a file
        raise ArgumentError(f"there is no file {shown}; check the path") from problem


def read_beginning(path: Path, most_bytes: int) -> bytes:
    """The beginning of a file that grows, or all of it; otherwise as `read_end`."""
    with _regular(path) as (descriptor, _):
        return os.pread(descriptor, most_bytes, 0)


def read_end(path: Path, most_bytes: int) -> tuple[bytes, bool]:
    """The end of a file that grows, or all of it; never waits, whatever has its name.

    Args:
        path: The file.
        most_bytes: So much of it.

    Returns:
        The bytes, and whether something comes before them.

    Raises:
        OSError: There is none, it is no file on disk, or it cannot be read.
    """
    with _regular(path) as (descriptor, size):
        start = max(0, size - most_bytes)
        return os.pread(descriptor, most_bytes, start), start > 0


@contextlib.contextmanager
def _regular(path: Path) -> Iterator[tuple[int, int]]:
    """The descriptor of an open file on disk, and its length."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no file on disk")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)
