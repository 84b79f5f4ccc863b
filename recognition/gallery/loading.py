"""What is done to the people by hand, where they have to be fetched first."""

from collections.abc import Sequence

from ..inventory import Consent
from .editing import Editor
from .sealing import SealedConnection
from .templates import Template
from .working import WorkingCopy


class LoadingEditor(Editor):
    """Reads whom a change is about just before it is made.

    Args:
        connection: The working copy's, in a transaction.
        copy: The working copy.
    """

    def __init__(self, connection: SealedConnection, copy: WorkingCopy) -> None:
        super().__init__(connection)
        self._copy = copy

    def rename(self, old: str, new: str) -> None:
        """See `Editable.rename`."""
        self._load(old, new)
        super().rename(old, new)

    def delete(self, name: str) -> None:
        """See `Editable.delete`."""
        self._load(name)
        super().delete(name)

    def restore(self, name: str) -> None:
        """See `Editable.restore`."""
        self._load(name)
        super().restore(name)

    def merge(self, name: str, into: str) -> None:
        """See `Editable.merge`."""
        self._load(name, into)
        super().merge(name, into)

    def move(self, name: str, photographs: Sequence[int], to: str) -> None:
        """See `Editable.move`."""
        self._load(name, to)
        super().move(name, photographs, to)

    def split(self, name: str, photographs: Sequence[int], new: str) -> None:
        """See `Editable.split`."""
        self._load(name, new)
        super().split(name, photographs, new)

    def exclude(self, name: str, face: Template) -> None:
        """See `Editable.exclude`."""
        self._load(name)
        super().exclude(name, face)

    def tell_apart(self, name: str, other: str) -> None:
        """See `Editable.tell_apart`."""
        self._load(name, other)
        super().tell_apart(name, other)

    def group(
        self, names: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """See `Editable.group`."""
        self._load(*names)
        super().group(names, add=add, remove=remove)

    def consent(self, name: str, consent: Consent) -> None:
        """See `Editable.consent`."""
        self._load(name)
        super().consent(name, consent)

    def undo(self) -> str:
        """See `Editable.undo`."""
        self._copy.load_latest_operation()
        return super().undo()

    def _load(self, *names: str) -> None:
        self._copy.load_named(names)
