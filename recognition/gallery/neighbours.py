"""What templates that Milvus returns mean: whose they are, and who is meant by a search."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np

from data.errors import AppError

from ..inventory import today
from ..results import PersonSummary
from .matching import Matching
from .names import person_name
from .remote import Collections
from .snapshot import Roll
from .stored import StoredRow, StoredTemplate, columns_of
from .templates import Embeddings, unit_vectors
from .view import combined

_MOST_TOLD = 20


def named(row: StoredRow) -> tuple[str, str]:
    """A person's name, and since when they are enrolled."""
    columns = json.loads(row.body)
    return str(columns["name"]), str(columns["enrolled_at"])


def summaries(
    people: Iterable[StoredRow], photographs: Mapping[int, int]
) -> tuple[PersonSummary, ...]:
    """A line for each person, by name.

    Two machines that enrol one name at once make two people of it; they are told as one.

    Args:
        people: Who.
        photographs: A person's id → how many there are.
    """
    merged: dict[tuple[str, str], PersonSummary] = {}
    for row in people:
        name, since = named(row)
        count, key = photographs.get(row.number, 0), (name, row.deleted)
        if key in merged:
            count += merged[key].photographs
            since = min(since, merged[key].enrolled_at)
        about = json.loads(row.body)
        merged[key] = PersonSummary(
            name=name,
            photographs=count,
            enrolled_at=since,
            consent=about["consent"],
            consented_at=about["consented_at"],
            expires_on=about["expires_on"],
            person_id=row.number,
        )
    return tuple(merged[key] for key in sorted(merged))


def roll_of(
    people: Iterable[StoredRow], templates: Iterable[StoredTemplate], dimension: int
) -> tuple[Roll, Embeddings]:
    """Which template is whose, of those who are enrolled, and the templates (N, D).

    Raises:
        GalleryError: A template is damaged.
    """
    names = {row.number: named(row)[0] for row in people}
    firsts = {name: number for number, name in sorted(names.items(), reverse=True)}
    own = sorted(
        (template for template in templates if template.person in names),
        key=lambda template: template.id,
    )
    rows = [template.embedding for template in own]
    table = np.stack(rows) if rows else np.empty((0, dimension), np.float32)
    roll = Roll(
        ids=np.array([template.id for template in own], np.int64),
        people=np.array([firsts[names[template.person]] for template in own], np.int64),
        names={number: name for name, number in firsts.items()},
    )
    return roll, unit_vectors(table, dimension)


def _is_enrolled(row: StoredRow) -> bool:
    """Whether a person is neither deleted nor past their consent."""
    return not row.deleted and (not row.expires or row.expires >= today().isoformat())


def scored(
    collections: Collections, query: Embeddings, best: Mapping[int, float], matching: Matching
) -> dict[str, float]:
    """Name → cosine similarity by a rule, of those found who are enrolled.

    Left out is whoever is known not to have this face.

    Args:
        collections: The gallery.
        query: (D,) a unit vector.
        best: A person's id → cosine similarity of their closest template.
        matching: How a person's templates are compared.
    """
    rows = collections.rows_in(["person"], "number", best)
    people = {row.number: named(row)[0] for row in rows if _is_enrolled(row)}
    excluded: dict[int, float] = {}
    for row in collections.rows_in(["exclusion"], "owner", people):
        face = np.frombuffer(columns_of(row)["embedding"], "<f4")
        excluded[row.owner] = max(excluded.get(row.owner, -1.0), float(face @ query))
    values = {
        person: best[person] for person in people if excluded.get(person, -2.0) < best[person]
    }
    if matching is not Matching.BEST:
        similarities: dict[int, list[float]] = {person: [] for person in values}
        for template in collections.templates_in("person", values):
            similarities[template.person].append(float(template.embedding @ query))
        values = {
            person: combined(np.array(found), matching)
            for person, found in similarities.items()
            if found
        }
    found: dict[str, float] = {}
    for person, value in values.items():
        found[people[person]] = max(found.get(people[person], -2.0), value)
    return found


def faults_in(collections: Collections, dimension: int) -> list[str]:
    """What is wrong with a gallery in Milvus, a line each; all of it is looked at."""
    found: list[str] = []
    names: dict[int, str] = {}
    for row in collections.rows('kind == "person"'):
        names[row.number] = named(row)[0]
        try:
            if person_name(names[row.number]) != names[row.number]:
                found.append(f"the name '{names[row.number]}' is not kept in its one form")
        except AppError as error:
            found.append(str(error))
    for template in collections.templates():
        if len(found) > _MOST_TOLD:
            return [*found, "and perhaps more"]
        whose = names.get(template.person)
        if whose is None:
            found.append(
                f"template {template.id} is nobody's: a change was interrupted; it is never found"
            )
            continue
        what = "other bits than were put in"
        with suppress(AppError):
            unit_vectors(template.embedding[np.newaxis], dimension)
            what = "" if template.is_exact else what
        if what:
            found.append(f"template {template.id} of '{whose}' is damaged: {what}")
    return found


def facts_in(collections: Collections) -> dict[str, str | int]:
    """What there is to know of how a gallery in Milvus is kept."""
    address = collections.address
    return {
        "kind": collections.server,
        "index": collections.index,
        "metric": address.metric,
        "consistency": address.consistency,
        "crops": collections.count('kind == "crop" and part == 0', rows=True),
    }
