"""A change made in memory first, and then put to the server."""

import base64
import json
import secrets
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data import clock
from data.errors import GalleryError

from ..names import person_name
from ..storage.database import Database, connect
from ..storage.encryption import Lock
from ..storage.integrity import Integrity
from ..storage.people import Row, Who
from ..storage.schema import TABLES
from ..storage.store import Store
from ..templates import EmbeddingModel
from .connection import Collections, StoredRow, StoredTemplate, columns_of, label_of

# A change in Milvus: made in SQLite's memory by the gallery's own rules, then put back.
#
# The people whom a change is about are read into the tables of `schema`, where `Store` and
# `Editor` do with them what they do in a file. So every rule is written down once. Milvus knows
# no transactions: templates are written first, so that nobody is named by half of what is theirs,
# and what goes is removed last. Of two changes of one person at once, on two machines, the later
# one stays.

_KEYS = {
    "gallery": ("only_row", ""),
    "person": ("id", ""),
    "crop": ("template_id", "template_id"),
    "quality": ("template_id", "template_id"),
    "exclusion": ("id", "person_id"),
    "membership": ("id", "person_id"),
    "operation": ("id", ""),
    "reversal": ("id", "operation_id"),
    "calibration": ("use", ""),
    "audit": ("id", ""),
}
"""A table → its key's column, and that of what its rows go with."""

_COUNTED = ("person", "template", "exclusion", "membership", "operation", "audit")
_EPOCH = 1_735_689_600_000  # 2025, in milliseconds


