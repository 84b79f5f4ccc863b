"""The index on disk: read again only when it is, byte for byte, that of the store's present state.

The file is a line of JSON (`format`, `sha256` of the rest, `revision`, `dimension`, `count`) and
then FAISS's own bytes. Those are handed to FAISS after the checksum has been compared, never
before: one flipped bit in such a file loads without complaint and names other people.

An encrypted gallery's index is encrypted as a whole, for the state and the roll that it belongs to:
were a row given to somebody else behind Likeness's back, it would not be opened, and the templates
themselves would tell.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from data.errors import GalleryError
from data.files import private_folder, write_atomic

from .index import TemplateIndex
from .sealing import MOST_SEALED, OPEN, Place, Seal
from .snapshot import Roll

_FORMAT = "likeness-index-1"
_LONGEST_HEADER = 1000


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

    def write(self, index: TemplateIndex, roll: Roll, revision: str, seal: Seal) -> None:
        """Keep an index for the next process, unless it is too large to be sealed.

        Args:
            index: The index.
            roll: Which template is whose.
            revision: The state of the store whose templates it holds.
            seal: The store's.

        Raises:
            OSError: It cannot be written.
        """
        content = index.to_bytes()
        if len(content) > MOST_SEALED and seal is not OPEN:
            return
        content = seal.close(content, _place(roll, revision))
        header = {
            "format": _FORMAT,
            "sha256": hashlib.sha256(content).hexdigest(),
            "revision": revision,
            "dimension": index.dimension,
            "count": len(index),
        }
        private_folder(self._folder)
        write_atomic(self._path, json.dumps(header).encode() + b"\n" + content)

    def read(self, roll: Roll, dimension: int, revision: str, seal: Seal) -> TemplateIndex | None:
        """Read the index back, if it is that of the store's present state.

        Args:
            roll: Which template is whose in the store.
            dimension: The store's D.
            revision: The store's present state.
            seal: The store's.

        Returns:
            The index; None where there is none, or where it is damaged, stale or another's.
        """
        try:
            with self._path.open("rb") as file:
                line = file.readline(_LONGEST_HEADER)
                content = file.read()
            header = json.loads(line)
        except (OSError, ValueError):
            return None
        expected = {
            "format": _FORMAT,
            "sha256": hashlib.sha256(content).hexdigest(),
            "revision": revision,
            "dimension": dimension,
            "count": len(roll.ids),
        }
        if header != expected:
            return None
        try:
            content = seal.open(content, _place(roll, revision))
        except GalleryError:
            return None
        index = TemplateIndex.from_bytes(content, dimension)
        if index is None or not np.array_equal(index.ids, roll.ids):
            return None
        return index

    def clear(self) -> None:
        """Remove the index, and what a killed process may have left of one.

        Raises:
            OSError: A file cannot be removed.
        """
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)


def _place(roll: Roll, revision: str) -> Place:
    return ("index", revision, roll.digest)
