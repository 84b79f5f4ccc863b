"""What is erased stays erased, what was agreed holds, what is encrypted nobody else alters."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from erasure import pieces_of, traces
from files import fresh
from kills import killed
from people import MODEL, open_gallery, query_of, state_of, templates_of
from trial import Outcome

from data import clock
from data.errors import AppError, GalleryError
from data.temporary import PREFIX
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import encryption
from recognition.gallery.transfer.backup import back_up, restore
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from
from recognition.results import Consent

SECRET = "tidal quartz nomad lantern"


def opened(folder: Path, secret: str | None) -> Gallery:
    return Gallery.open(folder, model=MODEL, create=True, find_secret=lambda _: secret)


def restore_backups(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Back up, erase, merge, move and restore older backups, also over a damaged database."""
    outcome = Outcome()
    before, encryption.SCRYPT = encryption.SCRYPT, (2**4, 8, 1)
    try:
        for trial in range(trials):
            home, secret = fresh(folder / "home"), rng.choice((None, SECRET))
            names = [f"P{trial}.{number}" for number in range(5)]
            with opened(home, secret) as gallery:
                if secret:
                    gallery.encrypt(secret)
                for name in names:
                    gallery.enrol(name, templates_of(name))
            kept = folder / "kept.sqlite"
            back_up(home, kept, overwrite=True, find_secret=lambda _, s=secret: s)  # type: ignore[misc]
            gone, left = _erase_some(home, secret, names, rng)
            if rng.random() < 0.3:
                (home / "gallery.sqlite").write_bytes(rng.randbytes(5000))
                for end in ("-wal", "-shm"):
                    (home / f"gallery.sqlite{end}").unlink(missing_ok=True)
            for _ in range(rng.randint(1, 2)):
                restore(kept, home, lambda _, s=secret: s)  # type: ignore[misc]
            with opened(home, secret) as gallery:
                there = set(state_of(gallery))
            outcome.expect(there == left, f"trial {trial}: {there} instead of {left}")
            for path in home.glob("damaged-*"):
                shutil.rmtree(path)
            found = traces(home, [piece for name in gone for piece in pieces_of(name)])
            outcome.expect(not found, f"trial {trial}: something is left in {found}")
            outcome.trials += 1
    finally:
        encryption.SCRYPT = before
    return outcome


def _erase_some(
    home: Path, secret: str | None, names: list[str], rng: random.Random
) -> tuple[set[str], set[str]]:
    """Erase people, some of them under another's name; who is gone, and who is not."""
    gone: set[str] = set()
    with opened(home, secret) as gallery:
        for name in rng.sample(names, rng.randint(1, 3)):
            if name in gone:
                continue
            kind = rng.randrange(4)
            gone.add(name)
            if kind == 0:
                gallery.edit.delete(name)
                gallery.enrol(name, templates_of(f"another {name}"))  # a namesake, who stays
                [deleted] = [one for one in gallery.people(deleted=True) if one.name == name]
                gallery.erase(deleted.person_id)
            elif kind == 1 and (others := [one for one in names if one not in gone]):
                into = rng.choice(others)
                gallery.edit.merge(name, into)
                gallery.erase(into)
                gone.add(into)
            elif kind == 2:
                gallery.edit.rename(name, f"Renamed {name}")
                gallery.erase(f"Renamed {name}")
            else:
                gallery.erase(name)
    return gone, {name for name in names if name not in gone}


def alter_rows(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Alter, add, remove and swap values of an encrypted gallery by somebody without its key."""
    outcome, altered = Outcome(), 0
    before, encryption.SCRYPT = encryption.SCRYPT, (2**4, 8, 1)
    try:
        good, home = fresh(folder / "good"), folder / "home"
        with opened(good, SECRET) as gallery:
            gallery.encrypt(SECRET)
            for name in ("Ann", "Bob", "Cyd", "Dan"):
                until = clock.today() + timedelta(days=5)
                gallery.enrol(name, templates_of(name), Consent(note="x", until=until), ["staff"])
            gallery.erase("Dan")
            gallery.edit.exclude("Ann", templates_of("Bob")[0])
            gallery.edit.delete("Cyd")
        for trial in range(trials):
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(good, home)
            what = _alter(home / "gallery.sqlite", rng)
            if what is None:
                continue
            altered += 1
            try:
                with opened(home, SECRET) as gallery, gallery.records() as records:
                    gallery.search(query_of("Ann"), 1)
                    list(records)  # with their crops
                outcome.broken.append(f"trial {trial}: {what} is believed")
            except GalleryError as error:
                outcome.expect("\n" not in str(error), f"trial {trial}: more than one line")
            outcome.trials += 1
    finally:
        encryption.SCRYPT = before
    outcome.trials = max(outcome.trials, altered)
    return outcome


def _alter(path: Path, rng: random.Random) -> str | None:
    """One change by SQL; what it was, or None where nothing has changed."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'audit'"
                " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
            )
        ]
        table = rng.choice(tables)
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        if not rows:
            return None
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column, other = rng.choice(columns), rng.choice(rows)
        key = columns[0]
        what = rng.randrange(3)
        values: tuple[object, ...] = (other[columns.index(column)], rng.choice(rows)[0])
        if what == 0:
            statement, values = f"DELETE FROM {table} WHERE {key} = ?", values[1:]
        elif what == 1:
            statement = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
        else:
            strange = rng.choice((None, "2001-01-01", "9999-01-01", 0, 2**40, "x", b"x" * 64))
            statement, values = (
                f"UPDATE {table} SET {column} = ? WHERE {key} = ?",
                (
                    strange,
                    values[1],
                ),
            )
        try:
            with connection:
                connection.execute(statement, values)
        except sqlite3.Error:  # the tables' own rules are in the way
            return None
        same = connection.execute(f"SELECT * FROM {table}").fetchall() == rows
        return None if same else f"{statement} {values!r:.80}"