class WorkingCopy(Database):
    """Some of a gallery's people in SQLite's memory.

    Args:
        collections: The gallery.
    """

    def __init__(self, collections: Collections) -> None:
        self._path = Path(str(collections.address))
        self.lock = Lock(lambda _: None)  # nothing is encrypted here
        self._link = connect(":memory:")
        self._integrity = Integrity(self._link)
        self._link.executescript(TABLES)
        self._link.execute("PRAGMA foreign_keys=ON")
        first = _next_id()
        self._link.executemany(
            "INSERT INTO sqlite_sequence VALUES (?, ?)", [(name, first) for name in _COUNTED]
        )
        self._collections = collections
        self._held: dict[str, StoredRow] = {}
        self._held_templates: dict[int, tuple[int, str]] = {}
        self._namesakes: dict[int, int] = {}
        self._other_bits = False
        self.store = Store.over(self)
        self._take(collections.rows_in(["gallery", "operation", "calibration"], "owner", [0]))

    # Reading

    def load_named(self, names: Iterable[str], *, crops: bool = False) -> None:
        """Read all who have one of some names, deleted or not.

        Raises:
            ArgumentError: A name cannot be one.
        """
        labels = sorted({label_of(person_name(name)) for name in names})
        self._load_people(self._collections.rows_in(["person"], "label", labels), crops)

    def load(self, whom: Iterable[Who], *, crops: bool = False) -> None:
        """Read people who are meant by an id, and all who have one of some names."""
        everybody = list(whom)
        self.load_ids([who for who in everybody if isinstance(who, int)], crops=crops)
        self.load_named([who for who in everybody if isinstance(who, str)], crops=crops)

    def _names_of(self, people: Iterable[int]) -> list[str]:
        """What some of those who were read are called."""
        wanted = set(people)
        rows = self._link.execute("SELECT id, name FROM person")
        return [name for person, name in rows if person in wanted]

    def load_namesakes(self, who: Who) -> None:
        """Read somebody, and whoever else has their name."""
        self.load([who])
        if isinstance(who, int):
            self.load_named(self._names_of([who]))

    def load_people(self, people: Sequence[StoredRow], *, crops: bool = False) -> None:
        """Read all that is theirs."""
        self._load_people(people, crops)

    def load_ids(self, ids: Iterable[int], *, crops: bool = False) -> None:
        """Read people by their ids."""
        wanted = set(ids)
        if wanted:
            self._load_people(self._collections.rows_in(["person"], "number", wanted), crops)

    def load_photographs(self, digests: Iterable[str]) -> None:
        """Read all who are enrolled by one of some photographs."""
        found = self._collections.templates_in("photograph", sorted(set(digests)))
        self.load_ids({template.person for template in found})

    def load_audit(self) -> None:
        """Read the whole audit log."""
        self._take(self._collections.rows('kind == "audit"'))

    def load_exclusions_of_faces(self) -> None:
        """Read all of whom it is known that a face of those read is not theirs."""
        digests = sorted({photograph for _, photograph in self._held_templates.values()})
        rows = self._collections.rows_in(["exclusion"], "label", digests)
        self.load_ids(row.owner for row in rows)

    def load_latest_operation(self) -> None:
        """Read what the latest operation has changed, so that it can be undone."""
        (latest,) = self._link.execute("SELECT max(id) FROM operation").fetchone()
        if latest is None:
            return
        reversals = self._collections.rows_in(["reversal"], "owner", [latest])
        self._take(reversals)
        named: dict[str, set[int]] = {kind: set() for kind in Row}
        for row in reversals:
            columns = json.loads(row.body)
            named[columns["kind"]].add(columns["row"])
            before = json.loads(columns["before"] or "{}")
            named["person"].update({before["person_id"]} if "person_id" in before else ())
        templates = self._collections.templates_in("id", sorted(named["template"]))
        exclusions = self._collections.rows_in(["exclusion"], "number", sorted(named["exclusion"]))
        named["person"].update(template.person for template in templates)
        named["person"].update(row.owner for row in exclusions)
        joined = self._collections.rows_in(["membership"], "number", sorted(named["membership"]))
        named["person"].update(row.owner for row in joined)
        self.load_ids(named["person"])

    def _load_people(self, people: Sequence[StoredRow], crops: bool) -> None:
        new = [row for row in people if row.key not in self._held]
        ids = [row.number for row in new]
        self._take(new)
        for template in self._collections.templates_in("person", ids):
            self._take_template(template)
        kinds = ("quality", "crop") if crops else ("quality",)
        self._take(self._collections.rows_in(kinds, "owner", sorted(self._held_templates)))
        self._take(self._collections.rows_in(["exclusion", "membership"], "owner", ids))

    def _take(self, rows: Iterable[StoredRow]) -> None:
        for row in rows:
            if row.key in self._held:
                continue
            self._held[row.key] = row
            columns = columns_of(row)
            if row.kind == "person" and not row.deleted and self._is_namesake(row, columns):
                continue
            if row.kind in ("crop", "quality") and not self._has_template(row.owner):
                continue
            if row.kind in ("exclusion", "membership"):
                columns["person_id"] = self._namesakes.get(row.owner, row.owner)
            names, places = ", ".join(columns), ", ".join("?" * len(columns))
            verb = "REPLACE" if row.kind == "gallery" else "INSERT OR IGNORE"
            self._link.execute(
                f"{verb} INTO {row.kind} ({names}) VALUES ({places})", [*columns.values()]
            )

    def _is_namesake(self, row: StoredRow, columns: dict[str, Any]) -> bool:
        """Two machines that enrol one name at once make two people of it; here they become one."""
        first = self._link.execute(
            "SELECT id FROM person WHERE mark = ? AND deleted_at IS NULL", (columns["mark"],)
        ).fetchone()
        if first is not None:
            self._namesakes[row.number] = first[0]
        return first is not None

    def _has_template(self, number: int) -> bool:
        found = self._link.execute("SELECT 1 FROM template WHERE id = ?", (number,))
        return found.fetchone() is not None

    def _take_template(self, template: StoredTemplate) -> None:
        if template.id in self._held_templates:
            return
        self._held_templates[template.id] = (template.person, template.photograph)
        self._other_bits |= not template.is_exact
        self._link.execute(
            "INSERT OR IGNORE INTO template"
            " (id, person_id, photograph_mark, photograph_sha256, embedding)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                template.id,
                self._namesakes.get(template.person, template.person),
                template.photograph,
                template.photograph,
                template.embedding.astype("<f4").tobytes(),
            ),
        )

    def refuse_other_bits(self) -> None:
        """Make sure that Milvus has returned every template as it was put in.

        Raises:
            GalleryError: It has not.
        """
        if self._other_bits:
            raise GalleryError(
                f"the gallery {self._path} returns other bits of a template than were put in: its "
                "index keeps only nearly what it is given; make the gallery anew with metric=IP "
                "and an index that keeps vectors as they are, or restore it from a backup"
            )

    # Writing

    def put_back(self) -> None:
        """Write what is different from what was read.

        Raises:
            GalleryError: Milvus refuses, or does not answer. A part may have been written.
        """
        rows = {row.key: row for kind in _KEYS for row in self._rows(kind)}
        changed = [row for key, row in rows.items() if self._held.get(key) != row]
        first = [row for row in changed if row.kind in ("crop", "quality")]
        templates = self._link.execute(
            "SELECT id, person_id, photograph_sha256, embedding FROM template ORDER BY id"
        ).fetchall()
        left = {number for number, *_ in templates}
        self._collections.put_rows(first)
        self._collections.put_templates(
            [template for template in templates if template[0] not in self._held_templates]
        )
        self._collections.hand_over(
            [
                (number, person)
                for number, person, *_ in templates
                if self._held_templates.get(number, (person, ""))[0] != person
            ]
        )
        self._collections.put_rows([row for row in changed if row not in first])
        gone = [row for key, row in self._held.items() if key not in rows]
        self._collections.remove_rows(row.key for row in gone)
        operations = [row.number for row in gone if row.kind == "operation"]
        self._collections.remove_owned(["reversal"], operations)
        templates_gone = sorted(set(self._held_templates) - left)
        self._collections.remove_templates(templates_gone)
        self._collections.remove_owned(["crop", "quality"], templates_gone)

    def _rows(self, kind: str) -> list[StoredRow]:
        with closing(self._link.execute(f"SELECT * FROM {kind}")) as cursor:
            names = [column[0] for column in cursor.description]
            return [
                _stored(kind, dict(zip(names, values, strict=True))) for values in cursor.fetchall()
            ]


