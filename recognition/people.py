"""The people of one gallery: who they are, and what is done with them by hand."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from data import clock
from data.decoder_sandbox import decode
from data.errors import ArgumentError, ImageError

from .access import GalleryAccess
from .gallery.gallery import Gallery
from .gallery.names import alike, person_name, spelling
from .gallery.storage.changes import Editor
from .gallery.storage.people import Who, group_names
from .results import Operation, PersonState, PersonSummary, PhotographSummary

_MOST_SPELLED = 100_000
_MOST_SHOWN = 1_000_000  # pixels of a face's picture, which is 160 to a side as it is kept here


class EnrolledPeople:
    """Who is enrolled in a gallery, and how that is changed by hand: what `service.people` is.

    Nothing here needs a network. Safe for several threads.

    Args:
        access: The way to the gallery.

    Attributes:
        edit: What is done to people by hand: renamed, merged, deleted, …, and undone.
    """

    def __init__(self, access: GalleryAccess) -> None:
        self._access = access
        self.edit = Editor(lambda: access.open().editing())

    def summaries(
        self, *, deleted: bool = False, groups: Sequence[str] = ()
    ) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored.

        Args:
            deleted: Whether those who were deleted are meant.
            groups: List only who is in one of these; empty: everybody.

        Raises:
            ArgumentError: A group's name cannot be one.
        """
        wanted = set(group_names(groups))
        if not self._access.is_there:
            return ()
        found = self._access.open().people(deleted=deleted)
        return tuple(one for one in found if wanted.intersection(one.groups)) if wanted else found

    def meant(self, name: str | None, person_id: int | None = None) -> PersonSummary:
        """Whoever is enrolled and meant by a name, an id, or both.

        Args:
            name: As it is enrolled.
            person_id: As `summaries` tells it; needed only where a name is more than one person's.

        Raises:
            ArgumentError: Nobody is meant, or more than one person may be; the message says who.
        """
        if name is None and person_id is None:
            raise ArgumentError("whom? Give a name, or the id of somebody who is enrolled")
        gallery = self._access.open() if self._access.is_there else None
        if name is None:
            found = [] if gallery is None else list(gallery.people())
        else:
            name = person_name(name)
            found = [] if gallery is None else list(gallery.named(name))
        if person_id is not None:
            found = [one for one in found if one.person_id == person_id]
        if len(found) == 1:
            return found[0]
        if found:
            raise ArgumentError(
                f"{len(found)} people are called '{name}': {_with_ids(found)}; say which by the id"
            )
        who = "" if name is None else f" called '{name}'"
        who += "" if person_id is None else f" with the id {person_id}"
        alike = () if gallery is None or name is None else _spelt_alike(gallery, name)
        hint = f"is one of these meant: {_with_ids(alike)}?" if alike else "check the spelling;"
        raise ArgumentError(f"nobody{who} is enrolled: {hint} `likeness people list` has the names")

    def spelled_alike(self, names: Iterable[str]) -> tuple[str, ...]:
        """Of some who are enrolled: whose name is spelled like somebody else's, a line each.

        In a gallery of very many people nobody is asked: reading all names takes too long.
        """
        if not self._access.is_there or self._access.open().size[0] > _MOST_SPELLED:
            return ()
        everybody = [person.name for person in self._access.open().people()]
        return tuple(
            f"'{name}' is spelled like '{other}', who is enrolled as somebody else: "
            "`likeness people merge` makes them one"
            for name, other in alike(names, everybody)
        )

    def expiring(self, days: int) -> tuple[PersonSummary, ...]:
        """Those whose consent ends within some days, the first to end first."""
        last = (clock.today() + timedelta(days=days)).isoformat()
        found = [one for one in self.summaries() if one.expires_on and one.expires_on <= last]
        return tuple(sorted(found, key=lambda person: person.expires_on or ""))

    def one(self, who: Who, state: PersonState = PersonState.ENROLLED) -> PersonSummary:
        """One person, who is to be changed: by their id from then on.

        Args:
            who: An id, or a name.
            state: How things stand with them.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        return self._access.open_existing().person(who, state)

    def erase(self, who: Who) -> str | None:
        """Remove a person, enrolled or deleted, for good; see `Gallery.erase`.

        Returns:
            What that leaves for a while, in one line; None where it leaves no byte.
        """
        gallery = self._access.open()
        gallery.erase(who)
        return gallery.lingers

    def thumbnail(self, person: Who, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph, PNG or JPEG; None if no picture was kept.

        Args:
            person: Who, by their id or name.
            photograph: The photograph's number; None takes the first one.
        """
        kept = self._access.open().crop(person, photograph)
        if kept is None:
            return None
        try:
            decode(kept, formats=("PNG", "JPEG"), max_pixels=_MOST_SHOWN)
        except ImageError:  # a stranger may have made it, in an export or a backup
            return None
        return kept

    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """The photographs that somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name.
        """
        return self._access.open().photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """What `undo` would take back, the latest first."""
        return self._access.open().operations() if self._access.is_there else ()


def _spelt_alike(gallery: Gallery, name: str) -> list[PersonSummary]:
    """Those whose names differ from one in capitals and blanks alone."""
    return [one for one in gallery.people() if spelling(one.name) == spelling(name)]


def _with_ids(people: Sequence[PersonSummary]) -> str:
    """People as a line tells them apart."""
    return ", ".join(
        f"'{one.name}' (id {one.person_id}, {one.photographs} photograph(s))" for one in people
    )
