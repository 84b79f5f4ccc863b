"""What was trained to weigh a person's photographs, kept by the digest of a network's weights.

A file holds one query, as safetensors, and says in its metadata of which weights and by whom it was
trained. The bundled ones lie beside the bundled weights; those that a user trained, in the data
folder, where `--match attention` finds them.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import data.assets
from data.errors import ArgumentError, WeightsError
from data.files import data_home, printable

from .template_attention import TemplateAttention

_BUNDLED = Path(str(data.assets.__file__)).parent / "attention"
_DIGITS = 16  # of the digest, with which a file's name ends
_QUERY = "query"
_DIGEST = "weights_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionFacts:
    """What a file says of its query, all of it as words.

    Attributes:
        network: Whose embeddings it weighs.
        weights_sha256: The digest of that network's weights.
        trained_on: Who these people are.
        people: How many.
        photographs: How many photographs of them.
        trained_at: When: ISO 8601, UTC.
    """

    network: str
    weights_sha256: str
    trained_on: str
    people: str
    photographs: str
    trained_at: str


def attention_place(name: str, weights_sha256: str, home: Path | None = None) -> Path:
    """Where what a user trains is kept, whether or not it is there.

    Args:
        name: The network's.
        weights_sha256: The digest of its weights.
        home: The application's data folder; None takes the user's.
    """
    return data_home(home) / "attention" / f"{name}-{weights_sha256[:_DIGITS]}.safetensors"


def find_attention(
    name: str, weights_sha256: str, dimension: int, *, home: Path | None = None
) -> TemplateAttention:
    """Find what was trained for weights: the user's own before what comes along.

    Args:
        name: The network's, for the message.
        weights_sha256: The digest of its weights.
        dimension: How many numbers its embeddings have, D.
        home: As in `attention_place`.

    Raises:
        WeightsError: Nothing was trained for these weights, or its file is damaged.
    """
    for path in _files(weights_sha256, home):
        found = read_attention(path, weights_sha256, dimension)
        if found is not None:
            return found
    raise WeightsError(
        f"no attention over templates is trained for {name} (weights {weights_sha256[:12]}): "
        "`likeness train-matching --people DIR` trains it, or take --match mean"
    )


def read_attention(path: Path, weights_sha256: str, dimension: int) -> TemplateAttention | None:
    """Read a file; None where it is of other weights.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is damaged.
    """
    from data.tensors import read_tensors  # brings torch

    file = read_tensors(path)
    if file.metadata.get(_DIGEST) != weights_sha256:
        return None
    query = file.tensors[_QUERY].float() if _QUERY in file.tensors else None
    if query is None or tuple(query.shape) != (dimension,) or not bool(query.isfinite().all()):
        raise WeightsError(
            f"{printable(path)} holds no query of {dimension} finite numbers: train it anew, "
            "`likeness train-matching --people DIR`"
        )
    return TemplateAttention(query.numpy())


def write_attention(attention: TemplateAttention, facts: AttentionFacts, place: Path) -> None:
    """Write a file, whole or not at all.

    Raises:
        ArgumentError: The place cannot be written.
    """
    import torch

    from data.tensors import write_tensors

    query = torch.from_numpy(attention.query.astype(np.float32))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(place, {_QUERY: query}, asdict(facts))
    except OSError as error:
        raise ArgumentError(
            f"cannot write {printable(place)}: {error.strerror or error}"
        ) from error


def _files(weights_sha256: str, home: Path | None) -> Iterator[Path]:
    """Files that may be of a digest."""
    for folder in (data_home(home) / "attention", _BUNDLED):
        yield from sorted(folder.glob(f"*-{weights_sha256[:_DIGITS]}.safetensors"))
