"""One gallery into another, wherever the two are kept."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from data.progress import Progress

from ...results import Calibration, Use
from ..gallery import Gallery
from ..storage.records import BATCH, Added, PersonRecord, checksum, fingerprints
from ..templates import EmbeddingModel


class CopySource(Protocol):
    """A gallery to be copied, as far as it is asked."""

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings it holds."""

    @property
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""

    def people(self, *, deleted: bool = False) -> Sequence[object]:
        """Everybody enrolled; or those who were deleted and can be restored."""

    def calibration(self, use: Use) -> Calibration | None:
        """Its own threshold for a use; None if there is none for its model."""

    def records(self) -> AbstractContextManager[Iterator[PersonRecord]]:
        """Everybody, with all that is kept of them, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did, and what came of comparing both galleries afterwards.

    Attributes:
        added: What became of the people.
        things: How many people, memberships in groups, faces and exclusions were compared.
        lacking: How many of them the copy lacks, or has otherwise: somebody may have changed one of
            the two meanwhile.
        checksum: SHA-256 over all of them, as the source has them.
        thresholds: Those of the source that the copy has taken, for it had none.
    """

    added: Added
    things: int
    lacking: int
    checksum: str
    thresholds: tuple[Calibration, ...] = ()


def copy_gallery(
    source: CopySource,
    target: Gallery,
    progress: Progress = lambda done, total: None,
) -> Copied:
    """Put everybody of a gallery into another, batch after batch, and read both back.

    What is there already is left alone, so that a copy which was interrupted goes on where it was,
    and a second one brings what is new.

    Args:
        source: Where from.
        target: Where to.
        progress: Called with how many people are done, and of how many.

    Raises:
        GalleryError: The target is another model's, or one of the two cannot be used.
    """
    target.require(source.model, adopt=True)
    total = source.size[0] + len(source.people(deleted=True))
    added, things = Added(), set[bytes]()
    with source.records() as records:
        while batch := list(islice(records, BATCH)):
            with target.adding() as add:
                added.plus(add(batch))
            for record in batch:
                things.update(fingerprints(record))
            progress(added.people, max(total, added.people))
    own = [one for one in map(source.calibration, Use) if one is not None]
    lacking = [one for one in own if target.calibration(one.use) is None]
    if lacking:
        target.calibrate(lacking)
    missing = set(things)
    with target.records() as records:
        for record in records:
            missing.difference_update(fingerprints(record))
    return Copied(
        added=added,
        things=len(things),
        lacking=len(missing),
        checksum=checksum(things),
        thresholds=tuple(lacking),
    )
