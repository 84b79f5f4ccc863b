"""The people of one gallery: who they are, and what is done with them by hand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from data.files import data_home

from .gallery.editing import Editable, Editor
from .gallery.places import place_of
from .gallery.protocol import AnyGallery
from .gallery.templates import EmbeddingModel
from .inventory import Operation, PhotographSummary
from .results import PersonSummary


class PeopleKeeper(Editable):
    """Opens the gallery when it is first needed, and changes who is in it.

    Nothing here needs a network. Safe for several threads.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address of Milvus; None takes LIKENESS_GALLERY, or else the data
            folder's own.
    """

    def __init__(self, home: Path | None = None, gallery: str | None = None) -> None:
        self._home = data_home(home)
        self._place = place_of(gallery, self._home)
        self._lock = threading.RLock()
        self._open_gallery: AnyGallery | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery, and keep its index for the next process."""
        with self._lock:
            if self._open_gallery is not None:
                self._open_gallery.close()
                self._open_gallery = None

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        if not self._is_there:
            return ()
        return self._gallery().people(deleted=deleted)

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._gallery().editing() as editor:
            yield editor

    def erase(self, name: str) -> str | None:
        """Remove a person, enrolled or deleted, for good; see `AnyGallery.erase`.

        Returns:
            What that leaves for a while, in one line; None where it leaves no byte.
        """
        gallery = self._gallery()
        gallery.erase(name)
        return gallery.lingers

    def thumbnail(self, person: str, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph as a PNG; None if none was kept.

        Args:
            person: The name.
            photograph: The photograph's number; None takes the first one.
        """
        return self._gallery().crop(person, photograph)

    def photographs(self, person: str) -> tuple[PhotographSummary, ...]:
        """The photographs that somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name.
        """
        return self._gallery().photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """What `undo` would take back, the latest first."""
        return self._gallery().operations() if self._is_there else ()

    def _remembered_model(self) -> EmbeddingModel | None:
        return self._gallery().model if self._is_there else None

    @property
    def _is_there(self) -> bool:
        """Whether there is a gallery; one that is open and in its place is not looked for."""
        with self._lock:
            opened = self._open_gallery
            return (opened is not None and opened.is_in_place) or self._place.exists

    def _gallery(self) -> AnyGallery:
        """The gallery, opened when it is first needed, and anew when it has been replaced."""
        with self._lock:
            if self._open_gallery is not None and not self._open_gallery.is_in_place:
                self.close()
            if self._open_gallery is None:
                self._open_gallery = self._place.open()
            return self._open_gallery

    def _gallery_for(self, model: EmbeddingModel) -> AnyGallery:
        """The gallery, made where there is none."""
        with self._lock:
            if not self._is_there:
                self.close()
                self._open_gallery = self._place.open(model=model, create=True)
            return self._gallery()
