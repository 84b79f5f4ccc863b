"""What can be done to the people by hand, by whatever holds them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..inventory import Consent
from .people import Who
from .templates import Template

if TYPE_CHECKING:
    from .editing import Editor


class Editable(ABC):
    """Something whose people can be changed by hand: the store, the gallery, the service.

    Whom it is done to is said by their id, or by a name that is one enrolled person's alone; see
    `people.Who`.
    """

    @abstractmethod
    def editing(self) -> "AbstractContextManager[Editor]":
        """One transaction of changes: all of them, or none.

        Raises:
            GalleryError: The file cannot be written.
        """

    def rename(self, who: Who, new: str) -> None:
        """Give a person another name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: Nobody is meant, or somebody else has the new name.
        """
        with self.editing() as editor:
            editor.rename(who, new)

    def delete(self, who: Who) -> None:
        """Hide a person; `restore` undoes it for `RESTORABLE_DAYS` days, then they are erased.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        with self.editing() as editor:
            editor.delete(who)

    def restore(self, who: Who) -> None:
        """Bring back somebody who was deleted.

        Raises:
            AmbiguousError: Several people of that name were.
            GalleryError: Nobody was, or the name has been given to somebody else since.
        """
        with self.editing() as editor:
            editor.restore(who)

    def merge(self, who: Who, into: Who) -> None:
        """Make two people one: the second gets all that is the first one's.

        What is kept is covered by what both agreed to: by both notes, until the earlier end.

        Raises:
            GalleryError: One of them is not enrolled, they are the same, or a photograph shows
                both.
        """
        with self.editing() as editor:
            editor.merge(who, into)

    def move(self, who: Who, photographs: Sequence[int], to: Who) -> None:
        """Give some of a person's photographs to somebody else, who is covered as in `merge`.

        Args:
            who: Whose they are.
            photographs: Their numbers.
            to: Whose they shall be; enrolled already.

        Raises:
            GalleryError: One of the two is not enrolled, the photographs are not the first one's or
                are all of theirs, or one shows both people.
        """
        with self.editing() as editor:
            editor.move(who, photographs, to)

    def split(self, who: Who, photographs: Sequence[int], new: str) -> None:
        """Make a person of their own of some of a person's photographs, with the same consent.

        Args:
            who: Whose they are.
            photographs: Their numbers.
            new: The new person's name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: The person is not enrolled, the photographs are not theirs or are all of
                theirs, or somebody has the new name.
        """
        with self.editing() as editor:
            editor.split(who, photographs, new)

    def exclude(self, who: Who, face: Template) -> None:
        """Remember of a face that it is not a person's.

        From now on no face is given that name which is more like this one than like the person.

        Raises:
            GalleryError: Nobody is meant by that, or the embedding is not one of the gallery's.
        """
        with self.editing() as editor:
            editor.exclude(who, face)

    def tell_apart(self, who: Who, other: Who) -> None:
        """Remember that two people who look alike are two.

        What is kept is of either the face most like the other, as not the other's; see `exclude`.

        Raises:
            GalleryError: One of them is not enrolled, or they are the same.
        """
        with self.editing() as editor:
            editor.tell_apart(who, other)

    def group(
        self, whom: Sequence[Who], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Put people into groups, and take them out of others.

        Args:
            whom: The people.
            add: Groups that they join, known or new.
            remove: Groups that they leave.

        Raises:
            ArgumentError: No group is given, one is given twice, or it cannot be a name.
            GalleryError: Somebody is not enrolled, or none of them is in a group to be left.
        """
        with self.editing() as editor:
            editor.group(whom, add=add, remove=remove)

    def consent(self, who: Who, consent: Consent) -> None:
        """Note what somebody agreed to, and until when.

        After that day they are not recognised any more, and are erased by the first use of the
        gallery a day after that was first seen.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        with self.editing() as editor:
            editor.consent(who, consent)

    def undo(self, operation: int | None = None) -> str:
        """Take back the latest of these operations, or the latest enrolment.

        Args:
            operation: Which one is meant, by its number; None takes whichever is the latest.

        Returns:
            What it was, in a few words.

        Raises:
            GalleryError: Nothing can be undone, or another operation is the latest by now.
        """
        with self.editing() as editor:
            return editor.undo(operation)
