"""Who is known not to be whom: faces that are not a person's, and what follows from them.

A face that is not Ann's and is enrolled as Bob's says that Ann and Bob are two people. What is
enrolled as a person's is theirs, whatever was said of the face before.
"""

from collections.abc import Collection, Iterator

import numpy as np

from .sealing import SealedConnection, embedding_place
from .templates import SAME_FACE, EmbeddingModel, Embeddings, from_blob


def exclusions_of(connection: SealedConnection, model: EmbeddingModel) -> dict[int, Embeddings]:
    """A person's id → faces that are known not to be theirs, (n, D).

    Raises:
        GalleryError: One of them is damaged.
    """
    taken_back = {
        row for row, person, owner in enrolled_exclusions(connection, model) if person == owner
    }
    found: dict[int, list[Embeddings]] = {}
    for row, person, closed in connection.execute(
        "SELECT id, person_id, embedding FROM exclusion ORDER BY id"
    ):
        if row not in taken_back:
            vector = _opened(connection, model, "exclusion", (row, person, closed))
            found.setdefault(person, []).append(vector)
    return {person: np.concatenate(vectors) for person, vectors in found.items()}


def enrolled_exclusions(
    connection: SealedConnection, model: EmbeddingModel
) -> Iterator[tuple[int, int, int]]:
    """Exclusions whose face is enrolled: the row, whose face it is not, and as whose it is.

    Raises:
        GalleryError: One of them is damaged.
    """
    rows = connection.execute(
        "SELECT exclusion.id, exclusion.person_id, exclusion.embedding,"
        " template.id, template.person_id, template.embedding"
        " FROM exclusion JOIN template USING (photograph_mark) ORDER BY exclusion.id, template.id"
    ).fetchall()
    for row in rows:
        face = _opened(connection, model, "exclusion", row[:3])
        enrolled = _opened(connection, model, "template", row[3:])
        if float(face[0] @ enrolled[0]) >= SAME_FACE:
            yield row[0], row[1], row[4]


def forget_faces(
    connection: SealedConnection, model: EmbeddingModel, people: Collection[int]
) -> None:
    """Remove what others' exclusions hold of the faces of people who are to be erased."""
    gone = [row for row, _, owner in enrolled_exclusions(connection, model) if owner in people]
    connection.executemany("DELETE FROM exclusion WHERE id = ?", [(row,) for row in gone])


def _opened(
    connection: SealedConnection, model: EmbeddingModel, table: str, row: tuple[int, int, bytes]
) -> Embeddings:
    number, person, closed = row
    place = embedding_place(table, number, person, model.weights_digest)
    return from_blob(connection.seal.open(closed, place), model.dimension)
