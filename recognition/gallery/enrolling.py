"""Photographs are enrolled under a name, within one transaction."""

from collections.abc import Sequence

from ..inventory import Consent
from .agreements import agreement_of
from .audit import Action
from .groups import join
from .journal import Journal
from .listing import QUALITY_COLUMNS, photographs_of
from .people import person_id
from .rows import Row, add_face, add_person, faces_in, note_consent, now
from .sealing import SealedConnection, crop_place, name_place
from .snapshot import Snapshot
from .templates import EmbeddingModel, Template, is_same_face, unit_vectors

CONSENT_ENDED = ""
"""Stands where a name would, of a photograph that is left out because no consent covers it."""


def enrol(
    connection: SealedConnection,
    name: str,
    templates: Sequence[Template],
    consent: Consent | None,
    groups: Sequence[str],
) -> dict[int, str]:
    """Enrol photographs; see `Store.enrol`."""
    model = Snapshot(connection).model
    for template in templates:
        unit_vectors(template.embedding[None], model.dimension)
    left_out: dict[int, str] = {}
    person, entry = 0, None
    known = person_id(connection, name)
    renewed = consent is not None and (consent.until is not None or consent.for_ever)
    if known is not None and not renewed and agreement_of(connection, known).has_ended:
        return dict.fromkeys(range(len(templates)), CONSENT_ENDED)
    for position, template in enumerate(templates):
        owner = enrolled_as(connection, name, template, model)
        if owner is not None:
            left_out[position] = owner
            continue
        if entry is None:
            person, entry = _begin(connection, name, consent, groups)
        entry.adds(Row.TEMPLATE, insert_template(connection, person, template, model))
    return left_out


def photographs_known(connection: SealedConnection, name: str) -> frozenset[str]:
    """The SHA-256 of the photographs that are enrolled under a name; none of nobody's."""
    person = person_id(connection, name)
    if person is None:
        return frozenset()
    return frozenset(digest for _, digest in photographs_of(connection, person))


def enrolled_as(
    connection: SealedConnection, name: str, template: Template, model: EmbeddingModel
) -> str | None:
    """Whose a template's photograph is already: this person's, or another's with the same face."""
    for person, embedding in faces_in(connection, Row.TEMPLATE, template.photograph_sha256, model):
        closed, deleted_at = connection.execute(
            "SELECT name, deleted_at FROM person WHERE id = ?", (person,)
        ).fetchone()
        owner = connection.seal.open_text(closed, name_place(person))
        if deleted_at is None and (owner == name or is_same_face(embedding, template)):
            return owner
    return None


def _begin(
    connection: SealedConnection, name: str, consent: Consent | None, groups: Sequence[str]
) -> tuple[int, Journal]:
    """Make sure that there is somebody to enrol photographs of; their id."""
    what = f"photographs of '{name}' enrolled"
    person = person_id(connection, name)
    if person is None:
        person = add_person(connection, name, now())
        entry = Journal(connection, Action.ENROL, what, person)
        entry.adds(Row.PERSON, person)
    else:
        entry = Journal(connection, Action.ENROL, what, person)
        if consent is not None:
            entry.changes(Row.PERSON, [person])
    if consent is not None:
        note_consent(connection, person, consent)
    for group in groups:
        row = join(connection, person, group)
        if row is not None:
            entry.adds(Row.MEMBERSHIP, row)
    return person, entry


def insert_template(
    connection: SealedConnection, person: int, template: Template, model: EmbeddingModel
) -> int:
    """Add a template, with what belongs to it, to a person's; its id."""
    identifier = add_face(connection, Row.TEMPLATE, person, template, model)
    if template.crop is not None:
        closed = connection.seal.close(template.crop, crop_place(identifier))
        connection.execute("INSERT INTO crop VALUES (?, ?)", (identifier, closed))
    if template.quality is not None:
        columns = ", ".join(QUALITY_COLUMNS)
        places = ", ".join("?" * len(QUALITY_COLUMNS))
        values = [getattr(template.quality, name) for name in QUALITY_COLUMNS]
        connection.execute(
            f"INSERT INTO quality (template_id, {columns}) VALUES (?, {places})",
            (identifier, *values),
        )
    return identifier