def set_clocks(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Use a gallery while its clock is wrong for less than a week, and right again after that."""
    outcome, read = Outcome(), clock._read
    try:
        for trial in range(trials):
            home, ahead = fresh(folder / "home"), timedelta()

            def now() -> datetime:
                return datetime.now(UTC) + ahead  # noqa: B023

            clock._read = now
            with open_gallery(home) as gallery:
                for name, days in (("Ann", 90), ("Bob", 3), ("Cyd", None)):
                    until = None if days is None else clock.today() + timedelta(days=days)
                    agreed = None if until is None else Consent(until=until)
                    gallery.enrol(name, templates_of(name, 10), agreed)
                gallery.enrol("Dan", templates_of("Dan", 10))
                gallery.edit.delete("Dan")
            right = ahead
            for _ in range(rng.randint(1, 3)):
                ahead = right + rng.choice((-1, 1)) * timedelta(days=rng.uniform(370, 30_000))
                for _ in range(rng.randint(1, 5)):
                    ahead += timedelta(days=rng.uniform(0, 1.3))
                    with suppress(GalleryError), open_gallery(home) as gallery:
                        gallery.people()
                        gallery.search(query_of("Cyd"), 1)
            ahead = right + timedelta(days=2)
            with open_gallery(home) as gallery:
                there = set(state_of(gallery))
                outcome.expect(there == {"Ann", "Bob", "Cyd"}, f"trial {trial}: only {there}")
                deleted = [one.name for one in gallery.people(deleted=True)]
                outcome.expect(deleted == ["Dan"], f"trial {trial}: {deleted} can be restored")
            for day in range(4, 14):  # and whose time is over goes, once the clock is believed
                ahead = right + timedelta(days=day)
                with open_gallery(home) as gallery:
                    there = set(state_of(gallery))
            outcome.expect(there == {"Ann", "Cyd"}, f"trial {trial}: {there} after the end")
            left = traces(home, [b"Bob"])
            outcome.expect(not left, f"trial {trial}: Bob is left in {left}")
            outcome.trials += 1
    finally:
        clock._read = read
    return outcome


def kill_copies(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill processes that write copies; the next opening leaves none that is not whole."""
    outcome = Outcome()
    source = fresh(folder / "source")
    with open_gallery(source) as gallery:
        for number in range(4):
            gallery.enrol(f"P{number}", templates_of(f"P{number}"))
        export(gallery, folder / "people.zip")
    for trial in range(trials):
        home, elsewhere = folder / "home" / str(trial // 10), fresh(folder / "elsewhere")
        shutil.copytree(source, home, dirs_exist_ok=True) if trial % 10 == 0 else None
        killed(_copying(home, elsewhere, folder / "people.zip"), 0, rng.uniform(0, 0.08))
        with open_gallery(home) as gallery:
            gallery.people()
        left = [
            path.relative_to(folder)
            for place in (home, elsewhere)
            for path in place.rglob(f"{PREFIX}*")
        ]
        outcome.expect(not left, f"trial {trial}: {left}")
        outcome.trials += 1
    return outcome


def _copying(home: Path, elsewhere: Path, exported: Path) -> Callable[[int], None]:
    def work(acknowledge: int) -> None:
        for number in count():
            with suppress(AppError), open_gallery(home) as gallery:
                back_up(home, elsewhere / f"{number}.sqlite")
                export(gallery, elsewhere / str(number), notes=home)
                export(gallery, elsewhere / f"{number}.zip", notes=home)
                import_from(exported, lambda model: open_gallery(home), scratch=home)
                gallery.make_index()
                os.write(acknowledge, b"copied\n")

    return work
