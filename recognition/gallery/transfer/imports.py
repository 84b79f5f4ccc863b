"""Reading the open format of `archive` into a gallery; strangers may have made the files.

All of it is checked before anything is changed: every length and digest, every line, every vector.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from data import clock
from data.errors import AppError, GalleryError
from data.files import printable
from data.progress import Progress

from ...results import Calibration, Consent, Quality
from ..gallery import Gallery
from ..names import person_name
from ..storage.people import group_names, restorable_since
from ..storage.records import BATCH, Added, PersonRecord, checksum, fingerprints
from ..storage.snapshot import QUALITY_COLUMNS
from ..templates import EmbeddingModel, Embeddings, Template, unit_vectors
from .archive import (
    CROP,
    EMBEDDINGS,
    MOST_CROP,
    MOST_LINE,
    PEOPLE,
    Manifest,
    Members,
    opened_members,
)

MOST_QUALITY = 1e6
"""No measure of a face's quality is farther from 0."""

MOST_YEARS = 200
"""So many years ahead may a consent end."""

_DAMAGE = (ArithmeticError, ValueError, LookupError, TypeError, RecursionError, AppError)
"""What a line is met with that a stranger has made."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def import_from(
    source: Path,
    open_gallery: Callable[[EmbeddingModel], Gallery],
    progress: Progress = lambda done, total: None,
    *,
    scratch: Path | None = None,
    thresholds: bool = False,
) -> Added:
    """Put everybody of an export into a gallery; who is there already gets what they lack.

    It is one change: all of it or nothing.

    Args:
        source: The export, a folder or a ZIP.
        open_gallery: Opens the gallery, or makes one of the model that it is given.
        progress: Called with how many people are done, and of how many.
        scratch: See `opened_members`.
        thresholds: Whether the export's thresholds are taken for uses for which the gallery has
            none: they decide who is named, and may be a stranger's.

    Raises:
        ArgumentError: There is no such file.
        GalleryError: It is damaged, no export, or a newer Likeness's; or the gallery is another
            model's or cannot be written.
    """
    shown = printable(source)
    try:
        with opened_members(source, scratch) as members:
            export = Export(members)
            export.check()
            with open_gallery(export.manifest.model) as gallery:
                return _write(export, gallery, progress, thresholds=thresholds)
    except OSError as error:
        raise GalleryError(f"cannot read {shown}: {error.strerror or error}") from error


def thresholds_in(source: Path) -> tuple[Calibration, ...]:
    """The thresholds that an export brings, of which nothing else is read.

    Raises:
        ArgumentError: There is no such file.
        GalleryError: It is no export, or a newer Likeness's.
    """
    try:
        with opened_members(source) as members:
            return Manifest.from_json(members.manifest()).calibrations
    except OSError as error:
        raise GalleryError(f"cannot read {printable(source)}: {error.strerror or error}") from error


def _write(export: "Export", gallery: Gallery, progress: Progress, *, thresholds: bool) -> Added:
    manifest = export.manifest
    gallery.require(manifest.model, adopt=True)
    added, records = Added(), export.records()
    since, day = restorable_since(), clock.today().isoformat()
    with gallery.adding() as add:
        while batch := list(islice(records, BATCH)):
            # Whoever's time has ended since the export was made stays gone.
            added.plus(
                add(
                    [
                        one
                        for one in batch
                        if (one.deleted_at or since) >= since and (one.expires_on or day) >= day
                    ]
                )
            )
            progress(min(added.people, manifest.people), manifest.people)
    lacking = [one for one in manifest.calibrations if gallery.calibration(one.use) is None]
    if thresholds and lacking:
        gallery.calibrate(lacking)
    return added


class Export:
    """An export that is being read.

    Args:
        members: Its files.

    Raises:
        GalleryError: It is none, or one of a newer format.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._crops_read: set[str] = set()
        try:
            self.manifest = Manifest.from_json(members.manifest())
        except GalleryError as error:
            raise GalleryError(f"{members}: {error}") from error
        members.bound(self.manifest)
        self._tensors = members.tensors(self.manifest)

    def check(self) -> None:
        """Look at everything.

        Raises:
            GalleryError: Something is damaged or missing.
        """
        for name in (PEOPLE, EMBEDDINGS):
            self._members.verify(name, self.manifest.members[name])
        digests: list[bytes] = []
        templates = exclusions = crops = groups = people = 0
        for people, record in enumerate(self.records(), 1):  # noqa: B007
            digests += fingerprints(record)
            templates += len(record.templates)
            exclusions += len(record.exclusions)
            groups += len(record.groups)
            crops += sum(template.crop is not None for template in record.templates)
        manifest = self.manifest
        said = manifest.people, manifest.templates, manifest.exclusions, manifest.crops
        if (people, templates, exclusions, crops, groups) != (*said, manifest.groups):
            raise GalleryError(f"{self._members} does not hold as much as it says: export it anew")
        if checksum(digests) != manifest.checksum:
            raise GalleryError(f"{self._members} has another checksum than it says: export it anew")

    def records(self) -> Iterator[PersonRecord]:
        """Everybody.

        Raises:
            GalleryError: A line, a vector or a crop is damaged.
        """
        self._crops_read.clear()
        with self._members.stream(PEOPLE) as lines:
            number = 0
            while line := lines.readline(MOST_LINE):
                number += 1
                try:
                    yield self._record(json.loads(line))
                except _DAMAGE as error:
                    raise GalleryError(
                        f"{self._members}: line {number} of {PEOPLE} is damaged "
                        f"({printable(str(error))})"
                    ) from error

    def _record(self, found: dict[str, Any]) -> PersonRecord:
        name = found["name"]
        if not isinstance(name, str) or person_name(name) != name:
            raise ValueError("the name is not in its one form")
        templates = found["templates"]
        vectors = self._rows("templates", templates)
        excluded = self._rows("exclusions", found["exclusions"])
        return PersonRecord(
            name=name,
            enrolled_at=_moment(found["enrolled_at"]),
            deleted_at=None if found["deleted_at"] is None else _moment(found["deleted_at"]),
            templates=tuple(
                Template(
                    embedding=vector,
                    photograph_sha256=_sha256(one["photograph_sha256"]),
                    crop=self._crop(one["crop"]),
                    quality=_quality(one["quality"]),
                )
                for one, vector in zip(templates, vectors, strict=True)
            ),
            exclusions=tuple(
                Template(embedding=vector, photograph_sha256=_sha256(one["photograph_sha256"]))
                for one, vector in zip(found["exclusions"], excluded, strict=True)
            ),
            consent=_note(found.get("consent")),
            consented_at=None
            if found.get("consented_at") is None
            else _moment(found["consented_at"]),
            expires_on=_day(found.get("expires_on")),
            groups=_groups(found.get("groups", [])),
        )

    def _rows(self, tensor: str, entries: list[dict[str, Any]]) -> Embeddings:
        rows, table = [one["row"] for one in entries], self._tensors[tensor]
        for row in rows:
            if type(row) is not int or not 0 <= row < len(table):
                raise ValueError(f"there is no row {row!r} of {tensor}")
        return unit_vectors(
            np.array(table[rows], np.float32).reshape(-1, table.shape[1]), table.shape[1]
        )

    def _crop(self, found: dict[str, Any] | None) -> bytes | None:
        if found is None:
            return None
        name, length, digest = found["file"], found["bytes"], found["sha256"]
        if not (isinstance(name, str) and CROP.fullmatch(name)):
            raise ValueError("a crop with a name that none has")
        if type(length) is not int or not 0 < length <= MOST_CROP:
            raise ValueError(f"a crop of {length!r} bytes, at most {MOST_CROP:,} are read")
        if name in self._crops_read:  # else a small file would fill a large gallery
            raise ValueError(f"{name} is the crop of two faces")
        self._crops_read.add(name)
        content = self._members.read(name, length)
        if len(content) != length or hashlib.sha256(content).hexdigest() != digest:
            raise ValueError(f"{name} has another SHA-256 than it should")
        return content


