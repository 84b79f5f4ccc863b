"""The index on disk, believed only where it fits the storage."""

import hashlib
import json
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GalleryError
from data.files import atomic_output, private_folder

from ..storage.encryption import Seal
from ..storage.snapshot import Snapshot, lineage, note_indexed
from .kinds import can_be_about

if TYPE_CHECKING:
    from .index import TemplateIndex

# A file in blocks, each of which is checked before anybody reads it.
#
# A file is a line, its head, and then blocks: four bytes that say how long the block is, a
# SHA-256, and the block, sealed. The SHA-256 is over the head, the block's number, whether it is
# the last, and the block. So no block is taken for another or for another file's, and neither a
# changed bit nor a missing end goes unnoticed, while no more than one block is ever in memory. It
# is a checksum; who alters a file on purpose is kept out by the seal of an encrypted gallery.

BLOCK_BYTES = 4 * 2**20

_LENGTH_BYTES = 4
_DIGEST_BYTES = 32
_MOST_BYTES = BLOCK_BYTES + 2**10  # what a seal adds is less


class BlockWriter:
    """Writes a file's blocks. Call `end` when everything is written.

    Args:
        file: The file, behind its head.
        head: Its head.
        seal: What the blocks are sealed by.
    """

    def __init__(self, file: BufferedIOBase, head: bytes, seal: Seal) -> None:
        self._file, self._head, self._seal = file, head, seal
        self._number = 0
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        """Write some more; returns how many bytes."""
        self._waiting += content
        while len(self._waiting) > BLOCK_BYTES:
            self._put(bytes(self._waiting[:BLOCK_BYTES]), is_last=False)
            del self._waiting[:BLOCK_BYTES]
        return len(content)

    def end(self) -> None:
        """Write what is left, as the last block."""
        self._put(bytes(self._waiting), is_last=True)

    def _put(self, content: bytes, *, is_last: bool) -> None:
        name = _name(self._head, self._number, is_last=is_last)
        closed = self._seal.close(content, ("index", "block", name))
        digest = hashlib.sha256(name.encode() + closed).digest()
        self._file.write(len(closed).to_bytes(_LENGTH_BYTES) + digest + closed)
        self._number += 1


class BlockReader:
    """Reads what a `BlockWriter` wrote. What is not that reads as if the file ended there.

    Args:
        file: The file, behind its head.
        head: Its head.
        seal: The gallery's.
    """

    def __init__(self, file: BufferedIOBase, head: bytes, seal: Seal) -> None:
        self._file, self._head, self._seal = file, head, seal
        self._number = 0
        self._block = memoryview(b"")
        self._is_over = False
        self.is_whole = False
        """Whether the last block has been read, and nothing is behind it."""

    def read(self, count: int) -> bytes:
        """Read so many bytes, or fewer where there are no more."""
        parts: list[memoryview] = []
        while count:
            if not self._block and not self._next():
                break
            parts.append(self._block[:count])
            self._block = self._block[count:]
            count -= len(parts[-1])
        return b"".join(parts)

    @property
    def has_more(self) -> bool:
        """Whether anything has not been read."""
        return bool(self._block) or self._next()

    def _next(self) -> bool:
        """Go on to the next block, if there is one."""
        if self._is_over:
            return False
        length = int.from_bytes(self._file.read(_LENGTH_BYTES))
        digest = self._file.read(_DIGEST_BYTES)
        closed = self._file.read(length) if length <= _MOST_BYTES else b""
        for is_last in (False, True):
            name = _name(self._head, self._number, is_last=is_last)
            is_it = hashlib.sha256(name.encode() + closed).digest() == digest
            if is_it and len(closed) == length:
                break
        else:
            self._is_over = True
            return False
        self._number += 1
        if is_last:
            self._is_over = True
            self.is_whole = not self._file.read(1)
        try:
            self._block = memoryview(self._seal.open(closed, ("index", "block", name)))
        except GalleryError:
            self._is_over, self.is_whole = True, False
            return False
        return bool(self._block)


def _name(head: bytes, number: int, *, is_last: bool) -> str:
    """What a block is bound to."""
    return f"{hashlib.sha256(head).hexdigest()}/{number}/{int(is_last)}/"


