"""How what tells of a person is kept in a row: as it is, or encrypted.

Everything that writes or reads such a column goes through the `Seal` of its connection. One kind of
seal changes nothing. The other encrypts by AES-GCM, with the gallery and the place within it as
associated data: what has been altered, moved to another row or brought from another gallery cannot
be opened. What is searched for is found by a mark, a keyed hash.
"""

import base64
import binascii
import hashlib
import hmac
import os
import sqlite3
from typing import Protocol

from data.errors import GalleryError

Place = tuple[str | int, ...]
"""Where something is kept: table, column and row, and whatever else it must not be parted from."""

KEY_BYTES = 32
"""Of the key of an encrypted gallery, and of a raw key that wraps it."""

MOST_SEALED = 2**31 - 2**10
"""How many bytes can be sealed at once."""

_NONCE_BYTES = 12
_SHORTEST = _NONCE_BYTES + 16  # a nonce, and the tag of nothing


class Seal(Protocol):
    """Closes what tells of a person, and opens it again."""

    def close(self, content: bytes, place: Place) -> bytes:
        """Make of bytes what may be written at a place."""

    def open(self, closed: bytes, place: Place) -> bytes:
        """Return what `close` was given for this place.

        Raises:
            GalleryError: It is something else, or from elsewhere; the message has nothing of it.
        """

    def close_text(self, text: str, place: Place) -> str:
        """The same as `close` for text."""

    def open_text(self, closed: str, place: Place) -> str:
        """The same as `open` for text."""

    def mark(self, text: str) -> str:
        """What a text is found by: the same for the same text, and of 64 characters for 64."""


class OpenSeal:
    """Keeps everything as it is."""

    def close(self, content: bytes, place: Place) -> bytes:
        """See `Seal.close`."""
        return content

    def open(self, closed: bytes, place: Place) -> bytes:
        """See `Seal.open`."""
        return closed

    def close_text(self, text: str, place: Place) -> str:
        """See `Seal.close_text`."""
        return text

    def open_text(self, closed: str, place: Place) -> str:
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

    def close(self, content: bytes, place: Place) -> bytes:
        """See `Seal.close`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self._bound(place))

    def open(self, closed: bytes, place: Place) -> bytes:
        """See `Seal.open`."""
        from cryptography.exceptions import InvalidTag

        if len(closed) >= _SHORTEST:
            nonce, ciphertext = closed[:_NONCE_BYTES], closed[_NONCE_BYTES:]
            try:
                return self._cipher.decrypt(nonce, ciphertext, self._bound(place))
            except InvalidTag:
                pass
        raise _tampered(place)

    def close_text(self, text: str, place: Place) -> str:
        """See `Seal.close_text`."""
        return base64.b64encode(self.close(text.encode(), place)).decode("ascii")

    def open_text(self, closed: str, place: Place) -> str:
        """See `Seal.open_text`."""
        try:
            content = base64.b64decode(closed, validate=True)
        except (binascii.Error, ValueError):
            raise _tampered(place) from None
        return self.open(content, place).decode()

    def mark(self, text: str) -> str:
        """See `Seal.mark`."""
        return hmac.new(self._mark_key, text.encode(), hashlib.sha256).hexdigest()

    def _bound(self, place: Place) -> bytes:
        """The associated data. No part holds the separator: they are ids, names of ours, hex."""
        return "\0".join(map(str, (self._gallery, *place))).encode()


OPEN = OpenSeal()


class SealedConnection(sqlite3.Connection):
    """A connection to a gallery's database; within a transaction `seal` is that of its state."""

    seal: Seal = OPEN


def name_place(person: int) -> Place:
    """Where a person's name is kept."""
    return ("person", "name", person)


def consent_place(person: int) -> Place:
    """Where it is kept what a person agreed to."""
    return ("person", "consent", person)


def group_place(membership: int, person: int) -> Place:
    """Where the name of a group is kept that a person is in."""
    return ("membership", "name", membership, person)


def photograph_place(table: str, row: int) -> Place:
    """Where a photograph's hash is kept, of a template or an exclusion."""
    return (table, "photograph_sha256", row)


def embedding_place(table: str, row: int, person: int, weights_digest: str) -> Place:
    """Where an embedding is kept, of a template or an exclusion: it is one person's, by one model.

    Whoever gives it to another person has to close it anew.
    """
    return (table, "embedding", row, person, weights_digest)


def crop_place(template: int) -> Place:
    """Where a face's picture is kept."""
    return ("crop", "picture", template)


def operation_place(operation: int) -> Place:
    """Where it is kept in words what was done."""
    return ("operation", "what", operation)


def derived(key: bytes, purpose: bytes) -> bytes:
    """HKDF-Expand for as many bytes as the hash has, which takes one round."""
    return hmac.new(key, purpose + b"\x01", hashlib.sha256).digest()


def _tampered(place: Place) -> GalleryError:
    table, column, row = place[:3]
    return GalleryError(
        f"the {column} of {table} {row} cannot be decrypted: it was altered, or is another row's "
        "or another gallery's; restore the gallery from a backup"
    )
