"""Keys, passphrases, and the ciphers by which contents are sealed."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from data.errors import ArgumentError, GalleryError, LockedError

from .link import Queries
from .passphrases import weakness

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


# How what tells of a person is kept in a row: as it is, or encrypted.
#
# Which columns those are is said in `rows`, which closes and opens them by the `Seal` of a
# connection. One kind of seal changes nothing. The other encrypts by AES-GCM, with the gallery and
# the place within it as associated data: what has been altered, moved to another row or brought
# from another gallery cannot be opened. What is searched for is found by a mark, a keyed hash.

AssociatedData = tuple[str | int, ...]
"""Where something is kept: table, column, row, and whatever else it must not be parted from."""

KEY_BYTES = 32
"""Of the key of an encrypted gallery, and of a raw key that wraps it."""

_NONCE_BYTES = 12
_SHORTEST = _NONCE_BYTES + 16  # a nonce, and the tag of nothing


class Seal(Protocol):
    """Closes what tells of a person, and opens it again."""

    def close(self, content: bytes, place: AssociatedData) -> bytes:
        """Make of bytes what may be written at a place."""

    def open(self, closed: bytes, place: AssociatedData) -> bytes:
        """Return what `close` was given for this place.

        Raises:
            GalleryError: It is something else, or from elsewhere; the message has nothing of it.
        """

    def close_text(self, text: str, place: AssociatedData) -> str:
        """The same as `close` for text."""

    def open_text(self, closed: str, place: AssociatedData) -> str:
        """The same as `open` for text."""

    def mark(self, text: str) -> str:
        """What a text is found by: the same for the same text, and of 64 characters for 64."""


class OpenSeal:
    """Keeps everything as it is."""

    def close(self, content: bytes, place: AssociatedData) -> bytes:
        """See `Seal.close`."""
        return content

    def open(self, closed: bytes, place: AssociatedData) -> bytes:
        """See `Seal.open`."""
        return closed

    def close_text(self, text: str, place: AssociatedData) -> str:
        """See `Seal.close_text`."""
        return text

    def open_text(self, closed: str, place: AssociatedData) -> str:
        """See `Seal.open_text`."""
        return closed

    def mark(self, text: str) -> str:
        """See `Seal.mark`."""
        return text


class KeyedSeal:
    """Encrypts with AES-256-GCM; a nonce of 96 random bits stands before each ciphertext.

    Args:
        key: The gallery's key, 32 random bytes. Keys for encrypting and for marks are derived from
            it (HKDF-Expand, RFC 5869).
        gallery_id: Which gallery's; what is of another one cannot be opened.
    """

    def __init__(self, key: bytes, gallery_id: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._gallery = gallery_id
        self._cipher = AESGCM(derived(key, b"likeness 1: contents"))
        self._mark_key = derived(key, b"likeness 1: marks")

    def close(self, content: bytes, place: AssociatedData) -> bytes:
        """See `Seal.close`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self._bound(place))

    def open(self, closed: bytes, place: AssociatedData) -> bytes:
        """See `Seal.open`."""
        from cryptography.exceptions import InvalidTag

        if len(closed) >= _SHORTEST:
            nonce, ciphertext = closed[:_NONCE_BYTES], closed[_NONCE_BYTES:]
            try:
                return self._cipher.decrypt(nonce, ciphertext, self._bound(place))
            except InvalidTag:
                pass
        raise _tampered(place)

    def close_text(self, text: str, place: AssociatedData) -> str:
        """See `Seal.close_text`."""
        return base64.b64encode(self.close(text.encode(), place)).decode("ascii")

    def open_text(self, closed: str, place: AssociatedData) -> str:
        """See `Seal.open_text`."""
        try:
            content = base64.b64decode(closed, validate=True)
        except (binascii.Error, ValueError):
            raise _tampered(place) from None
        return self.open(content, place).decode()

    def mark(self, text: str) -> str:
        """See `Seal.mark`."""
        return hmac.new(self._mark_key, text.encode(), hashlib.sha256).hexdigest()

    def _bound(self, place: AssociatedData) -> bytes:
        """The associated data. No part holds the separator: they are ids, names of ours, hex."""
        return "\0".join(map(str, (self._gallery, *place))).encode()


OPEN = OpenSeal()


def derived(key: bytes, purpose: bytes) -> bytes:
    """HKDF-Expand for as many bytes as the hash has, which takes one round."""
    return hmac.new(key, purpose + b"\x01", hashlib.sha256).digest()


def _tampered(place: AssociatedData) -> GalleryError:
    table, column, row = place[:3]
    return GalleryError(
        f"the {column} of {table} {row} cannot be decrypted: it was altered, or is another row's "
        "or another gallery's; restore the gallery from a backup"
    )


# The key of an encrypted gallery: random, and kept beside what it encrypts, wrapped by a secret.
#
# The secret is a passphrase, of which scrypt (RFC 7914) makes a key, or a key of 64 hexadecimal
# digits. A new secret wraps the same key anew; a new key encrypts every row anew.

FindSecret = Callable[[str], str | None]
"""The id of a key → the secret that its user gives for it, or None."""

