"""A file in blocks, each of which is checked before anybody reads it.

A file is a line, its head, and then blocks: four bytes that say how long the block is, a SHA-256,
and the block, sealed. The SHA-256 is over the head, the block's number, whether it is the last, and
the block. So no block is taken for another or for another file's, and neither a changed bit nor a
missing end goes unnoticed, while no more than one block is ever in memory. It is a checksum; who
alters a file on purpose is kept out by the seal of an encrypted gallery.
"""

import hashlib
from io import BufferedIOBase

from data.errors import GalleryError

from .sealing import Seal

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