def new_gallery(model: EmbeddingModel) -> StoredRow:
    """The row that says what a new gallery is."""
    gallery_id = str(uuid.uuid4())
    about = {
        "only_row": 1,
        "gallery_id": gallery_id,
        "origin_id": gallery_id,
        "created_at": clock.now().isoformat(timespec="seconds"),
        **asdict(model),
    }
    return _stored("gallery", about)


def _label(kind: str, columns: dict[str, Any]) -> str:
    """What a row is found by."""
    if kind in ("person", "membership"):
        return label_of(columns["name"])
    return str(columns["photograph_sha256"]) if kind == "exclusion" else ""


def _stored(kind: str, columns: dict[str, Any]) -> StoredRow:
    key, owner = _KEYS[kind]
    own = columns[key]
    place = f"{columns[owner]}/{own}" if kind == "reversal" else own
    body = {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in columns.items()
    }
    return StoredRow(
        key=f"{kind}/{place}",
        kind=kind,
        number=own if isinstance(own, int) else 0,
        owner=columns[owner] if owner else 0,
        label=_label(kind, columns),
        deleted=(columns["deleted_at"] or "") if kind == "person" else "",
        expires=(columns["expires_on"] or "") if kind == "person" else "",
        body=json.dumps(body),
    )


def first_id_of(moment: float) -> int:
    """The least id that a change draws at a moment, in seconds since 1970."""
    return (int(1000 * moment) - _EPOCH) << 22


def _next_id() -> int:
    """Where the ids of a change begin: later ones are larger, and two machines draw two."""
    return first_id_of(time.time()) | secrets.randbits(22)
