"""The templates of one state of a gallery, read from its database."""

import json
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from data.errors import GalleryError

from .sealing import OPEN, SealedConnection, embedding_place, name_place
from .templates import EmbeddingModel, Embeddings, Ids, from_blob, unit_vectors


class Holding:
    """What a transaction sees of the templates.

    Args:
        connection: In that transaction.
    """

    def __init__(self, connection: SealedConnection) -> None:
        self._connection = connection
        self._model: EmbeddingModel | None = None
        self.seal = connection.seal

    @property
    def connection(self) -> SealedConnection:
        """The transaction that it looks through."""
        return self._connection

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings these are."""
        if self._model is None:  # it stays the same within a transaction that looks
            columns = self._gallery("model_id, weights_digest, dimension, weights_path")
            self._model = EmbeddingModel(*columns)
        return self._model

    def _gallery(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {columns} FROM gallery"
        ).fetchone()
        if row is None:
            raise GalleryError("the gallery does not say what it is: restore it from a backup")
        return row

    def templates_of(self, people: Ids) -> tuple[Ids, Ids]:
        """The templates' ids of people (p,), ascending, and whose each is, (n,)."""
        rows = self._connection.execute(
            "SELECT id, person_id FROM template"
            " WHERE person_id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(people.tolist()),),
        )
        table = np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def kept(self, ids: Ids) -> Ids:
        """Those of some templates' ids (n,), ascending, that are still there."""
        rows = self._connection.execute(
            "SELECT id FROM template WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(ids.tolist()),),
        )
        return np.fromiter(chain.from_iterable(rows), np.int64)

    def embeddings(self, ids: Ids) -> Embeddings:
        """The embeddings (n, D) of templates, in the order of their ids (n,), which ascend.

        Raises:
            GalleryError: One of them is damaged; the message names the person.
        """
        model = self.model
        dimension, digest = model.dimension, model.weights_digest
        rows = self._connection.execute(
            "SELECT id, person_id, embedding FROM template"
            " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(ids.tolist()),),
        ).fetchall()
        owners = [person for _, person, _ in rows]
        if self.seal is OPEN:  # nothing to be opened, and a search is not to wait for it
            blobs = [blob for *_, blob in rows]
        else:
            blobs = [
                self.seal.open(closed, embedding_place("template", row, person, digest))
                for row, person, closed in rows
            ]
        if all(len(blob) == 4 * dimension for blob in blobs):
            table = np.frombuffer(b"".join(blobs), dtype="<f4")
            with suppress(GalleryError):
                return unit_vectors(table.reshape(-1, dimension), dimension)
        raise self._damage(owners, blobs, dimension)

    def _damage(self, owners: list[int], blobs: list[bytes], dimension: int) -> GalleryError:
        """Say whose template is the first that cannot be read."""
        for person, blob in zip(owners, blobs, strict=True):
            try:
                from_blob(blob, dimension)
            except GalleryError as error:
                (closed,) = self._connection.execute(
                    "SELECT name FROM person WHERE id = ?", (person,)
                ).fetchone()
                name = self.seal.open_text(closed, name_place(person))
                return GalleryError(
                    f"a template of '{name}' is damaged ({error}): erase '{name}' and enrol "
                    "again, or restore the gallery from a backup"
                )
        return GalleryError("the templates cannot be read: restore the gallery from a backup")
