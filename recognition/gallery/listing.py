"""What is told of people and of their photographs, a line each."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from ..inventory import PhotographSummary
from ..results import PersonSummary, Quality
from .alike import closest_other
from .groups import groups_of
from .people import ENROLLED, RESTORABLE, restorable_since
from .sealing import SealedConnection, consent_place, name_place, photograph_place
from .templates import Embeddings

QUALITY_COLUMNS = tuple(one.name for one in fields(Quality))
"""What is kept of a face's quality."""


def list_people(
    connection: SealedConnection, *, deleted: bool, name: str | None = None
) -> tuple[PersonSummary, ...]:
    """Everybody enrolled, or those who can be restored, by name.

    Args:
        connection: The gallery.
        deleted: Whether those who can be restored are meant.
        name: List only who is called so; None: everybody.
    """
    condition = RESTORABLE if deleted else ENROLLED
    values = [restorable_since()] if deleted else []
    if name is not None:
        condition += " AND person.mark = ?"
        values.append(connection.seal.mark(name))
    return _summaries(connection, condition, values, groups_of(connection))


def summary_of(connection: SealedConnection, person: int) -> PersonSummary:
    """One person, of whom a row is there."""
    [found] = _summaries(connection, "person.id = ?", [person], groups_of(connection, person))
    return found


def _summaries(
    connection: SealedConnection,
    condition: str,
    values: Sequence[str | int],
    groups: Mapping[int, tuple[str, ...]],
) -> tuple[PersonSummary, ...]:
    seal = connection.seal
    rows = connection.execute(
        "SELECT person.id, name, count(template.id), enrolled_at, deleted_at, consent,"
        " consented_at, expires_on FROM person"
        " LEFT JOIN template ON template.person_id = person.id"
        f" WHERE {condition} GROUP BY person.id",
        values,
    )
    found = [
        PersonSummary(
            name=seal.open_text(name, name_place(person)),
            photographs=photographs,
            enrolled_at=enrolled_at,
            consent=consent and seal.open_text(consent, consent_place(person)),
            consented_at=consented_at,
            expires_on=expires_on,
            person_id=person,
            groups=groups.get(person, ()),
            deleted_at=deleted_at,
        )
        for (
            person,
            name,
            photographs,
            enrolled_at,
            deleted_at,
            consent,
            consented_at,
            expires_on,
        ) in rows
    ]
    return tuple(sorted(found, key=lambda person: (person.name, person.deleted_at or "")))


def photographs_of(connection: SealedConnection, person: int) -> list[tuple[int, str]]:
    """The number of each of a person's photographs, ascending, and its SHA-256."""
    rows = connection.execute(
        "SELECT id, photograph_sha256 FROM template WHERE person_id = ? ORDER BY id", (person,)
    )
    return [
        (number, connection.seal.open_text(digest, photograph_place("template", number)))
        for number, digest in rows
    ]


def list_photographs(
    connection: SealedConnection, person: int, embeddings: Embeddings
) -> tuple[PhotographSummary, ...]:
    """What somebody is enrolled by, in the order of the numbers.

    Args:
        connection: The gallery.
        person: Whose.
        embeddings: The person's templates (N, D), in that order.
    """
    qualities = {
        number: Quality(**dict(zip(QUALITY_COLUMNS, values, strict=True)))
        for number, *values in connection.execute(
            f"SELECT template_id, {', '.join(QUALITY_COLUMNS)} FROM quality"
            " JOIN template ON template.id = template_id WHERE person_id = ?",
            (person,),
        )
    }
    own = photographs_of(connection, person)
    return tuple(
        PhotographSummary(
            number=number,
            photograph_sha256=digest,
            cosine_similarity=similarity,
            quality=qualities.get(number),
        )
        for (number, digest), similarity in zip(own, closest_other(embeddings), strict=True)
    )
