"""What is wrong with a gallery's database, and what there is to know of it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from data.errors import AppError

from ..results import Use
from .names import kept_name
from .sealing import OPEN, embedding_place, group_place, name_place
from .snapshot import Snapshot
from .sound import is_sound
from .templates import from_blob

_MOST_TOLD = 20


def faults_of(snapshot: Snapshot) -> list[str]:
    """What is wrong, a line each; all pages and all templates are looked at."""
    found = []
    for fault in _faults(snapshot):
        found.append(fault)
        if len(found) == _MOST_TOLD:
            return [*found, "and perhaps more"]
    return found


def _faults(snapshot: Snapshot) -> Iterator[str]:
    connection = snapshot.connection
    try:
        for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_TOLD})"):
            if line != "ok":
                where = [part for part in line.splitlines() if not part.startswith("***")]
                yield f"the file is damaged: {'; '.join(where)}"
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to no {parent}"
        yield from _bad_rows(snapshot)
    except sqlite3.DatabaseError as error:
        yield f"the file is damaged: {error}"


def _bad_rows(snapshot: Snapshot) -> Iterator[str]:
    connection, seal, model = snapshot.connection, snapshot.seal, snapshot.model
    names: dict[int, str] = {}
    for row, closed in connection.execute("SELECT id, name FROM person ORDER BY id"):
        try:
            names[row] = seal.open_text(closed, name_place(row))
            if kept_name(names[row]) != names[row]:
                yield f"the name '{names[row]}' is not kept in its one form"
        except AppError as error:
            yield str(error)
    for row, person, closed in connection.execute("SELECT id, person_id, name FROM membership"):
        try:
            group = seal.open_text(closed, group_place(row, person))
            if kept_name(group) != group:
                yield f"the name of the group '{group}' is not kept in its one form"
        except AppError as error:
            yield str(error)
    for use in Use:
        calibration = snapshot.calibration(use)
        if calibration is not None and not is_sound(calibration):
            yield f"the threshold for {use} cannot be one: `likeness calibrate` again"
    for table in ("template", "exclusion"):
        rows = connection.execute(f"SELECT id, person_id, embedding FROM {table} ORDER BY id")
        seen: set[int] = set()
        for number, person, closed in rows:
            if number in seen:
                yield f"there are two of {table} {number}"
            seen.add(number)
            try:
                place = embedding_place(table, number, person, model.weights_digest)
                from_blob(seal.open(closed, place), model.dimension)
            except AppError as error:
                yield f"{table} {number} of '{names.get(person, person)}' is damaged: {error}"


def facts_of(snapshot: Snapshot, folder: Path) -> dict[str, str | int]:
    """What there is to know of a gallery in a folder."""
    connection = snapshot.connection
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (created_at,) = connection.execute("SELECT created_at FROM gallery").fetchone()
    (crops,) = connection.execute("SELECT count(*) FROM crop").fetchone()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "kind": "SQLite and FAISS",
        "encrypted": "no" if snapshot.seal is OPEN else "yes",
        "created at": str(created_at),
        "schema": int(version),
        "crops": int(crops),
        "bytes": sum(path.stat().st_size for path in files),
    }
