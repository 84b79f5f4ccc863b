"""The index on disk: read again only when it is, byte for byte, one of the store's own past.

The file is a line of JSON (`format`, `gallery`, `mark`, `dimension`, `count`, `about`) and then
FAISS's own bytes in blocks (see `blocks`). FAISS is given none of them unchecked: one flipped bit
in such a file loads without complaint and names other people. Of which states an index is good,
`lineage` tells: what came and went since is followed from the store, so that the file is not
written anew for every addition.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.errors import GalleryError
from data.files import atomic_output, private_folder

from .blocks import BlockReader, BlockWriter
from .index import TemplateIndex
from .kinds import can_be_about
from .lineage import gallery_and_marks, note_indexed
from .snapshot import Snapshot

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

    def write(self, index: TemplateIndex, snapshot: Snapshot) -> None:
        """Keep an index for the next process.

        Args:
            index: It holds exactly the templates of this state.
            snapshot: The state, which nobody changes before it is let go.

        Raises:
            OSError: It cannot be written.
        """
        gallery, (mark, *_) = gallery_and_marks(snapshot.connection)
        head = json.dumps(
            {
                "format": _FORMAT,
                "gallery": gallery,
                "mark": mark,
                "dimension": index.dimension,
                "count": len(index),
                "about": index.about,
            }
        ).encode()
        private_folder(self._folder)
        with atomic_output(self._path) as temporary, temporary.open("wb") as file:
            file.write(head + b"\n")
            writer = BlockWriter(file, head, snapshot.seal)
            index.write(writer.write)
            writer.end()
        # Not before: an index that is not noted is good for this one state, and then made again.
        note_indexed(snapshot.connection)

    def read(self, snapshot: Snapshot) -> TemplateIndex | None:
        """Read the index back, if it is that of a state in the store's own past.

        Args:
            snapshot: The store's present state.

        Returns:
            The index; None where there is none, or where it is damaged or another's.
        """
        try:
            with self._path.open("rb") as file:
                line = file.readline(_LONGEST_HEAD)
                head = _valid_head(line, snapshot)
                if head is None:
                    return None
                reader = BlockReader(file, line[:-1], snapshot.seal)
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
    gallery, marks = gallery_and_marks(snapshot.connection)
    expected = {"format": _FORMAT, "gallery": gallery, "dimension": snapshot.model.dimension}
    if (
        not isinstance(head, dict)
        or not line.endswith(b"\n")
        or head.keys() != {*expected, "mark", "count", "about"}
        or not can_be_about(head["about"])
        or any(head[name] != value for name, value in expected.items())
        or head["mark"] not in marks
    ):
        return None
    return head