# The index on disk: read again only when it is, byte for byte, one of the store's own past.
#
# The file is a line of JSON (`format`, `gallery`, `mark`, `dimension`, `count`, `about`) and then
# FAISS's own bytes in blocks. FAISS is given none of them unchecked: one flipped
# bit in such a file loads without complaint and names other people. Of which states an index is
# good, `storage.snapshot` tells: what came and went since is followed from the store, so that the
# file is not written anew for every addition.

_FORMAT = "likeness-index-2"
_LONGEST_HEAD = 2000


class IndexCache:
    """A folder that holds one index file, and nothing that cannot be made again.

    Args:
        folder: Its own folder: `clear` removes every file in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "templates.faiss"

    @property
    def exists(self) -> bool:
        """Whether there is an index file, of whatever worth."""
        return self._path.exists()

    def write(self, index: "TemplateIndex", snapshot: Snapshot) -> None:
        """Keep an index for the next process.

        Args:
            index: It holds exactly the templates of this state.
            snapshot: The state, which nobody changes before it is let go.

        Raises:
            OSError: It cannot be written.
        """
        own = lineage(snapshot.connection)
        head = json.dumps(
            {
                "format": _FORMAT,
                "gallery": own.gallery,
                "mark": own.mark,
                "dimension": index.dimension,
                "count": len(index),
                "about": index.about,
            }
        ).encode()
        private_folder(self._folder)
        with atomic_output(self._path) as temporary, temporary.open("wb") as file:
            file.write(head + b"\n")
            writer = BlockWriter(file, head, snapshot.connection.seal)
            index.write(writer.write)
            writer.end()
        # Not before: an index that is not noted is good for this one state, and then made again.
        note_indexed(snapshot.connection)

    def read(self, snapshot: Snapshot) -> "TemplateIndex | None":
        """Read the index back, if it is that of a state in the store's own past.

        Args:
            snapshot: The store's present state.

        Returns:
            The index; None where there is none, or where it is damaged or another's.
        """
        from .index import TemplateIndex  # loads FAISS

        try:
            with self._path.open("rb") as file:
                line = file.readline(_LONGEST_HEAD)
                head = _valid_head(line, snapshot)
                if head is None:
                    return None
                reader = BlockReader(file, line[:-1], snapshot.connection.seal)
                index = TemplateIndex.read(reader.read, snapshot.model.dimension)
                if index is None or reader.has_more or not reader.is_whole:
                    return None
        except OSError:
            return None
        index.about = head["about"]
        return index if len(index) == head["count"] else None

    def head(self, snapshot: Snapshot) -> dict[str, Any] | None:
        """What the index on disk says of itself; None where there is none for this gallery."""
        try:
            with self._path.open("rb") as file:
                return _valid_head(file.readline(_LONGEST_HEAD), snapshot)
        except OSError:
            return None

    def forget(self, snapshot: Snapshot) -> None:
        """Leave nothing of whoever is not in a state, and what can be made again soon at all.

        An index that takes long to make is written anew without them.

        Args:
            snapshot: The state, which nobody changes before it is let go.

        Raises:
            OSError: A file cannot be removed.
        """
        head = self.head(snapshot)
        index = self.read(snapshot) if head and head["about"] else None
        self.clear()
        if index is not None:
            with suppress(OSError, GalleryError):
                index.follow(snapshot.roll().ids, snapshot.embeddings)
                self.write(index, snapshot)

    def clear(self) -> None:
        """Remove the index, and what a killed process may have left of one.

        Raises:
            OSError: A file cannot be removed.
        """
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)


def _valid_head(line: bytes, snapshot: Snapshot) -> dict[str, Any] | None:
    """What a file's first line says, if the file can be of this gallery."""
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        return None
    own = lineage(snapshot.connection)
    expected = {"format": _FORMAT, "gallery": own.gallery, "dimension": snapshot.model.dimension}
    if (
        not isinstance(head, dict)
        or not line.endswith(b"\n")
        or head.keys() != {*expected, "mark", "count", "about"}
        or not can_be_about(head["about"])
        or any(head[name] != value for name, value in expected.items())
        or head["mark"] not in own.marks
    ):
        return None
    return head
