"""What templates that Milvus returns mean: whose they are, and who is meant by a search."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np

from data.errors import AppError

from ..inventory import today
from ..results import PersonSummary
from .groups import group_names, nobody_in
from .matching import Matching
from .names import kept_name
from .remote import Collections
from .snapshot import Roll
from .stored import StoredRow, StoredTemplate, columns_of, label_of
from .templates import SAME_FACE, Embeddings, unit_vectors
from .view import combined

_MOST_TOLD = 20


def named(row: StoredRow) -> tuple[str, str]:
    """A person's name, and since when they are enrolled."""
    columns = json.loads(row.body)
    return str(columns["name"]), str(columns["enrolled_at"])


def groups_by_person(memberships: Iterable[StoredRow]) -> dict[int, set[str]]:
    """A person's id → the groups that they are in."""
    found: dict[int, set[str]] = {}
    for row in memberships:
        found.setdefault(row.owner, set()).add(str(json.loads(row.body)["name"]))
    return found


def summaries(
    people: Iterable[StoredRow],
    photographs: Mapping[int, int],
    groups: Mapping[int, set[str]],
) -> tuple[PersonSummary, ...]:
    """A line for each person, by name.

    Two machines that enrol one name at once make two people of it; they are told as one.

    Args:
        people: Who.
        photographs: A person's id → how many there are.
        groups: A person's id → the groups that they are in.
    """
    merged: dict[tuple[str, str], PersonSummary] = {}
    for row in people:
        name, since = named(row)
        count, key = photographs.get(row.number, 0), (name, row.deleted)
        joined = groups.get(row.number, set())
        if key in merged:
            count += merged[key].photographs
            since = min(since, merged[key].enrolled_at)
            joined = joined | set(merged[key].groups)
        about = json.loads(row.body)
        merged[key] = PersonSummary(
            name=name,
            photographs=count,
            enrolled_at=since,
            consent=about["consent"],
            consented_at=about["consented_at"],
            expires_on=about["expires_on"],
            person_id=merged[key].person_id if key in merged else row.number,
            deleted_at=row.deleted or None,
            groups=tuple(sorted(joined)),
        )
    return tuple(merged[key] for key in sorted(merged))


def members_in(collections: Collections, groups: Sequence[str]) -> frozenset[int]:
    """The ids of those who are enrolled and in one of some groups; see `AnyGallery.members`."""
    found: set[int] = set()
    for group in group_names(groups):
        joined = collections.rows_in(["membership"], "label", [label_of(group)])
        people = collections.rows_in(["person"], "number", {row.owner for row in joined})
        labels = {row.label for row in people if _is_enrolled(row)}
        if not labels:
            raise nobody_in(group)
        # By name, so that those whom two machines enrolled at once are in it as one.
        namesakes = collections.rows_in(["person"], "label", sorted(labels))
        found.update(row.number for row in namesakes if _is_enrolled(row))
    return frozenset(found)


def told_apart_in(collections: Collections) -> frozenset[tuple[str, str]]:
    """The names of any two who are known to be two people; see `AnyGallery.told_apart`."""
    pairs = {
        (row.owner, owner)
        for row, owner in _enrolled_exclusions(collections, collections.rows('kind == "exclusion"'))
    }
    people = collections.rows_in(["person"], "number", {one for pair in pairs for one in pair})
    names = {row.number: named(row)[0] for row in people if _is_enrolled(row)}
    found = {(names[a], names[b]) for a, b in pairs if a in names and b in names}
    return frozenset((min(pair), max(pair)) for pair in found if pair[0] != pair[1])


def _enrolled_exclusions(
    collections: Collections, exclusions: Iterable[StoredRow]
) -> Iterator[tuple[StoredRow, int]]:
    """Exclusions whose face is enrolled, and as whose it is; see `apart`."""
    faces = [(row, columns_of(row)) for row in exclusions]
    digests = sorted({columns["photograph_sha256"] for _, columns in faces})
    enrolled: dict[str, list[StoredTemplate]] = {}
    for template in collections.templates_in("photograph", digests):
        enrolled.setdefault(template.photograph, []).append(template)
    for row, columns in faces:
        face = np.frombuffer(columns["embedding"], "<f4")
        for template in enrolled.get(columns["photograph_sha256"], ()):
            if float(face @ template.embedding) >= SAME_FACE:
                yield row, template.person


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
) -> dict[tuple[str, int], float]:
    """Name and id → cosine similarity by a rule, of those found who are enrolled.

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
    exclusions = collections.rows_in(["exclusion"], "owner", people)
    taken_back = {
        row.key
        for row, owner in _enrolled_exclusions(collections, exclusions)
        if people.get(owner) == people[row.owner]
    }
    for row in exclusions:
        if row.key in taken_back:
            continue
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
    ids = {people[person]: person for person in sorted(people, reverse=True)}  # see `summaries`
    found: dict[tuple[str, int], float] = {}
    for person, value in values.items():
        key = people[person], ids[people[person]]
        found[key] = max(found.get(key, -2.0), value)
    return found


def faults_in(collections: Collections, dimension: int) -> list[str]:
    """What is wrong with a gallery in Milvus, a line each; all of it is looked at."""
    found: list[str] = []
    names: dict[int, str] = {}
    for row in collections.rows('kind == "person"'):
        names[row.number] = named(row)[0]
        try:
            if kept_name(names[row.number]) != names[row.number]:
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
