"""Galleries backed up, exported, checked, and moved to another network."""

import math
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import AppError, ArgumentError, GalleryError, LockedError
from data.files import data_home, printable, sha256_of
from data.progress import Progress

from .gallery.gallery import aside_in, nobody_enrolled
from .gallery.locations import Folder, folder_of, index_of, place_of
from .gallery.names import alike
from .gallery.search.kinds import Kind
from .gallery.search.milvus import SCHEME, MilvusAddress
from .gallery.storage.records import Added
from .gallery.templates import EmbeddingModel
from .gallery.transfer import backup, exports, imports
from .gallery.transfer.archive import Manifest
from .gallery.transfer.backup import Foreseen
from .gallery.transfer.copies import Copied, copy_gallery
from .gallery.transfer.milvus_gallery import MilvusGallery
from .gallery.transfer.replacement import NewEmbedding, Succeeded, Succession, WaitingTemplate
from .models import Choice, Engine, detector_of, way_to_move
from .results import Calibration, Face, Use
from .secrets import Ask, SecretFinder, Warn, secret_in_environment

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image
    from torch import Tensor

    from backbones.spec import Alignment


# Keeping and moving galleries, for both front doors: one call for each thing wanted done.


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


class GalleryMaintenance:
    """Looks after one gallery. Others may use it meanwhile. Nothing here needs a network.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address; None takes LIKENESS_GALLERY, or else the data folder's
            gallery.
        ask: See `GalleryAccess`.
        warn: The same.
        index: The same.
    """

    def __init__(
        self,
        home: Path | None = None,
        gallery: str | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
        index: str | None = None,
    ) -> None:
        self._find_secret = SecretFinder(ask, warn)
        self._home = data_home(home)
        self._place = place_of(gallery, self._home, self._find_secret, _is_given, index_of(index))

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
                move=way_to_move(gallery.model, self._home, in_folder=gallery.is_in_folder),
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
        with self._place.open() as gallery:
            return gallery.make_index(kind, progress)

    def remove_index(self) -> str:
        """Remove the gallery's vectors from Milvus; see `Gallery.remove_index`."""
        with self._place.open() as gallery:
            return gallery.remove_index()

    def back_up(self, target: Path, *, overwrite: bool = False) -> None:
        """Write the gallery to one file; see `backup.back_up`."""
        place = self._place
        if not place.exists:
            raise nobody_enrolled(place)
        backup.back_up(
            place.path,
            target,
            overwrite=overwrite,
            find_secret=place.find_secret,
            server=place.server,
        )

    def check_backup(self, source: Path) -> None:
        """Refuse what `restore` would refuse; see `backup.check`."""
        backup.check(source, self._place.find_secret)

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
        place = self._place
        secret = secret_in_environment()
        aside = backup.restore(source, place.path, place.find_secret, secret, place.server)
        if secret is not None:  # a plain backup, in the place of a plain gallery
            with replace(place, is_given=lambda: False).open() as gallery:
                if not gallery.is_encrypted:
                    gallery.encrypt(secret, whatever_was_put_aside=True)
        return aside

    def foresee(self, source: Path) -> Foreseen:
        """What a restoration would take away; see `backup.foresee`."""
        place = self._place
        return backup.foresee(
            source, place.path, place.find_secret, secret_in_environment(), place.server
        )

    def export(self, target: Path, progress: Progress = lambda done, total: None) -> Manifest:
        """Write everything to the open format; see `exports.export`."""
        with self._place.open() as gallery:
            return exports.export(gallery, target, progress, self._swept())

    def import_from(
        self,
        source: Path,
        progress: Progress = lambda done, total: None,
        *,
        thresholds: bool = False,
    ) -> Added:
        """Put in everybody of an export; see `imports.import_from`."""
        return imports.import_from(
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
        offered = imports.thresholds_in(source)
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
        """Put everybody of one gallery into another, and compare; see `copies.copy_gallery`.

        Args:
            source: A folder or an address; also that of a gallery in Milvus, for one release.
            target: Another; made where there is no gallery.
            progress: Called with how many people are done, and of how many.
        """
        here = place_of(target, self._home, self._find_secret, _is_given)
        if source.startswith(SCHEME):
            with (
                closing(MilvusGallery(MilvusAddress.parse(source))) as former,
                here.open(model=former.model, create=True) as second,
            ):
                return copy_gallery(former, second, progress)
        there = place_of(source, self._home, self._find_secret, _is_given)
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


# A gallery is moved to another network: who does it, from what, and whether it is good enough.
#
# The best source is the photograph itself, which may be at hand still; else the picture that the
# gallery has kept of the face. How close the latter comes to the former is measured where both
# are there, and where not, told from what was measured on other people's photographs.

LEAST_SIMILAR = 0.98
"""Median cosine similarity, of what kept pictures give to what photographs give, below which a
gallery is not moved: its people would be found less often than by the old network's templates."""

_AT_ONCE = 32
_SURELY_ANOTHER = 0.5
"""A face of the photograph less similar than this is not the one that was enrolled."""

_MEASURED: dict[tuple[int, str], float] = {
    (160, "five-point-112"): 0.999,
    (160, "two-eyes-96"): 0.998,
    (160, "dlib-chip-150"): 0.999,
    (112, "five-point-112"): 1.0,
    (112, "two-eyes-96"): 0.992,
    (112, "dlib-chip-150"): 0.996,
}
"""By side of the kept picture and alignment, the median similarity over 100 photographs of LFW, of
the networks that come along. The detector's box was not measured: no network for it comes along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move to another network came to.

    Attributes:
        before: The network of before, in words.
        model: The new one, in words.
        moved: How many photographs it has embedded.
        from_photographs: How many of them anew from the photograph itself.
        left_out: How many could not be embedded; an undo brings them back.
        exclusions_left_out: How many faces known not to be somebody's could not be.
        similarity: Median cosine similarity of what kept pictures give to what photographs give.
        compared: On how many photographs of this gallery it was measured; 0: on others.
    """

    before: str
    model: str
    moved: int
    from_photographs: int
    left_out: int
    exclusions_left_out: int
    similarity: float | None
    compared: int


class ReEmbedding:
    """Moves one gallery in a folder to another network, and back.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder; None takes LIKENESS_GALLERY, or else the data folder's gallery.
        ask: See `GalleryAccess`.
        warn: The same.

    Raises:
        GalleryError: There is no gallery, or it is not kept in a folder.
    """

    def __init__(
        self,
        home: Path | None = None,
        gallery: str | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
    ) -> None:
        self._home = data_home(home)
        find_secret = SecretFinder(ask, warn)
        asked: dict[str, str | None] = {}

        def secret(key_id: str) -> str | None:
            if key_id not in asked:  # nobody is asked twice
                asked[key_id] = find_secret(key_id)
            return asked[key_id]

        place = folder_of(
            place_of(gallery, self._home, secret),
            "re-embedding",
            "`likeness gallery backup FILE`, `restore FILE --gallery DIR`, re-embed DIR, then back "
            "that up and restore it here; nobody is to enrol meanwhile",
        )
        if not place.exists:
            raise nobody_enrolled(place)
        self._succession = Succession(place.path, secret)

    def confirm(self) -> None:
        """Let the former embeddings go; see `Succession.confirm`."""
        self._succession.confirm()

    def undo(self) -> None:
        """Take the move back; see `Succession.undo`."""
        self._succession.undo()

    def move(
        self,
        model: str | None,
        *,
        weights: Path | None = None,
        device: str = "auto",
        photographs: Path | None = None,
        leave_out: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> Moved:
        """Embed everything anew, and exchange it if it is good enough.

        What has been embedded is kept when this is interrupted: the same call goes on with it.

        Args:
            model: The new network; None takes what the weights say.
            weights: A file of its weights; None looks in the known places.
            device: `auto`, `cpu` or `cuda`.
            photographs: A folder of photographs that people were enrolled by, found by their
                content, whatever they are called.
            leave_out: Whether templates may go that cannot be embedded.
            progress: Called with how many templates are settled, and of how many.

        Raises:
            ArgumentError: No network is named, or there is no such folder.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is the network's already, a move is not confirmed yet, kept
                pictures are not good enough, or something cannot be embedded.
        """
        if model is None and weights is None:
            raise ArgumentError("name the network to move to: --model NAME, or --weights FILE")
        at_hand = {} if photographs is None else _by_digest(photographs)
        before = self._succession.model
        choice = Choice(
            home=self._home,
            model=model,
            weights=weights,
            device=device,
            detector=detector_of(before),
        )
        engine = Engine(choice, lambda: None)
        new = engine.model
        self._succession.begin(new, "" if photographs is None else str(photographs.absolute()))
        embedding = _Embedding(engine, at_hand, finds_anew=new.detector != before.detector)
        total, rest = self._succession.counts()
        done = total - rest
        for waiting in self._succession.waiting(_AT_ONCE):
            self._succession.put(embedding.embedded(waiting), new)
            done += len(waiting)
            progress(done, total)
        similarity, compared, alone = self._judged(embedding)
        succeeded = self._exchanged(new, leave_out)
        return Moved(
            before=str(before),
            model=str(new),
            moved=succeeded.moved,
            from_photographs=succeeded.moved - alone,
            left_out=succeeded.left_out,
            exclusions_left_out=succeeded.exclusions_left_out,
            similarity=similarity,
            compared=compared,
        )

    def _exchanged(self, new: EmbeddingModel, leave_out: bool) -> Succeeded:
        total, missing = self._succession.counts()
        if missing == total:
            raise GalleryError(
                "the gallery has kept no picture that could be embedded: give --photographs DIR, "
                "or enrol anew"
            )
        return self._succession.finish(new, leave_out=leave_out)

    def _judged(self, embedding: "_Embedding") -> tuple[float | None, int, int]:
        """The median similarity, on how many photographs it was measured, and who rests on it.

        Raises:
            GalleryError: It is not good enough for those that rest on the kept picture alone.
        """
        measured, alone = self._succession.similarities()
        similarity = (
            float(np.median(measured))
            if measured
            else (embedding.expected(self._succession.sides()))
        )
        if alone and (similarity is None or similarity < LEAST_SIMILAR):
            told = "not known" if similarity is None else f"{similarity:.3f}"
            raise GalleryError(
                f"{alone:,} photographs are at hand as kept pictures alone, and what those give "
                f"has a median similarity of {told} to what photographs give, wanted "
                f"{LEAST_SIMILAR}: give --photographs DIR with more of them; nothing was changed"
            )
        return similarity, len(measured), alone


class _Embedding:
    """Embeds what a gallery has kept, and photographs that are at hand.

    Args:
        engine: With the new network.
        at_hand: Photographs by their SHA-256.
        finds_anew: Whether the detector is another than the one whose landmarks were kept.
    """

    def __init__(self, engine: Engine, at_hand: dict[str, Path], *, finds_anew: bool) -> None:
        from .faces.pipeline import FacePipeline

        pipeline = engine.pipeline
        if not isinstance(pipeline, FacePipeline):
            raise ArgumentError("only a network of faces can embed what was kept")
        self._pipeline: FacePipeline = pipeline
        self._engine, self._at_hand, self._finds_anew = engine, at_hand, finds_anew

    def expected(self, sides: Collection[int]) -> float | None:
        """The similarity to be expected of pictures of some sides, measured on other people's."""
        if self._finds_anew:  # measured by the other detector's landmarks
            return None
        wanted = [
            _MEASURED.get((side, alignment))
            for side in sides
            for alignment in self._pipeline.embedder.alignments
        ]
        known = [value for value in wanted if value is not None]
        return min(known) if known and len(known) == len(wanted) else None

    def embedded(self, waiting: Sequence[WaitingTemplate]) -> list[NewEmbedding]:
        """Embed templates; those of which nothing usable was kept are left out."""
        by_picture = self._by_picture(waiting)
        found = []
        for one in waiting:
            kept, side = by_picture.get(one.template, (None, None))
            fresh = self._by_photograph(one, kept)
            chosen = kept if fresh is None else fresh
            if chosen is None:
                continue
            found.append(
                NewEmbedding(
                    template=one.template,
                    person=one.person,
                    embedding=chosen,
                    fresh=fresh is not None,
                    similarity=float(kept @ fresh)
                    if kept is not None and fresh is not None
                    else None,
                    side=side,
                )
            )
        return found

    def _by_picture(
        self, waiting: Sequence[WaitingTemplate]
    ) -> "dict[int, tuple[npt.NDArray[np.float32], int]]":
        """What kept pictures give, by template, and their sides."""
        from .faces.pipeline import read_picture

        by_kind: defaultdict[tuple[int, bool], list[tuple[int, Image, object]]] = defaultdict(list)
        for one in waiting:
            if one.picture is None:
                continue
            try:
                image, face = read_picture(one.picture)
            except AppError:
                continue
            if self._finds_anew:
                face = None if face is None else self._found_again(image, face)
                if face is None:
                    continue
            by_kind[image.width, face is None].append((one.template, image, face))
        found: dict[int, tuple[npt.NDArray[np.float32], int]] = {}
        for (side, is_bare), rows in by_kind.items():
            images, faces = [image for _, image, _ in rows], [face for *_, face in rows]
            try:
                vectors = self._vectors(images, None if is_bare else faces)
            except (AppError, ValueError):
                continue
            found |= {row: (vector, side) for (row, *_), vector in zip(rows, vectors, strict=True)}
        return found

    def _found_again(self, image: "Image", kept: Face) -> Face | None:
        """The face of a kept picture as this detector sees it; None where it finds none there."""
        [faces] = self._pipeline.detector.detect([image])

        def distance(face: Face) -> float:
            return math.dist(face.centre, kept.centre)

        nearest = min(faces, key=distance, default=None)
        reach = (kept.box[2] - kept.box[0]) / 2
        return nearest if nearest is not None and distance(nearest) < reach else None

    def _vectors(
        self, images: "Sequence[Image]", faces: Sequence[object] | None
    ) -> "npt.NDArray[np.float32]":
        """Embed pictures; where nobody says where the face lies in them it is looked for."""
        import torch

        from backbones.spec import Alignment
        from data.images import to_tensor

        from .faces.alignment import align_faces, realign

        def aligned(alignment: "Alignment") -> "Tensor":
            if faces is not None:
                return align_faces(images, [[face] for face in faces], alignment)  # type: ignore[list-item]
            if alignment is Alignment.FIVE_POINT:
                return torch.stack([to_tensor(image) for image in images])
            return realign(images, alignment, self._pipeline.detector)

        return self._pipeline.embedder.embed_aligned(aligned)

    def _by_photograph(
        self, one: WaitingTemplate, kept: "npt.NDArray[np.float32] | None"
    ) -> "npt.NDArray[np.float32] | None":
        """What the photograph gives: of several faces the one that the kept picture is of."""
        from data.images import load_image

        path = self._at_hand.get(one.photograph_sha256)
        if path is None:
            return None
        try:
            [faces] = self._pipeline.faces([load_image(path)])
        except AppError:
            return None
        if kept is None:
            return faces[0].embedding if len(faces) == 1 else None
        best = max(faces, key=lambda face: float(face.embedding @ kept), default=None)
        if best is None or float(best.embedding @ kept) < _SURELY_ANOTHER:
            return None
        return best.embedding


def _by_digest(folder: Path) -> dict[str, Path]:
    """All files under a folder by their SHA-256.

    Raises:
        ArgumentError: There is no such folder.
    """
    if not folder.is_dir():
        raise ArgumentError(f"{printable(folder)} is no folder: name one of photographs")
    return {sha256_of(path): path for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
