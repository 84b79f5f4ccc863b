"""Folders of galleries, whole and broken. Whoever is enrolled in them is made up."""

import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.files import private_folder
from recognition.gallery.gallery import DATABASE, Gallery
from recognition.gallery.storage.schema import TRIGGERS, VERSION
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.models import DEFAULT_MODEL, Choice, Engine

from .item import SEED, Item

PEOPLE = ("Ann", "Bob", "Eve")
NEWER = ("Ann", "Bob", "Eve", "Ida", "Joe")
_WHEN = "2026-01-02T03:04:05+00:00"

Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(Item):
    """A gallery in the folder `gallery`; to accept it is to find its people as ever.

    Attributes:
        people: Who is enrolled in it.
    """

    people: tuple[str, ...] = PEOPLE


@cache
def model() -> EmbeddingModel:
    """The bundled network, which is at hand wherever this runs."""
    with tempfile.TemporaryDirectory() as home:
        choice = Choice(home=Path(home), model=DEFAULT_MODEL, device="cpu")
        chosen = Engine(choice, lambda: None).model
    return replace(chosen, weights_path=None)


def embedding_of(name: str, dimension: int) -> npt.NDArray[np.float32]:
    """The embedding (D,) of somebody's first photograph, which follows from the name."""
    vector = np.random.default_rng(list(name.encode())).normal(size=dimension)
    unit: npt.NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def make(folder: Path, of: EmbeddingModel, people: tuple[str, ...] = PEOPLE) -> None:
    """Make a gallery with its index, the same bytes every time."""
    for name, content in _files(of, people).items():
        path = private_folder((folder / name).parent) / Path(name).name
        path.write_bytes(content)
        path.chmod(0o600)