Keep = Callable[[str, str], None]
"""Keeps a secret for the id of a key: where that fails, nothing is changed."""

IsGiven = Callable[[], bool]
"""Whether the user has given a passphrase or key, without being asked for one."""

SHORTEST_PASSPHRASE = 8
"""The fewest characters of a new passphrase."""

SCRYPT = (2**17, 8, 1)
"""n, r and p of new passphrases: 128 MB and a third of a second."""

_MOST_MEMORY = 2**30  # bytes that a file may make scrypt take
_MOST_ROUNDS = 16
_SALT_BYTES = 16
_BEFORE, _PROVED = "likeness key 1", "likeness key 2"
_RAW = re.compile(r"[0-9a-fA-F]{64}")


class SecretKind(StrEnum):
    """What wraps a gallery's key."""

    PASSPHRASE = "passphrase"
    RAW = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A gallery's key as its database holds it.

    Attributes:
        key_id: Another one each time that a key is wrapped, for whoever keeps its secret.
        gallery_id: The gallery's when its key was drawn, which its rows are bound to; the backup
            and what is restored from it keep it.
        kind: What wraps it.
        n: Of scrypt, as are r and p; 0 for a raw key.
        r: Block size.
        p: Parallelisation.
        salt: Of the passphrase; empty for a raw key.
        wrapped: A nonce, and the key encrypted by AES-256-GCM with all of the above and the
            gallery's id as associated data.
    """

    key_id: str
    gallery_id: str
    kind: SecretKind
    n: int
    r: int
    p: int
    salt: bytes
    wrapped: bytes = field(repr=False)


def new_secret(text: str, names: Iterable[str] = ()) -> str:
    """Make sure that a secret will do for a gallery that gets it now.

    Args:
        text: The secret.
        names: Of those enrolled, which are guessed first.

    Raises:
        ArgumentError: It is too short, or easy to guess.
    """
    if not _RAW.fullmatch(text) and len(_normal(text)) < SHORTEST_PASSPHRASE:
        raise ArgumentError(
            f"a passphrase of {len(_normal(text))} characters: expected at least "
            f"{SHORTEST_PASSPHRASE}, or a key of 64 hexadecimal digits"
        )
    if (why := weakness_of(text, names)) is not None:
        raise ArgumentError(f"this passphrase {why}")
    return text


def weakness_of(secret: str, names: Iterable[str] = ()) -> str | None:
    """Why a secret is easy to guess, as the second half of a sentence; None where it is not."""
    return None if _RAW.fullmatch(secret) else weakness(_normal(secret), names)


def wrap(key: bytes, secret: str, gallery_id: str, key_id: str | None = None) -> WrappedKey:
    """Encrypt a gallery's key by a secret.

    Args:
        key: The key.
        secret: The passphrase or raw key.
        gallery_id: The gallery's.
        key_id: By which the secret is known already; None draws one.
    """
    made = WrappedKey(
        key_id=key_id or str(uuid.uuid4()),
        gallery_id=gallery_id,
        kind=SecretKind.RAW,
        n=0,
        r=0,
        p=0,
        salt=b"",
        wrapped=b"",
    )
    if not _RAW.fullmatch(secret):
        n, r, p = SCRYPT
        salt = os.urandom(_SALT_BYTES)
        made = replace(made, kind=SecretKind.PASSPHRASE, n=n, r=r, p=p, salt=salt)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = _cipher(made, secret).encrypt(nonce, key, _bound(made, _PROVED))
    return replace(made, wrapped=nonce + sealed)


def unwrap(wrapped: WrappedKey, secret: str) -> tuple[bytes, bool]:
    """Return a gallery's key, and whether the gallery's rows have a proof; see `integrity`.

    Raises:
        LockedError: It is not this secret that wraps it.
    """
    from cryptography.exceptions import InvalidTag

    wrong = LockedError(
        f"the gallery is encrypted, and this {_called(wrapped)} does not open it: give the right "
        "one, by LIKENESS_KEY or LIKENESS_KEY_FILE or when asked"
    )
    if (wrapped.kind == SecretKind.RAW) is not bool(_RAW.fullmatch(secret)):
        raise wrong
    nonce, sealed = wrapped.wrapped[:_NONCE_BYTES], wrapped.wrapped[_NONCE_BYTES:]
    try:
        cipher = _cipher(wrapped, secret)
    except ValueError:
        raise wrong from None
    for version in (_PROVED, _BEFORE):
        with suppress(InvalidTag, ValueError):
            key: bytes = cipher.decrypt(nonce, sealed, _bound(wrapped, version))
            if len(key) == KEY_BYTES:
                return key, version == _PROVED
    raise wrong


KEY_TABLE = "wrapped_key"
"""Where a gallery holds its key."""

_KEY_COLUMNS = tuple(one.name for one in fields(WrappedKey))

READ_KEY = f"SELECT {', '.join(_KEY_COLUMNS)} FROM {KEY_TABLE}"
"""Gives the row that `key_of` takes, if the gallery is encrypted."""


def key_of(row: tuple[Any, ...] | None) -> WrappedKey | None:
    """The key in a row of `READ_KEY`, if there is one."""
    return None if row is None else WrappedKey(**dict(zip(_KEY_COLUMNS, row, strict=True)))


def read_key(connection: Queries) -> WrappedKey | None:
    """The key that a gallery holds, if it is encrypted."""
    return key_of(connection.execute(READ_KEY).fetchone())


def write_key(connection: Queries, wrapped: WrappedKey | None) -> None:
    """Put a key in the place of the one that a gallery holds; None leaves it without."""
    connection.execute("DELETE FROM wrapped_key")
    if wrapped is not None:
        names = ", ".join(one.name for one in fields(WrappedKey))
        places = ", ".join("?" * len(fields(WrappedKey)))
        connection.execute(
            f"INSERT INTO wrapped_key (only_row, {names}) VALUES (1, {places})", astuple(wrapped)
        )


class Lock:
    """Remembers how a gallery is opened, as long as its key stays the same.

    Args:
        find_secret: Asked once for each key that the gallery comes to have.
        is_given: Whether the user has given a key: then the gallery must be encrypted.
    """

    def __init__(self, find_secret: FindSecret, is_given: IsGiven = lambda: False) -> None:
        self._find_secret, self._is_given = find_secret, is_given
        self._known: WrappedKey | None = None
        self._secret = ""
        self._may_be_plain = False
        self.is_proved = True
        self._key = b""
        self._seal: Seal = OPEN

    def seal(self, connection: Queries) -> Seal:
        """The seal of a gallery's present state; another process may have changed it.

        Raises:
            LockedError: It is encrypted, and the secret is missing or wrong.
            GalleryError: It is not encrypted, though it was a moment ago, or a key is given.
        """
        return self.opened(read_key(connection))

    def opened(self, wrapped: WrappedKey | None) -> Seal:
        """The seal of a state that holds a key, or none; see `seal`."""
        if wrapped is None:
            if not self._may_be_plain and (self._known is not None or self._is_given()):
                raise GalleryError(_PLAIN)
            self._known, self._key, self._seal = None, b"", OPEN
        elif wrapped != self._known:
            secret = self._find_secret(wrapped.key_id)
            if secret is None:
                raise LockedError(
                    f"the gallery is encrypted: give its {_called(wrapped)}, by LIKENESS_KEY or "
                    "LIKENESS_KEY_FILE or on a terminal"
                )
            self._key, self.is_proved = unwrap(wrapped, secret)
            self._secret = secret
            self._known, self._seal = wrapped, KeyedSeal(self._key, wrapped.gallery_id)
        return self._seal

    @property
    def key(self) -> bytes:
        """The gallery's key, after `seal`; empty if it is not encrypted."""
        return self._key

    def expect(self, wrapped: WrappedKey, key: bytes) -> None:
        """Know a key that the gallery is being given; should that fail, the old one is found."""
        self.is_proved = True
        self._known, self._key, self._seal = wrapped, key, KeyedSeal(key, wrapped.gallery_id)

    def let_be_plain(self) -> None:
        """Whoever has the gallery open decrypts it."""
        self._may_be_plain = True

    def rewrap(self, connection: Queries) -> None:
        """Note, in a transaction, with the key that the gallery's rows have a proof from now on."""
        if self._known is not None:
            known = self._known
            wrapped = wrap(self._key, self._secret, known.gallery_id, known.key_id)
            write_key(connection, wrapped)
            self.expect(wrapped, self._key)


