"""What weights say of strangers, found: in the weights file itself, or on a card of its digest.

A card is what `likeness evaluate tails` writes: the same text that a file's metadata would hold.
The bundled ones lie beside the bundled weights; those that a user measured, in the data folder.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import data.assets
from data.errors import ArgumentError, WeightsError
from data.files import data_home, printable, write_atomic

from .evaluation.impostor_tail import METADATA_KEY, ImpostorTail, tail_from_json

_BUNDLED = Path(str(data.assets.__file__)).parent / "tails"
_DIGITS = 16
"""How many digits of the digest a card's file name ends with."""


def find_tail(
    weights_sha256: str, text: str | None = None, *, home: Path | None = None
) -> ImpostorTail | None:
    """Find what weights say of strangers; None where nobody has measured it.

    Args:
        weights_sha256: The digest of the weights.
        text: What the weights file itself says, which counts before any card.
        home: The application's data folder; None takes the user's.

    Raises:
        WeightsError: It cannot be read or understood; of a card, the message says which.
    """
    if text is not None:
        return tail_from_json(text)
    for card in _cards(weights_sha256, home):
        found = _read_card(card)
        if found.weights_sha256 == weights_sha256:
            return found
    return None


def _read_card(card: Path) -> ImpostorTail:
    """What a card says.

    Raises:
        WeightsError: It cannot be read or understood.
    """
    try:
        return tail_from_json(card.read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError:
        why = "it is not text in UTF-8"
    except WeightsError as error:
        raise WeightsError(f"{printable(card)}: {error}") from error
    raise WeightsError(
        f"cannot read {printable(card)} ({why}): mend or remove it; "
        "`likeness evaluate tails` measures it anew"
    )


def card_place(name: str, weights_sha256: str, home: Path | None = None) -> Path:
    """Where a card that a user measured is kept, whether or not it is there.

    Args:
        name: The network's.
        weights_sha256: The digest of its weights.
        home: As in `find_tail`.
    """
    return data_home(home) / "tails" / f"{name}-{weights_sha256[:_DIGITS]}.json"


def write_card(tail: ImpostorTail, place: Path) -> None:
    """Write a card, whole or not at all.

    Raises:
        ArgumentError: The place cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, (tail.to_json() + "\n").encode())
    except OSError as error:
        raise ArgumentError(
            f"cannot write {printable(place)}: {error.strerror or error}"
        ) from error


def write_into_weights(tail: ImpostorTail, weights: Path, place: Path) -> Path:
    """Write weights once more, with what they say of strangers in their header.

    That makes another digest: a gallery holds embeddings of the file that it was made with.

    Args:
        tail: What they say.
        weights: The file as it is.
        place: The new file.

    Returns:
        The new file.

    Raises:
        ArgumentError: It would take the place of the old one, or cannot be written.
        WeightsError: The weights are no safetensors file.
    """
    if place.resolve() == weights.resolve():
        raise ArgumentError(f"{printable(place)} is the weights themselves: name another file")
    from data.tensors import read_tensors, write_tensors  # brings torch

    held = read_tensors(weights)
    try:
        write_tensors(
            place,
            held.tensors,
            {**held.metadata, METADATA_KEY: replace(tail, weights_sha256="").to_json()},
        )
    except OSError as error:
        raise ArgumentError(
            f"cannot write {printable(place)}: {error.strerror or error}"
        ) from error
    return place


def _cards(weights_sha256: str, home: Path | None) -> Iterator[Path]:
    """Cards that may be of a digest, the user's own before the bundled ones."""
    for folder in (data_home(home) / "tails", _BUNDLED):
        yield from sorted(folder.glob(f"*-{weights_sha256[:_DIGITS]}.json"))
