"""That the rows of an encrypted gallery on a server are those which Likeness wrote.

The proof is that of `integrity`: the sum of keyed hashes of all rows. SQLite calls back for each
row that changes; a server cannot, so a trigger writes such rows into a temporary table of the
session's own, which is read at the end of a change and emptied with it. Between two changes of
Likeness everything stays as it is, and the proof in its row as well: so as long as that is the one
that was seen last, nothing is added up again. Whatever somebody else altered meanwhile is found
out when the gallery is opened next, and after the next change of another machine.

How the tables are made is the server's to keep, by who may change them.
"""

import hashlib
import hmac
from collections.abc import Iterable

from data.errors import AlteredError

from .encryption import derived
from .link import Link, quoted
from .postgres_schema import TALLY, proved_columns

_BITS = 256


class PostgresIntegrity:
    """Follows what one connection writes, and proves it.

    Args:
        link: The gallery's.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._key = self._hash_key = b""
        self._follows = False
        self._seen: bytes | None = None  # the proof of the rows that were added up
        self._next: bytes | None = None
        self._kept = self._now = (0, 0)

    def check(self, key: bytes, *, writing: bool) -> None:
        """Make sure, at the beginning of a transaction, that all rows are as they were written.

        Args:
            key: The gallery's; empty if it is not encrypted.
            writing: Whether the transaction may write: then what it writes is followed.

        Raises:
            AlteredError: A row was altered, added or taken away by somebody without the key.
        """
        if not key:
            self.undone()
            return
        if writing and not self._follows:
            self._follow()
        row = self._link.execute("SELECT value FROM proof").fetchone()
        stored = None if row is None else bytes(row[0])
        self._now, self._next = self._kept, self._seen
        if key == self._key and stored is not None and stored == self._seen:
            return
        self._begin(key)
        if stored is None or not hmac.compare_digest(stored, self._value()):
            self.undone()
            raise AlteredError(
                "the gallery was altered by somebody without its key: restore the database from a "
                "backup, or look at `likeness gallery audit` of a copy that you trust"
            )
        self._kept, self._seen, self._next = self._now, stored, stored

    def _follow(self) -> None:
        self._link.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {TALLY}"
            " (sign bigint, label text, content text) ON COMMIT DELETE ROWS"
        )
        # What goes with its person goes in the name of the tables' owner, whoever is connected.
        self._link.execute(f"GRANT INSERT ON pg_temp.{TALLY} TO PUBLIC")
        self._follows = True

    def renew(self, key: bytes) -> None:
        """Prove, at the end of a transaction, what was written in it.

        Args:
            key: The gallery's from now on; empty if it is not encrypted.
        """
        if not key:
            if self._key:
                self._link.execute("DELETE FROM proof")
                self.undone()
            return
        if key != self._key:
            self._begin(key)
        else:
            count, total = self._now
            rows = self._link.execute(f"SELECT sign, label, content FROM pg_temp.{TALLY}")
            for sign, label, content in rows:
                count, total = count + sign, total + sign * self._hash(label, content)
            self._now = count, total % 2**_BITS
        value = self._value()
        if value != self._next:
            self._next = value
            self._link.execute(
                "INSERT INTO proof VALUES (1, ?)"
                " ON CONFLICT (only_row) DO UPDATE SET value = excluded.value",
                (value,),
            )

    def done(self) -> None:
        """The transaction is kept."""
        self._kept, self._seen = self._now, self._next

    def undone(self) -> None:
        """The transaction is taken back, or the connection lost."""
        self._key = self._hash_key = b""
        self._follows = False
        self._seen = self._next = None
        self._kept = self._now = (0, 0)

    def _begin(self, key: bytes) -> None:
        """Add up all rows under a key."""
        self._key, self._hash_key = key, derived(key, b"likeness 1: rows")
        count = total = 0
        for table, columns in proved_columns().items():
            for content in self._contents(table, columns):
                count, total = count + 1, total + self._hash(table, content)
        self._now = count, total % 2**_BITS

    def _contents(self, table: str, columns: Iterable[str]) -> Iterable[str]:
        rows = self._link.execute(
            f"SELECT to_jsonb(kept)::text FROM (SELECT {quoted(columns)} FROM {table}) AS kept"
        )
        return (content for (content,) in rows)

    def _hash(self, table: str, content: str) -> int:
        text = repr((table, content)).encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=_BITS // 8, key=self._hash_key).digest()
        return int.from_bytes(digest, "big")

    def _value(self) -> bytes:
        text = repr(("likeness rows on a server 1", *self._now)).encode()
        return hashlib.blake2b(text, digest_size=_BITS // 8, key=self._hash_key).digest()