_PLAIN = (
    "the gallery is not encrypted, and a key is given for it: unset LIKENESS_KEY and "
    "LIKENESS_KEY_FILE, or `likeness gallery encrypt`; if nobody decrypted it, somebody put "
    "another in its place: `likeness gallery restore` a backup"
)


def _called(wrapped: WrappedKey) -> str:
    return "passphrase" if wrapped.kind == SecretKind.PASSPHRASE else "key"


def _normal(passphrase: str) -> str:
    """One form for a passphrase, however a keyboard composes its letters."""
    return unicodedata.normalize("NFC", passphrase)


def _cipher(wrapped: WrappedKey, secret: str) -> "AESGCM":
    """What encrypts a key by a secret.

    Raises:
        ValueError: The parameters are none for scrypt, or would take too much memory.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if wrapped.kind == SecretKind.RAW:
        return AESGCM(bytes.fromhex(secret))
    wanted = 128 * wrapped.r * (wrapped.n + wrapped.p)
    if not 0 < wanted <= _MOST_MEMORY or not 0 < wrapped.p <= _MOST_ROUNDS:
        raise ValueError
    return AESGCM(
        hashlib.scrypt(
            _normal(secret).encode(),
            salt=wrapped.salt,
            n=wrapped.n,
            r=wrapped.r,
            p=wrapped.p,
            maxmem=2 * wanted,
            dklen=KEY_BYTES,
        )
    )


def _bound(wrapped: WrappedKey, version: str) -> bytes:
    """The associated data: also that the rows have a proof, so that nobody takes it away."""
    *terms, _ = astuple(wrapped)
    return repr((version, *map(str, terms))).encode()
