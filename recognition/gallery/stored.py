"""What Milvus holds of a gallery: a template, or a row of another table as JSON."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inventory import today
from .people import restorable_since

ROW_FIELDS = ["row", "part", "kind", "number", "owner", "label", "deleted", "expires", "body"]
TEMPLATE_FIELDS = ["id", "person", "photograph", "digest", "embedding"]

_ABOUT = ("kind", "number", "owner", "label", "deleted", "expires")

AT_ONCE = 500
"""How many rows go to Milvus at once."""

_ASKED_AT_ONCE = 4000  # as many values in one question: each looks at all that is kept

_BODY = 60_000  # bytes of JSON; Milvus takes 65,535


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of a table, as it is kept.

    Attributes:
        key: Names it among all rows of the gallery.
        kind: Its table.
        number: Its id where it has one, else 0.
        owner: The id of what it goes with, else 0.
        label: What it is found by: the SHA-256 of a person's or a group's name, or that of an
            exclusion's photograph; empty for others.
        deleted: When a person was deleted; empty for those who are enrolled, and for other rows.
        expires: The last day of a person's consent; empty where that has no end, and for others.
        body: Its columns as JSON.
    """

    key: str
    kind: str
    number: int
    owner: int
    label: str
    deleted: str
    expires: str
    body: str


@dataclass(frozen=True, slots=True, eq=False)
class StoredTemplate:
    """One template, as it is kept.

    Attributes:
        id: Its id.
        person: The person's.
        photograph: SHA-256 of the photograph.
        digest: SHA-256 of the embedding's bytes when it was put in.
        embedding: (D,) float32, as Milvus returns it.
    """

    id: int
    person: int
    photograph: str
    digest: str
    embedding: npt.NDArray[np.float32]

    @property
    def is_exact(self) -> bool:
        """Whether Milvus returns the very bits that were put in."""
        return hashlib.sha256(self.embedding.astype("<f4").tobytes()).hexdigest() == self.digest


def entries_of(row: StoredRow) -> list[dict[str, Any]]:
    """A row as Milvus gets it, cut where it is too long. The body is ASCII."""
    pieces = [row.body[start : start + _BODY] for start in range(0, len(row.body), _BODY)]
    return [
        {
            "key": f"{row.key}#{part}",
            "row": row.key,
            "part": part,
            "kind": row.kind,
            "number": row.number,
            "owner": row.owner,
            "label": row.label,
            "deleted": row.deleted,
            "expires": row.expires,
            "body": piece,
            "unused": [1.0, 0.0],
        }
        for part, piece in enumerate(pieces)
    ]


def rows_of(entries: Iterable[dict[str, Any]]) -> list[StoredRow]:
    """Rows as Milvus returns them, put together, by their numbers.

    One that is not whole is left out: an interrupted change put it there, and nothing leads to it.
    """
    pieces: dict[str, dict[int, dict[str, Any]]] = {}
    for entry in entries:
        pieces.setdefault(entry["row"], {})[entry["part"]] = entry
    rows = []
    for key, parts in pieces.items():
        if sorted(parts) == list(range(len(parts))):
            body = "".join(parts[part]["body"] for part in range(len(parts)))
            about = {name: parts[0][name] for name in _ABOUT}
            rows.append(StoredRow(key=key, body=body, **about))
    return sorted(rows, key=lambda row: (row.number, row.key))


def template_of(entry: dict[str, Any]) -> StoredTemplate:
    """A template as Milvus returns it."""
    about = {name: entry[name] for name in ("id", "person", "photograph", "digest")}
    return StoredTemplate(embedding=np.array(entry["embedding"], np.float32), **about)


def columns_of(row: StoredRow) -> dict[str, Any]:
    """A row's columns as SQLite has them."""
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in json.loads(row.body).items()
    }


def label_of(name: str) -> str:
    """What a name is found by, whatever is in it."""
    return hashlib.sha256(name.encode()).hexdigest()


def chunks_of(values: Iterable[int | str]) -> Iterator[str]:
    """Values as lists in Milvus's language: numbers, or texts of our own making."""
    texts = [f'"{value}"' if isinstance(value, str) else str(value) for value in values]
    for start in range(0, len(texts), _ASKED_AT_ONCE):
        yield ", ".join(texts[start : start + _ASKED_AT_ONCE])


# Which people are meant, in Milvus's language; see `people` for the same in SQLite's.


def enrolled() -> str:
    """Whoever is neither deleted nor past their consent."""
    return f'kind == "person" and deleted == "" and (expires == "" or expires >= "{today()}")'


def restorable() -> str:
    """Whoever was deleted and can come back."""
    return (
        f'kind == "person" and deleted >= "{restorable_since()}"'
        f' and (expires == "" or expires >= "{today()}")'
    )


def overdue() -> str:
    """Whoever must not be kept."""
    return (
        f'kind == "person" and ((deleted != "" and deleted < "{restorable_since()}")'
        f' or (expires != "" and expires < "{today()}"))'
    )
