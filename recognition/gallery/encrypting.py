"""A whole gallery is encrypted, decrypted, or given another key: every sealed row, written anew."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from data.errors import GalleryError

from . import audit
from .audit import Action
from .keys import WrappedKey, read_key, wrap, write_key
from .sealing import (
    KEY_BYTES,
    OPEN,
    KeyedSeal,
    Place,
    Seal,
    SealedConnection,
    consent_place,
    crop_place,
    embedding_place,
    group_place,
    name_place,
    operation_place,
    photograph_place,
)

_ROWS_AT_ONCE = 1000

Expect = Callable[[WrappedKey, bytes], None]
"""Takes a key before the gallery has it: as it is kept, and as it is."""


def change_key(
    connection: SealedConnection,
    key: bytes,
    action: Action,
    secret: str | None,
    expect: Expect,
    let_be_plain: Callable[[], None],
) -> None:
    """Change how a gallery is encrypted. Whoever has it open notices with their next question.

    Args:
        connection: In a transaction.
        key: The present key; empty if the gallery is not encrypted.
        action: Encrypt, decrypt, rewrap (another secret for the same key) or rotate (another key).
        secret: What opens the gallery from now on; None where it is decrypted.
        expect: Told of the new key.
        let_be_plain: Told where there is none any more.

    Raises:
        GalleryError: The gallery is encrypted already, or is not; or a row was tampered with.
    """
    if action is Action.ENCRYPT and key:
        raise GalleryError("the gallery is encrypted already: `likeness gallery rotate`")
    if action is not Action.ENCRYPT and not key:
        raise GalleryError("the gallery is not encrypted: `likeness gallery encrypt`")
    if secret is None:
        seal_anew(connection, OPEN)
        write_key(connection, None)
        let_be_plain()
    else:
        before = read_key(connection)
        if before is not None and action is Action.REWRAP:
            gallery_id = before.gallery_id
        else:
            (gallery_id,) = connection.execute("SELECT gallery_id FROM gallery").fetchone()
            key = os.urandom(KEY_BYTES)
            seal_anew(connection, KeyedSeal(key, gallery_id))
        wrapped = wrap(key, secret, gallery_id)
        write_key(connection, wrapped)
        expect(wrapped, key)
    audit.note(connection, action)
    # Of the plain rows, of the old ones, or of the key as the old secret wrapped it.
    connection.execute("UPDATE gallery SET traces_remain = 1")


def seal_anew(connection: SealedConnection, new: Seal) -> None:
    """Open every sealed column with a connection's seal, and close it with another.

    Raises:
        GalleryError: One of them was tampered with.
    """
    _Resealing(connection, new).every_table()


class _Resealing:
    def __init__(self, connection: SealedConnection, new: Seal) -> None:
        self._connection = connection
        self._old, self._new = connection.seal, new

    def every_table(self) -> None:
        self._people()
        self._memberships()
        self._faces("template")
        self._faces("exclusion")
        self._crops()
        self._operations()
        self._reversals()

    def _text(self, closed: str, place: Place) -> str:
        return self._new.close_text(self._old.open_text(closed, place), place)

    def _bytes(self, closed: bytes, place: Place) -> bytes:
        return self._new.close(self._old.open(closed, place), place)

    def _chunks(self, table: str, columns: str, key: str = "id") -> Iterator[list[tuple[Any, ...]]]:
        """A table's rows, some at a time, as they are before they are changed."""
        keys = [row[0] for row in self._connection.execute(f"SELECT {key} FROM {table}")]
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            some = keys[start : start + _ROWS_AT_ONCE]
            yield self._connection.execute(
                f"SELECT {key}, {columns} FROM {table}"
                f" WHERE {key} IN (SELECT value FROM json_each(?))",
                (json.dumps(some),),
            ).fetchall()

    def _person(self, person: int, name: str, consent: str | None) -> tuple[str, str, str | None]:
        """Name, mark and consent."""
        plain = self._old.open_text(name, name_place(person))
        return (
            self._new.close_text(plain, name_place(person)),
            self._new.mark(plain),
            consent and self._text(consent, consent_place(person)),
        )

    def _people(self) -> None:
        for rows in self._chunks("person", "name, consent"):
            self._connection.executemany(
                "UPDATE person SET name = ?, mark = ?, consent = ? WHERE id = ?",
                [(*self._person(*row), row[0]) for row in rows],
            )

    def _membership(self, row: int, person: int, name: str) -> tuple[str, str]:
        """Name and mark."""
        plain = self._old.open_text(name, group_place(row, person))
        return self._new.close_text(plain, group_place(row, person)), self._new.mark(plain)

    def _memberships(self) -> None:
        for rows in self._chunks("membership", "person_id, name"):
            self._connection.executemany(
                "UPDATE membership SET name = ?, mark = ? WHERE id = ?",
                [(*self._membership(*row), row[0]) for row in rows],
            )

    def _faces(self, table: str) -> None:
        (digest,) = self._connection.execute("SELECT weights_digest FROM gallery").fetchone()
        for rows in self._chunks(table, "person_id, photograph_sha256, embedding"):
            changed = []
            for row, person, closed_hash, closed in rows:
                photograph = self._old.open_text(closed_hash, photograph_place(table, row))
                changed.append(
                    (
                        self._new.mark(photograph),
                        self._new.close_text(photograph, photograph_place(table, row)),
                        self._bytes(closed, embedding_place(table, row, person, digest)),
                        row,
                    )
                )
            self._connection.executemany(
                f"UPDATE {table} SET photograph_mark = ?, photograph_sha256 = ?, embedding = ?"
                " WHERE id = ?",
                changed,
            )

    def _crops(self) -> None:
        for rows in self._chunks("crop", "picture", "template_id"):
            self._connection.executemany(
                "UPDATE crop SET picture = ? WHERE template_id = ?",
                [(self._bytes(closed, crop_place(row)), row) for row, closed in rows],
            )

    def _operations(self) -> None:
        for rows in self._chunks("operation", "what"):
            self._connection.executemany(
                "UPDATE operation SET what = ? WHERE id = ?",
                [(self._text(closed, operation_place(row)), row) for row, closed in rows],
            )

    def _reversals(self) -> None:
        """What is written down of people is sealed as in their own rows."""
        for rows in self._chunks("reversal", "kind, row, before"):
            changed = []
            for reversal, kind, row, before in rows:
                columns = json.loads(before or "{}")
                if kind == "person" and columns:
                    name, mark, consent = self._person(row, columns["name"], columns.get("consent"))
                    columns |= {"name": name, "mark": mark}
                    if consent is not None:
                        columns["consent"] = consent
                elif kind == "membership" and columns:
                    name, mark = self._membership(row, columns["person_id"], columns["name"])
                    columns |= {"name": name, "mark": mark}
                else:
                    continue
                changed.append((json.dumps(columns), reversal))
            self._connection.executemany("UPDATE reversal SET before = ? WHERE id = ?", changed)
