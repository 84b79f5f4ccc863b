"""Rows whose contents are sealed: how they are made, read, and given to another person."""

from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from itertools import chain

import numpy as np
import numpy.typing as npt

from data import clock
from data.errors import GalleryError

from ..inventory import Consent
from .sealing import (
    SealedConnection,
    consent_place,
    embedding_place,
    name_place,
    photograph_place,
)
from .templates import EmbeddingModel, Embeddings, Template, from_blob, to_blob


class Row(StrEnum):
    """A table whose rows operations change."""

    PERSON = "person"
    TEMPLATE = "template"
    EXCLUSION = "exclusion"
    MEMBERSHIP = "membership"


def next_id(connection: SealedConnection, table: str) -> int:
    """The id of a table's next row: what is sealed in a row is sealed for its id."""
    (highest,) = connection.execute(
        "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)
    ).fetchone()
    return int(highest) + 1


def add_person(
    connection: SealedConnection, name: str, enrolled_at: str, deleted_at: str | None = None
) -> int:
    """Add somebody whose name is free, or who is deleted; their id."""
    person = next_id(connection, Row.PERSON)
    closed = connection.seal.close_text(name, name_place(person))
    connection.execute(
        "INSERT INTO person (id, name, mark, enrolled_at, deleted_at) VALUES (?, ?, ?, ?, ?)",
        (person, closed, connection.seal.mark(name), enrolled_at, deleted_at),
    )
    return person


def note_consent(connection: SealedConnection, person: int, consent: Consent) -> None:
    """Note what somebody agreed to; what the consent leaves open stays as it was noted."""
    if consent.note is not None:
        closed = connection.seal.close_text(consent.note, consent_place(person))
        connection.execute("UPDATE person SET consent = ? WHERE id = ?", (closed, person))
    if consent.until is not None or consent.for_ever:
        day = None if consent.until is None else consent.until.isoformat()
        connection.execute("UPDATE person SET expires_on = ? WHERE id = ?", (day, person))
    connection.execute("UPDATE person SET consented_at = ? WHERE id = ?", (now(), person))


def add_face(
    connection: SealedConnection, kind: Row, person: int, face: Template, model: EmbeddingModel
) -> int:
    """Add a template or an exclusion of a person; its id.

    Raises:
        GalleryError: The embedding is not a unit vector of the model's dimension.
    """
    seal, row = connection.seal, next_id(connection, kind)
    blob = to_blob(face.embedding, model.dimension)
    connection.execute(
        f"INSERT INTO {kind} (id, person_id, photograph_mark, photograph_sha256, embedding)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            row,
            person,
            seal.mark(face.photograph_sha256),
            seal.close_text(face.photograph_sha256, photograph_place(kind, row)),
            seal.close(blob, embedding_place(kind, row, person, model.weights_digest)),
        ),
    )
    return row


def faces_in(
    connection: SealedConnection, kind: Row, photograph_sha256: str, model: EmbeddingModel
) -> list[tuple[int, Embeddings]]:
    """Whose templates or exclusions there are of a photograph, with their embeddings (1, D).

    Raises:
        GalleryError: One of them is damaged.
    """
    seal = connection.seal
    rows = connection.execute(
        f"SELECT id, person_id, embedding FROM {kind} WHERE photograph_mark = ? ORDER BY id",
        (seal.mark(photograph_sha256),),
    ).fetchall()
    found = []
    for row, person, closed in rows:
        blob = seal.open(closed, embedding_place(kind, row, person, model.weights_digest))
        found.append((person, from_blob(blob, model.dimension)))
    return found


def ids_of(rows: Iterable[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Templates' ids, ascending, each with its person's, as an array (N, 2).

    Raises:
        GalleryError: The ids are not one each, which they are in every table of ours.
    """
    with suppress(TypeError, ValueError, OverflowError):
        ids = np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 2)
        if (np.diff(ids[:, 0]) > 0).all():
            return ids
    raise GalleryError(
        "the gallery is damaged, two templates have one id: restore it from a backup"
    )


def hand_over(connection: SealedConnection, kind: Row, ids: Iterable[int], person: int) -> None:
    """Give templates or exclusions to a person, for whom they are sealed anew.

    Raises:
        GalleryError: One of them was tampered with.
    """
    seal = connection.seal
    (digest,) = connection.execute("SELECT weights_digest FROM gallery").fetchone()
    for row in ids:
        owner, closed = connection.execute(
            f"SELECT person_id, embedding FROM {kind} WHERE id = ?", (row,)
        ).fetchone()
        content = seal.open(closed, embedding_place(kind, row, owner, digest))
        anew = seal.close(content, embedding_place(kind, row, person, digest))
        connection.execute(
            f"UPDATE {kind} SET person_id = ?, embedding = ? WHERE id = ?", (person, anew, row)
        )


def now() -> str:
    """The moment in UTC, to the second."""
    return clock.now().isoformat(timespec="seconds")
