"""Keeping and moving galleries, for both front doors: one call for each thing wanted done."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.errors import ArgumentError, GalleryError, LockedError
from data.files import data_home, printable

from .engine import way_to_move
from .gallery import backup, exporting, importing
from .gallery.backup import Foreseen
from .gallery.copying import Copied, copy_gallery
from .gallery.exchange import Manifest
from .gallery.kinds import Kind
from .gallery.names import alike
from .gallery.places import Folder, folder_of, place_of
from .gallery.protocol import nobody_enrolled
from .gallery.records import Added
from .gallery.searching import aside_in
from .results import Calibration, Use
from .secrets import Ask, SecretFinder, Warn, secret_in_environment

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryInfo:
    """What there is to know of a gallery.

    Attributes:
        place: Where it is.
        model: Whose embeddings it holds, in words.
        people: How many are enrolled.
        deleted: How many are deleted and can be restored.
        photographs: From how many photographs people are enrolled.
        calibrations: Its own thresholds.
        facts: How it is kept, by name.
        move: How it comes to the network that a new gallery gets; None where it has it.
    """

    place: str
    model: str
    people: int
    deleted: int
    photographs: int
    calibrations: tuple[Calibration, ...]
    facts: dict[str, str | int]
    move: str | None


class Upkeep:
    """Looks after one gallery. Others may use it meanwhile. Nothing here needs a network.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address of Milvus; None takes LIKENESS_GALLERY, or else the data
            folder's gallery.
        ask: See `PeopleKeeper`.
        warn: The same.
    """

    def __init__(
        self,
        home: Path | None = None,
        gallery: str | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
    ) -> None:
        self._find_secret = SecretFinder(ask, warn)
        self._home = data_home(home)
        self._place = place_of(gallery, self._home, self._find_secret, _is_given)

    def info(self) -> GalleryInfo:
        """Tell what the gallery is and holds.

        Raises:
            GalleryError: There is none, or it cannot be read.
        """
        with self._place.open() as gallery:
            people, photographs = gallery.size
            return GalleryInfo(
                place=str(self._place),
                model=str(gallery.model),
                people=people,
                deleted=len(gallery.people(deleted=True)),
                photographs=photographs,
                calibrations=tuple(one for one in map(gallery.calibration, Use) if one is not None),
                facts=gallery.facts(),
                move=way_to_move(gallery.model),
            )

    def check(self) -> list[str]:
        """Look at everything that is kept; what is wrong, a line each.

        Raises:
            GalleryError: There is no gallery, or it cannot even be opened.
        """
        with self._place.open() as gallery:
            return gallery.faults()

    def make_index(
        self, kind: Kind | None = None, progress: Progress = lambda done, total: None
    ) -> str:
        """Make the gallery's index anew; see `Gallery.make_index`."""
        folder = folder_of(self._place, "making an index")
        with folder.open() as gallery:
            return gallery.make_index(kind, progress)

    def back_up(self, target: Path, *, overwrite: bool = False) -> None:
        """Write the gallery to one file; see `backup.back_up`."""
        folder = folder_of(self._place, "a backup")
        if not self._place.exists:
            raise nobody_enrolled(self._place)
        backup.back_up(folder.path, target, overwrite=overwrite, find_secret=folder.find_secret)

    def check_backup(self, source: Path) -> None:
        """Refuse what `restore` would refuse; see `backup.check`."""
        backup.check(source, folder_of(self._place, "a backup").find_secret)

    def replaced(self) -> GalleryInfo | None:
        """What a restoration would take away; None where nobody is enrolled, or it is damaged."""
        try:
            found = self.info() if self._place.exists else None
        except LockedError:
            raise
        except GalleryError:
            return None  # put aside, not replaced
        return found if found and (found.people or found.deleted) else None

    def restore(self, source: Path) -> Path | None:
        """Make the gallery what a backup says; see `backup.restore`."""
        folder = folder_of(self._place, "a backup")
        aside = backup.restore(source, folder.path, folder.find_secret)
        secret = secret_in_environment()
        if secret is not None:  # a plain backup, in a place where there was no gallery
            with Folder(folder.path, folder.find_secret).open() as gallery:
                if not gallery.is_encrypted:
                    gallery.encrypt(secret, whatever_was_put_aside=True)
        return aside

    def foresee(self, source: Path) -> Foreseen:
        """What a restoration would take away; see `backup.foresee`."""
        folder = folder_of(self._place, "a backup")
        return backup.foresee(source, folder.path, folder.find_secret)

    def export(self, target: Path, progress: Progress = lambda done, total: None) -> Manifest:
        """Write everything to the open format; see `exporting.export`."""
        with self._place.open() as gallery:
            return exporting.export(gallery, target, progress, self._swept())

    def import_from(
        self,
        source: Path,
        progress: Progress = lambda done, total: None,
        *,
        thresholds: bool = False,
    ) -> Added:
        """Put in everybody of an export; see `importing.import_from`."""
        return importing.import_from(
            source,
            lambda model: self._place.open(model=model, create=True),
            progress,
            scratch=self._swept(),
            thresholds=thresholds,
        )

    def spelled_alike(self) -> list[tuple[str, str]]:
        """Names of people enrolled that are spelled alike, as `abc` and `ABC`, each pair once."""
        with self._place.open() as gallery:
            everybody = [person.name for person in gallery.people()]
        return [(one, other) for one, other in alike(everybody, everybody) if one < other]

    def offered_thresholds(self, source: Path) -> tuple[Calibration, ...]:
        """The thresholds that an export brings for uses for which the gallery has none.

        Raises:
            ArgumentError: There is no such file.
            GalleryError: It is damaged, no export, or a newer Likeness's.
        """
        offered = importing.thresholds_in(source)
        if not offered or not self._place.exists:
            return offered
        with self._place.open() as gallery:
            return tuple(one for one in offered if gallery.calibration(one.use) is None)

    def _swept(self) -> Path | None:
        """The gallery's folder, which every command sweeps; None where there is none yet."""
        if isinstance(self._place, Folder) and self._place.path.is_dir():
            return self._place.path
        return None

    def copy(
        self, source: str, target: str, progress: Progress = lambda done, total: None
    ) -> Copied:
        """Put everybody of one gallery into another, and compare; see `copying.copy_gallery`.

        Args:
            source: A folder or an address of Milvus.
            target: Another; made where there is no gallery.
            progress: Called with how many people are done, and of how many.
        """
        there, here = (
            place_of(named, self._home, self._find_secret, _is_given) for named in (source, target)
        )
        if str(there) == str(here):
            raise ArgumentError(f"{there} cannot be copied to itself: name two galleries")
        with there.open() as first, here.open(model=first.model, create=True) as second:
            return copy_gallery(first, second, progress)

    def put_aside(self) -> tuple[Path, ...]:
        """The damaged galleries that restorations have put aside, the oldest first."""
        return aside_in(folder_of(self._place, "what was put aside").path)

    def remove_aside(self) -> None:
        """Remove what was put aside, for good.

        Raises:
            GalleryError: It cannot be removed.
        """
        for place in self.put_aside():
            try:
                shutil.rmtree(place)
            except OSError as error:
                reason = error.strerror or error
                raise GalleryError(f"cannot remove {printable(place)}: {reason}") from error


def _is_given() -> bool:
    return secret_in_environment() is not None