@cache
def _files(of: EmbeddingModel, people: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a gallery, by their paths in its folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "gallery"
        _enrol(folder, of, people)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _enrol(folder: Path, of: EmbeddingModel, people: tuple[str, ...]) -> None:
    """Make a gallery by enrolling people."""
    with Gallery.open(folder, model=of, create=True) as gallery:
        for name in people:
            vector = embedding_of(name, of.dimension)
            gallery.enrol(name, [Template(vector, f"{len(name) + ord(name[0]):064x}")])
    _settle(folder / DATABASE, "".join(people))
    shutil.rmtree(folder / "index", ignore_errors=True)
    with Gallery.open(folder) as gallery:
        gallery.search(embedding_of(people[0], of.dimension)[None], 1)


def _settle(path: Path, mark: str) -> None:
    """Replace what is drawn and what the clock says, so that the same gallery is the same file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("audit_stays", "audit_is_kept"):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            "UPDATE gallery SET gallery_id = ?, mark = ?, origin_id = ?", (mark,) * 3
        )
        connection.execute("DELETE FROM audit")
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if column.endswith("_at"):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {column} IS NOT NULL", (_WHEN,)
                    )
        # The clock was last seen as this day began: whoever opens it today has nothing to note
        # of the clock, and nothing to remove by it.
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        connection.execute(
            "INSERT INTO audit (done_at, action, user_id) VALUES (?, 'clock', 0)",
            (today.isoformat(timespec="microseconds"),),
        )
        for trigger in TRIGGERS:
            connection.execute(trigger)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def log_of(database: bytes, pages: list[int], size: int = 4096) -> bytes:
    """A write-ahead log of SQLite that ends with these pages (from 1) of a database committed."""
    header = struct.pack(">8I", 0x377F0682, 3007000, size, 0, 1, 2, 0, 0)[:24]
    sums = _sums(header, (0, 0))
    content = header + struct.pack(">2I", *sums)
    for number, page in enumerate(pages, 1):
        data = database[(page - 1) * size : page * size]
        about = struct.pack(">2I", page, len(database) // size if number == len(pages) else 0)
        sums = _sums(about + data, sums)
        content += about + struct.pack(">4I", 1, 2, *sums) + data
    return content


def _sums(content: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """SQLite's running checksum, over little-endian numbers."""
    a, b = sums
    numbers = struct.unpack(f"<{len(content) // 4}I", content)
    for x, y in zip(numbers[::2], numbers[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


def _each_index(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted((folder / "index").rglob("*")) if path.is_file())


def _cut_index(folder: Path) -> None:
    for path in _each_index(folder):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _foreign_index(folder: Path) -> None:
    make(folder.parent / "other", model(), ("Xenia", "Yves", "Zoe"))
    shutil.rmtree(folder / "index")
    shutil.move(folder.parent / "other" / "index", folder / "index")
    shutil.rmtree(folder.parent / "other")


def _stale_log(everything: bool) -> Change:
    """Beside the gallery the log of a later state, of which all or only what differs is in it."""

    def change(folder: Path) -> None:
        make(folder.parent / "later", model(), NEWER)
        later = (folder.parent / "later" / DATABASE).read_bytes()
        shutil.rmtree(folder.parent / "later")
        now, size = (folder / DATABASE).read_bytes(), 4096
        pages = range(1, len(later) // size + 1)
        chosen = [
            page
            for page in pages
            if everything
            or later[(page - 1) * size : page * size] != now[(page - 1) * size : page * size]
        ]
        if not everything:
            chosen = chosen[len(chosen) // 2 :]  # the rest had been folded into the file
        (folder / f"{DATABASE}-wal").write_bytes(log_of(later, chosen))

    return change


def _statements(*statements: str) -> Change:
    def change(folder: Path) -> None:
        with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        shutil.rmtree(folder / "index")  # which would be taken for what is no longer there

    return change


def _embedding(kind: str) -> Change:
    """Another embedding of the second person's photograph."""

    def change(folder: Path) -> None:
        vector = embedding_of("Bob", model().dimension)
        if kind == "NaN":
            vector[3] = np.nan
        else:
            vector = vector.astype(np.float64)
        with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
            connection.execute(
                "UPDATE template SET embedding = ? WHERE id = 2", (vector.tobytes(),)
            )
        shutil.rmtree(folder / "index")

    return change


_TWICE = (
    "PRAGMA legacy_alter_table = ON",
    "ALTER TABLE template RENAME TO old_template",
    "CREATE TABLE template AS SELECT * FROM old_template",
    "UPDATE template SET id = 1",
    "DROP TABLE old_template",
)

CHANGES: dict[str, tuple[bool, str, Change]] = {
    "whole": (True, "nothing", lambda folder: None),
    "index cut": (True, "half of its index", _cut_index),
    "index missing": (True, "no index", lambda folder: shutil.rmtree(folder / "index")),
    "index foreign": (True, "the index of another gallery", _foreign_index),
    "log of a whole later state": (True, "a log that holds all of it", _stale_log(True)),
    "log of half a later state": (False, "a log that fits another file", _stale_log(False)),
    "database missing": (False, "no database", lambda folder: (folder / DATABASE).unlink()),
    "database empty": (False, "0 bytes", lambda folder: (folder / DATABASE).write_bytes(b"")),
    "database cut": (
        False,
        "half of its database",
        lambda folder: (folder / DATABASE).write_bytes((folder / DATABASE).read_bytes()[:20_000]),
    ),
    "no database": (
        False, "text", lambda folder: (folder / DATABASE).write_text("no database\n" * 999)
    ),
    "another program's": (False, "no mark of Likeness", _statements("PRAGMA application_id = 1")),
    "too new": (False, "a later schema", _statements(f"PRAGMA user_version = {VERSION + 1}")),
    "NaN": (False, "an embedding with NaN", _embedding("NaN")),
    "float64": (False, "an embedding in float64", _embedding("float64")),
    "id twice": (False, "two templates of one id", _statements(*_TWICE)),
    "table missing": (False, "no templates", _statements("DROP TABLE template")),
}  # fmt: skip


def galleries(seed: int = SEED) -> Iterator[Broken]:
    """Yield every item of this section."""
    for name, (accept, why, change) in CHANGES.items():
        people = NEWER if name == "log of a whole later state" else PEOPLE
        yield _item(name, accept, f"a gallery with {why}", model, change, people)
    for name, other in {
        "other dimension": lambda: EmbeddingModel("net", "ab" * 32, 64),
        "other model": lambda: EmbeddingModel("net", "ab" * 32, model().dimension),
    }.items():
        yield _item(name, False, "a gallery of another network", other, lambda folder: None)


def _item(
    name: str,
    accept: bool,
    why: str,
    of: Callable[[], EmbeddingModel],
    change: Change,
    people: tuple[str, ...] = PEOPLE,
) -> Broken:
    def write(folder: Path) -> None:
        make(folder / "gallery", of())
        change(folder / "gallery")

    return Broken(
        section="galleries", name=name, accept=accept, why=why, write=write, people=people
    )
