"""What is done to the people by hand, where they have to be fetched first."""

from collections.abc import Sequence

from ..inventory import Consent
from .editing import Editor
from .people import Who
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

    def rename(self, who: Who, new: str) -> None:
        """See `Editable.rename`."""
        self._load(who, new)
        super().rename(who, new)

    def delete(self, who: Who) -> None:
        """See `Editable.delete`."""
        self._load(who)
        super().delete(who)

    def restore(self, who: Who) -> None:
        """See `Editable.restore`."""
        self._load_namesakes(who)
        super().restore(who)

    def merge(self, who: Who, into_whom: Who) -> None:
        """See `Editable.merge`."""
        self._load(who, into_whom)
        super().merge(who, into_whom)

    def move(self, who: Who, photographs: Sequence[int], to_whom: Who) -> None:
        """See `Editable.move`."""
        self._load(who, to_whom)
        super().move(who, photographs, to_whom)

    def split(self, who: Who, photographs: Sequence[int], new: str) -> None:
        """See `Editable.split`."""
        self._load(who, new)
        super().split(who, photographs, new)

    def exclude(self, who: Who, face: Template) -> None:
        """See `Editable.exclude`."""
        self._load(who)
        super().exclude(who, face)

    def tell_apart(self, who: Who, other_one: Who) -> None:
        """See `Editable.tell_apart`."""
        self._load(who, other_one)
        super().tell_apart(who, other_one)

    def group(
        self, whom: Sequence[Who], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """See `Editable.group`."""
        self._load(*whom)
        super().group(whom, add=add, remove=remove)

    def consent(self, who: Who, consent: Consent) -> None:
        """See `Editable.consent`."""
        self._load(who)
        super().consent(who, consent)

    def undo(self, operation: int | None = None) -> str:
        """See `Editable.undo`."""
        self._copy.load_latest_operation()
        return super().undo(operation)

    def _load(self, *whom: Who) -> None:
        self._copy.load(whom)

    def _load_namesakes(self, who: Who) -> None:
        """Read somebody, and whoever else has their name."""
        self._copy.load([who])
        if isinstance(who, int):
            self._copy.load_named(self._copy.names_of([who]))