def _moment(text: object) -> str:
    """A moment as it is kept: in the one form by which moments are compared, and not to come."""
    if not isinstance(text, str) or len(text) > 40:
        raise ValueError("a date that is none")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or text not in _forms(moment.astimezone(UTC)):
        raise ValueError("a date that is not UTC, to the second or the microsecond")
    if not _EARLIEST <= moment <= clock.now() + timedelta(days=1):
        raise ValueError(f"a date before {_EARLIEST.year} or to come")
    return text


def _forms(moment: datetime) -> tuple[str, ...]:
    return tuple(moment.isoformat(timespec=spec) for spec in ("seconds", "microseconds"))


def _day(text: object) -> str | None:
    """A day as it is kept; None where there is none."""
    if text is None:
        return None
    if not isinstance(text, str) or date.fromisoformat(text).isoformat() != text:
        raise ValueError("a day that is none")
    if not _EARLIEST.year <= date.fromisoformat(text).year <= clock.today().year + MOST_YEARS:
        raise ValueError(f"a day before {_EARLIEST.year} or more than {MOST_YEARS} years ahead")
    return text


def _note(text: object) -> str | None:
    """What was agreed to; None where nothing was noted."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError("a note of consent that is no text")
    return Consent(note=text).note


def _groups(names: object) -> tuple[str, ...]:
    """Groups in their one form, each once."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("groups that are no list of names")
    if list(group_names(names)) != names:
        raise ValueError("a group twice, or not in its one form")
    return tuple(names)


def _sha256(text: object) -> str:
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("a photograph without SHA-256")
    return text


def _quality(found: dict[str, Any] | None) -> Quality | None:
    if found is None:
        return None
    values = {name: found[name] for name in QUALITY_COLUMNS if name != "trust"}
    if found.get("trust") is not None:  # of an export from before there is none
        values["trust"] = found["trust"]
    for value in values.values():
        # Compared first: a whole number may have more digits than any float.
        if type(value) not in (int, float) or not -MOST_QUALITY <= value <= MOST_QUALITY:
            raise ValueError("a quality that is no number, or too large to be one")
    return Quality(**{name: float(value) for name, value in values.items()})
