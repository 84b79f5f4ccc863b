"""A gallery that an earlier Likeness has kept in Milvus: read, to be copied, for one release.

It is two collections. `NAME_templates` has a row for each template: its id, its person's id, the
photograph's SHA-256, the vector, and a SHA-256 of the vector's bytes. `NAME_rows` has one for each
row of every other table, its columns as JSON beside what they are asked for by; a long one is cut
into parts. What an interrupted change has left there leads to nobody, and is passed over.
"""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from data import clock
from data.errors import GalleryError

from ...results import Calibration, Quality, Use
from ..search.milvus import MilvusAddress, MilvusConnection
from ..storage.people import restorable_since
from ..storage.records import BATCH, PersonRecord
from ..storage.snapshot import CALIBRATION_COLUMNS, QUALITY_COLUMNS
from ..templates import EmbeddingModel, Template

_ROW_FIELDS = ["row", "part", "kind", "number", "owner", "body"]
_TEMPLATE_FIELDS = ["id", "person", "photograph", "digest", "embedding"]
_ASKED_AT_ONCE = 4_000  # values in one question: Milvus Lite goes through all it has for each
_AT_ONCE, _CROPS_AT_ONCE = 8_192, 1_000  # rows in one answer, which may have 100 MB


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a table.

    Attributes:
        kind: Its table.
        number: Its id where it has one, else 0.
        owner: The id of what it goes with, else 0.
        columns: Its columns.
    """

    kind: str
    number: int
    owner: int
    columns: Mapping[str, Any]


class MilvusGallery:
    """Reads such a gallery. Close it.

    Args:
        address: Where it is; the index and the metric that it names say nothing here.

    Raises:
        GalleryError: There is none, or Milvus does not answer.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self._address = address
        self._connection = MilvusConnection(address)
        self._table, self._vectors = f"{address.name}_rows", f"{address.name}_templates"
        names = self._table, self._vectors
        if not (all(map(self._connection.loads, names)) and self._rows('kind == "gallery"')):
            self.close()
            raise GalleryError(f"no gallery is in {address}: check the name in the address")

    def __str__(self) -> str:
        return str(self._address)

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings it holds."""
        [row] = self._rows('kind == "gallery"')
        known = {one.name for one in fields(EmbeddingModel)}
        return EmbeddingModel(
            **{name: value for name, value in row.columns.items() if name in known}
        )

    @property
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and how many photographs it has, of whomever."""
        return len(self.people()), self._connection.count(self._vectors)

    def people(self, *, deleted: bool = False) -> Sequence[object]:
        """Everybody enrolled; or those who were deleted and can be restored."""
        return [one for one in self._people() if bool(one[0].columns["deleted_at"]) is deleted]

    def calibration(self, use: Use) -> Calibration | None:
        """Its own threshold for a use; None if there is none for its model."""
        digest = self.model.weights_digest
        for row in self._rows('kind == "calibration"'):
            if (row.columns["use"], row.columns["weights_digest"]) == (use, digest):
                own: dict[str, Any] = {name: row.columns.get(name) for name in CALIBRATION_COLUMNS}
                return Calibration(**(own | {"use": use}))
        return None

    @contextmanager
    def records(self) -> Iterator[Iterator[PersonRecord]]:
        """Everybody, some at a time, by name.

        Raises:
            GalleryError: Milvus returns other bits of a template than were put in.
        """
        yield self._records()

    def _records(self) -> Iterator[PersonRecord]:
        people = self._people()
        for start in range(0, len(people), BATCH):
            some = people[start : start + BATCH]
            ids = [row.number for rows in some for row in rows]
            templates = self._templates(ids)
            exclusions = self._owned("exclusion", ids)
            groups = self._owned("membership", ids)
            for rows in some:
                columns = rows[0].columns
                own = [row.number for row in rows]
                yield PersonRecord(
                    name=columns["name"],
                    enrolled_at=columns["enrolled_at"],
                    deleted_at=columns["deleted_at"],
                    templates=_in_order(templates, own),
                    exclusions=_in_order(
                        {
                            number: [(row.number, _exclusion(row)) for row in theirs]
                            for number, theirs in exclusions.items()
                        },
                        own,
                    ),
                    consent=columns["consent"],
                    consented_at=columns["consented_at"],
                    expires_on=columns["expires_on"],
                    groups=tuple(
                        sorted({row.columns["name"] for one in own for row in groups[one]})
                    ),
                )

    def _people(self) -> list[list[_Row]]:
        """Everybody to be kept, by name, each with their rows: two machines may have made two."""
        merged: dict[tuple[str, str], list[_Row]] = {}
        for row in sorted(self._rows('kind == "person"'), key=lambda row: row.number):
            name, deleted = row.columns["name"], row.columns["deleted_at"]
            expires = row.columns["expires_on"]
            if (deleted is None or deleted >= restorable_since()) and (
                expires is None or expires >= clock.today().isoformat()
            ):
                own = "" if deleted is None else f"{deleted} {row.number}"
                merged.setdefault((name, own), []).append(row)
        return [merged[key] for key in sorted(merged)]

    def _templates(self, people: Sequence[int]) -> dict[int, list[tuple[int, Template]]]:
        """A person's id → their templates with the ids.

        Raises:
            GalleryError: One has other bits than were put in.
        """
        entries = [
            entry
            for chunk in _chunks(people)
            for entry in self._connection.rows(
                self._vectors, f"person in [{chunk}]", _TEMPLATE_FIELDS, _CROPS_AT_ONCE
            )
        ]
        ids = [entry["id"] for entry in entries]
        crops, qualities = self._owned("crop", ids), self._owned("quality", ids)
        found: dict[int, list[tuple[int, Template]]] = defaultdict(list)
        for entry in entries:
            embedding = np.array(entry["embedding"], np.float32)
            if hashlib.sha256(embedding.astype("<f4").tobytes()).hexdigest() != entry["digest"]:
                raise GalleryError(
                    f"the gallery {self} returns other bits of a template than were put in: its "
                    "index keeps only nearly what it is given; restore it from a backup of Milvus"
                )
            crop, quality = crops[entry["id"]], qualities[entry["id"]]
            template = Template(
                embedding=embedding,
                photograph_sha256=entry["photograph"],
                crop=crop[0].columns["picture"] if crop else None,
                quality=_quality(quality[0].columns) if quality else None,
            )
            found[entry["person"]].append((entry["id"], template))
        return found

    def _owned(self, kind: str, owners: Sequence[int]) -> dict[int, list[_Row]]:
        """An owner's id → the rows of a kind that go with it."""
        found: dict[int, list[_Row]] = defaultdict(list)
        page = _CROPS_AT_ONCE if kind == "crop" else _AT_ONCE
        for chunk in _chunks(owners):
            for row in self._rows(f'kind == "{kind}" and owner in [{chunk}]', page):
                found[row.owner].append(row)
        return found

    def _rows(self, condition: str, page: int = _AT_ONCE) -> list[_Row]:
        """Rows by a condition in Milvus's language, put together; no text of a user is part of it.

        One that is not whole is left out: an interrupted change put it there.
        """
        pieces: dict[str, dict[int, dict[str, Any]]] = {}
        for entry in self._connection.rows(self._table, condition, _ROW_FIELDS, page):
            pieces.setdefault(entry["row"], {})[entry["part"]] = entry
        return [
            _Row(
                kind=parts[0]["kind"],
                number=parts[0]["number"],
                owner=parts[0]["owner"],
                columns=_columns("".join(parts[part]["body"] for part in range(len(parts)))),
            )
            for parts in pieces.values()
            if sorted(parts) == list(range(len(parts)))
        ]

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _columns(body: str) -> dict[str, Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in json.loads(body).items()
    }


def _chunks(values: Sequence[int]) -> Iterator[str]:
    """Numbers as lists in Milvus's language."""
    for start in range(0, len(values), _ASKED_AT_ONCE):
        yield ", ".join(map(str, values[start : start + _ASKED_AT_ONCE]))


def _in_order(
    found: Mapping[int, Sequence[tuple[int, Template]]], people: Iterable[int]
) -> tuple[Template, ...]:
    """The faces of somebody, who may have several ids, in the order in which they were put in."""
    numbered = [one for person in people for one in found.get(person, ())]
    return tuple(face for _, face in sorted(numbered, key=lambda one: one[0]))


def _exclusion(row: _Row) -> Template:
    return Template(
        embedding=np.frombuffer(row.columns["embedding"], "<f4").astype(np.float32),
        photograph_sha256=row.columns["photograph_sha256"],
    )


def _quality(columns: Mapping[str, Any]) -> Quality:
    known: dict[str, Any] = {name: columns.get(name) for name in QUALITY_COLUMNS}
    return Quality(**known)
