"""The gallery as it was before it was moved to another network, until that is confirmed.

It is a backup in the gallery's own folder. Whoever is erased meanwhile is erased from it as well.
"""

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from data.errors import GalleryError

from .keys import FindSecret
from .store import Store

FORMER = "former.sqlite"
"""The backup."""

COMING = "re-embedding.sqlite"
"""What has been embedded by the new network so far; it can be made again."""


def has_former(folder: Path) -> bool:
    """Whether a gallery was moved to another network, and that has not been confirmed."""
    return (folder / FORMER).is_file()


def erase_from_former(folder: Path, person: int, find_secret: FindSecret) -> None:
    """Erase somebody from what a move to another network left behind.

    Args:
        folder: The gallery's.
        person: Their id.
        find_secret: Asked for what opens it, if it is encrypted.

    Raises:
        GalleryError: It cannot be written.
    """
    forget_coming(folder)

    def erase(store: Store) -> None:
        with suppress(GalleryError):  # who was enrolled later is not in it
            store.erase(person)

    _change(folder, find_secret, erase)


def erase_overdue_from_former(folder: Path, find_secret: FindSecret) -> None:
    """Erase from it those whose time is over; see `erase_from_former`."""
    forget_coming(folder)
    _change(folder, find_secret, Store.erase_overdue)


def forget_coming(folder: Path) -> None:
    """Remove what has been embedded by a new network so far."""
    for beside in ("", "-journal", "-wal", "-shm"):
        (folder / f"{COMING}{beside}").unlink(missing_ok=True)


def forget_former(folder: Path) -> None:
    """Remove the gallery as it was before."""
    for beside in ("-journal", "-wal", "-shm", ""):
        (folder / f"{FORMER}{beside}").unlink(missing_ok=True)


def _change(folder: Path, find_secret: FindSecret, change: Callable[[Store], object]) -> None:
    if not has_former(folder):
        return
    with closing(Store(folder / FORMER, find_secret)) as store:
        change(store)
        store.wipe_traces()
