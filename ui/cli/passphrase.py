"""Asking for the passphrase of an encrypted gallery, on a terminal and unseen."""

import getpass
import sys

from data.errors import ArgumentError

from . import output


def ask() -> str | None:
    """Ask for it; None where there is no terminal, or nothing is typed."""
    return _typed("Passphrase of the gallery: ") if _is_on_terminal() else None


def ask_new() -> str:
    """Ask twice for a new one.

    Raises:
        ArgumentError: There is no terminal, or the two differ.
    """
    if not _is_on_terminal():
        raise ArgumentError(
            "which passphrase or key? Give it in a file, or by LIKENESS_KEY, or on a terminal"
        )
    first = _typed("New passphrase: ")
    if first != _typed("The same again: "):
        raise ArgumentError("the two passphrases differ: nothing was done")
    if first is None:
        raise ArgumentError("no passphrase: nothing was done")
    output.print_warning("whoever loses this passphrase loses the gallery: note it down")
    return first


def _is_on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _typed(prompt: str) -> str | None:
    try:
        return getpass.getpass(prompt, stream=sys.stderr) or None
    except EOFError:
        return None
