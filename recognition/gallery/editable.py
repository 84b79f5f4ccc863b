"""What can be done to the people by hand, by whatever holds them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..inventory import Consent
from .templates import Template

if TYPE_CHECKING:
    from .editing import Editor


class Editable(ABC):
    """Something whose people can be changed by hand: the store, the gallery, the service."""

    @abstractmethod
    def editing(self) -> "AbstractContextManager[Editor]":
        """One transaction of changes: all of them, or none.

        Raises:
            GalleryError: The file cannot be written.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a person another name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: Nobody has the old name, or somebody else has the new one.
        """
        with self.editing() as editor:
            editor.rename(old, new)

    def delete(self, name: str) -> None:
        """Hide a person; `restore` undoes it for `RESTORABLE_DAYS` days, then they are erased.

        Raises:
            GalleryError: Nobody has that name.
        """
        with self.editing() as editor:
            editor.delete(name)

    def restore(self, name: str) -> None:
        """Bring back whoever was deleted last under a name.

        Raises:
            GalleryError: Nobody was, or the name has been given to somebody else since.
        """
        with self.editing() as editor:
            editor.restore(name)

    def merge(self, name: str, into: str) -> None:
        """Make two people one: the second gets all that is the first one's.

        Raises:
            GalleryError: One of them is not enrolled, they are the same, or a photograph shows
                both.
        """
        with self.editing() as editor:
            editor.merge(name, into)

    def move(self, name: str, photographs: Sequence[int], to: str) -> None:
        """Give some of a person's photographs to somebody else.

        Args:
            name: Whose they are.
            photographs: Their numbers.
            to: Whose they shall be; enrolled already.

        Raises:
            GalleryError: One of the two is not enrolled, the photographs are not the first one's or
                are all of theirs, or one shows both people.
        """
        with self.editing() as editor:
            editor.move(name, photographs, to)

    def split(self, name: str, photographs: Sequence[int], new: str) -> None:
        """Make a person of their own of some of a person's photographs.

        Args:
            name: Whose they are.
            photographs: Their numbers.
            new: The new person's name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: The person is not enrolled, the photographs are not theirs or are all of
                theirs, or somebody has the new name.
        """
        with self.editing() as editor:
            editor.split(name, photographs, new)

    def exclude(self, name: str, face: Template) -> None:
        """Remember of a face that it is not a person's.

        From now on no face is given that name which is more like this one than like the person.

        Raises:
            GalleryError: Nobody has that name, or the embedding is not one of the gallery's.
        """
        with self.editing() as editor:
            editor.exclude(name, face)

    def tell_apart(self, name: str, other: str) -> None:
        """Remember that two people who look alike are two.

        What is kept is of either the face most like the other, as not the other's; see `exclude`.

        Raises:
            GalleryError: One of them is not enrolled, or they are the same.
        """
        with self.editing() as editor:
            editor.tell_apart(name, other)

    def group(
        self, names: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Put people into groups, and take them out of others.

        Args:
            names: The people.
            add: Groups that they join, known or new.
            remove: Groups that they leave.

        Raises:
            ArgumentError: No group is given, one is given twice, or it cannot be a name.
            GalleryError: Somebody is not enrolled, or none of them is in a group to be left.
        """
        with self.editing() as editor:
            editor.group(names, add=add, remove=remove)

    def consent(self, name: str, consent: Consent) -> None:
        """Note what somebody agreed to, and until when.

        After that day they are not recognised any more, and are erased as soon as the gallery is
        opened, changed or searched.

        Raises:
            GalleryError: Nobody has that name.
        """
        with self.editing() as editor:
            editor.consent(name, consent)

    def undo(self) -> str:
        """Take back the latest of these operations, or the latest enrolment.

        Returns:
            What it was, in a few words.

        Raises:
            GalleryError: Nothing can be undone.
        """
        with self.editing() as editor:
            return editor.undo()
