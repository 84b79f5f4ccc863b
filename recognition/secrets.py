"""Where the passphrase or key of an encrypted gallery comes from."""

import importlib.util
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from data.distribution import install_command
from data.errors import AppError, ArgumentError, LockedError
from data.files import mode_for_others, printable, read_regular

from .gallery.storage.encryption import weakness_of

KEY_VARIABLE = "LIKENESS_KEY"
"""The environment variable that may hold it."""

KEY_FILE_VARIABLE = "LIKENESS_KEY_FILE"
"""The one that may name a file that holds it."""

_SERVICE = "likeness"  # under which the keyring keeps it
_LONGEST = 10_000  # bytes of a file that holds it

Ask = Callable[[], str | None]
"""Asks the user; None where there is nobody to ask."""

Warn = Callable[[str], None]
"""Told one line that the user should read."""


class SecretFinder:
    """Finds what opens a gallery, and says once where that is easy to guess.

    A new passphrase that is easy to guess is refused; a gallery that has one from before is opened.

    Args:
        ask: Asks the user.
        warn: Told so.
    """

    def __init__(self, ask: Ask, warn: Warn = lambda _: None) -> None:
        self._ask, self._warn = ask, warn
        self._has_warned = False

    def __call__(self, key_id: str) -> str | None:
        """See `find_secret`."""
        secret = find_secret(key_id, self._ask)
        if secret is not None and not self._has_warned and (why := weakness_of(secret)):
            self._has_warned = True
            self._warn(
                f"the passphrase that was given for the gallery {why}; change it by `likeness "
                "gallery rotate`"
            )
        return secret


def find_secret(key_id: str, ask: Ask) -> str | None:
    """Find what opens a gallery: in the environment, in a file, in the keyring; or ask.

    Args:
        key_id: Of the gallery's key; the keyring has a secret for each.
        ask: Asks the user.

    Raises:
        LockedError: The file cannot be read.
    """
    return secret_in_environment() or _from_keyring(key_id) or ask()


def secret_in_environment() -> str | None:
    """What `LIKENESS_KEY` holds, or else the file that `LIKENESS_KEY_FILE` names.

    Raises:
        LockedError: The file cannot be read.
    """
    if text := os.environ.get(KEY_VARIABLE):
        return text
    if named := os.environ.get(KEY_FILE_VARIABLE):
        return secret_in_file(Path(named))
    return None


def secret_in_file(path: Path) -> str:
    """The first line of a file, which is all that it holds.

    Raises:
        LockedError: It cannot be read, or holds something else.
    """
    try:
        text = read_regular(path, error=LockedError, most_bytes=_LONGEST).decode()
    except ArgumentError as error:
        raise LockedError(f"no passphrase or key: {error}") from error
    except UnicodeDecodeError:
        text = ""
    lines = text.splitlines()
    if len(lines) != 1 or not lines[0]:
        raise LockedError(
            f"{path} does not hold a passphrase or a key: expected one line of text, as "
            "`openssl rand -hex 32` makes it"
        )
    return lines[0]


def open_to_others(path: Path) -> str | None:
    """Why a file should hold no secret, in a line: others can read it; None where they cannot."""
    mode = mode_for_others(path)
    if not mode:
        return None
    return (
        f"{printable(path)}, which holds a passphrase or key, is open to other users of this "
        f"machine (mode {mode:04o}): chmod 600 it"
    )


def new_key() -> str:
    """A random key, as 64 hexadecimal digits."""
    return secrets.token_hex(32)


def keep_in_keyring(key_id: str, secret: str) -> None:
    """Hand what opens a gallery to the operating system's keyring.

    Raises:
        AppError: There is none, or it refuses.
    """
    if importlib.util.find_spec("keyring") is None:
        raise AppError(f"the package keyring is not installed: {install_command('keyring')}")
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(_SERVICE, key_id, secret)
    except KeyringError as error:
        raise AppError(
            f"the operating system's keyring does not take it ({error}): use a passphrase"
        ) from error


def _from_keyring(key_id: str) -> str | None:
    if importlib.util.find_spec("keyring") is None:
        return None
    import keyring
    from keyring.errors import KeyringError

    try:
        secret: str | None = keyring.get_password(_SERVICE, key_id)
    except KeyringError:
        return None  # locked, or none there: the user is asked
    return secret
