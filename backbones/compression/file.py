"""Tensors to what a compressed file holds, and back to the same tensors.

A tensor that is worth it (weights of at least two axes and `SMALLEST` numbers) is kept in parts
whose names follow its own: `name/codes`, the index of each number's shared value; `name/values`,
these; `name/scale`, what the numbers of each output are multiplied by; where it is sparse,
`name/gaps`, how many zeros stand before each number that is none. Codes and gaps are streams of
bits (`huffman`), with the lengths of the codes and the blocks' beginnings beside them. What each
tensor is, its shape above all, stands in the header's field `compression`, as JSON.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import ArgumentError, WeightsError

from .huffman import Stream, code_lengths, decode, encode, fixed_lengths
from .shared_values import share

METADATA_KEY = "compression"
"""The header's field that says how a file is compressed."""

SMALLEST = 1024
"""Numbers below which a tensor is kept as it is."""

MOST_BITS = 8
_LONGEST_GAP = 255  # stands for so many zeros and no number behind them
_VERSION = 1


class Method(StrEnum):
    """One of the ways by which a file becomes smaller; each may be taken with the others."""

    PRUNE = "prune"
    QUANTIZE = "quantize"
    HUFFMAN = "huffman"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How weights are to be compressed.

    Attributes:
        methods: What is done. `prune` leaves out the smallest weights of each tensor, `quantize`
            lets weights share 2**bits values a tensor, `huffman` writes indices and gaps by their
            frequency.
        bits: Of an index into the shared values, 1 … 8.
        sparsity: The part of each tensor that is pruned, 0 … 1 exclusive.

    Raises:
        ArgumentError: A number is out of its range, or there is nothing to do.
    """

    methods: frozenset[Method]
    bits: int = 6
    sparsity: float = 0.5

    def __post_init__(self) -> None:
        if not self.methods & {Method.PRUNE, Method.QUANTIZE}:
            raise ArgumentError("nothing to compress by: name prune or quantize among the methods")
        if not 1 <= self.bits <= MOST_BITS:
            raise ArgumentError(f"bits is {self.bits}; expected 1 to {MOST_BITS}")
        if not 0 < self.sparsity < 1:
            raise ArgumentError(f"sparsity is {self.sparsity}; expected above 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """How one tensor is kept."""

    shape: tuple[int, ...]
    numbers: int  # those that are written
    gaps: int | None  # how many gaps; None: all numbers are written
    shared: bool  # by an index into shared values


def is_compressible(tensor: Tensor) -> bool:
    """Whether a tensor is worth it: weights, not biases or statistics."""
    return tensor.is_floating_point() and tensor.ndim >= 2 and tensor.numel() >= SMALLEST


def compress(
    tensors: Mapping[str, Tensor], compression: Compression
) -> tuple[dict[str, Tensor], str]:
    """Make the parts of a compressed file.

    Args:
        tensors: By name, on the CPU.
        compression: How.

    Returns:
        The parts by name, and the text of the header's field.

    Raises:
        WeightsError: A tensor holds a number that is not finite.
    """
    parts: dict[str, Tensor] = {}
    kept: dict[str, _Kept] = {}
    for name, tensor in tensors.items():
        if is_compressible(tensor):
            kept[name] = _write(name, tensor, compression, parts)
        else:
            parts[name] = tensor
    described = {name: asdict(one) for name, one in kept.items()}
    text = json.dumps({"version": _VERSION, "tensors": described}, separators=(",", ":"))
    return parts, text


def expand(
    parts: Mapping[str, Tensor], metadata: Mapping[str, str], origin: str
) -> dict[str, Tensor]:
    """The tensors of a file, whether or not it is compressed.

    Args:
        parts: What the file holds.
        metadata: Its header's text fields.
        origin: The file's name, for errors.

    Raises:
        WeightsError: It is compressed in a way that this version does not know, or damaged.
    """
    if (text := metadata.get(METADATA_KEY)) is None:
        return dict(parts)
    left = dict(parts)
    try:
        kept = _understood(text)
        tensors = {name: _read(name, one, left) for name, one in kept.items()}
    except WeightsError as error:
        raise WeightsError(f"{origin}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{origin}: a compressed tensor is cut off or damaged") from error
    return left | tensors


def _write(name: str, tensor: Tensor, compression: Compression, parts: dict[str, Tensor]) -> _Kept:
    """Put one tensor's parts among the others."""
    numbers = tensor.detach().cpu().float().numpy().astype(np.float64)
    if not np.isfinite(numbers).all():
        raise WeightsError(f"{name} holds numbers that are not finite; nothing was written")
    coded = Method.HUFFMAN in compression.methods
    shared = Method.QUANTIZE in compression.methods
    rows = numbers.reshape(len(numbers), -1)
    scale = np.sqrt((rows**2).mean(1, keepdims=True)).astype(np.float32).astype(np.float64)
    scale[scale == 0] = 1.0
    flat = (rows / scale).reshape(-1)
    gaps: int | None = None
    if Method.PRUNE in compression.methods:
        left_out = min(round(len(flat) * compression.sparsity), len(flat) - 1)  # one stays
        present = np.sort(np.argsort(np.abs(flat), kind="stable")[left_out:])
        between = np.diff(present, prepend=-1) - 1
        # Zeros at the end are written as well: by what is written a reader bounds what it makes.
        behind = np.full((len(flat) - 1 - present[-1]) // _LONGEST_GAP, _LONGEST_GAP, np.int64)
        symbols = np.concatenate([_gaps(between), behind])
        gaps = len(symbols)
        _put(parts, f"{name}/gaps", symbols, _LONGEST_GAP + 1, coded=coded)
        flat = flat[present]
    if shared:
        values, codes = share(flat, 2**compression.bits)
        parts[f"{name}/values"] = torch.from_numpy(values.astype(np.float32))
        parts[f"{name}/scale"] = torch.from_numpy(scale[:, 0].astype(np.float32))
        _put(parts, f"{name}/codes", codes, len(values), coded=coded)
    else:
        raw = numbers.reshape(-1)[present]
        parts[f"{name}/values"] = torch.from_numpy(raw.astype(np.float32))
    return _Kept(shape=tuple(tensor.shape), numbers=len(flat), gaps=gaps, shared=shared)


def _read(name: str, kept: _Kept, left: dict[str, Tensor]) -> Tensor:
    """One tensor out of its parts, which are taken away."""
    size = math.prod(kept.shape)
    places: NDArray[np.int64] | None = None
    if kept.gaps is not None:
        if size > (_LONGEST_GAP + 1) * (kept.gaps + 1):
            raise WeightsError("a compressed tensor is larger than what is written of it")
        places = _places(_take(left, f"{name}/gaps", kept.gaps))
        if len(places) != kept.numbers or (len(places) and places[-1] >= size):
            raise WeightsError("a compressed tensor's gaps are damaged")
    elif kept.numbers != size:
        raise WeightsError("a compressed tensor is not of its size")
    values = left.pop(f"{name}/values").numpy().astype(np.float32)
    if kept.shared:
        written = values[_take(left, f"{name}/codes", kept.numbers)]
    elif len(values) == kept.numbers:
        written = values
    else:
        raise WeightsError("a compressed tensor is not of its size")
    flat = written
    if places is not None:
        flat = np.zeros(size, np.float32)
        flat[places] = written
    if kept.shared:
        scale = left.pop(f"{name}/scale").numpy().astype(np.float32)
        if scale.shape != kept.shape[:1]:
            raise WeightsError("a compressed tensor is not of its size")
        flat = (flat.reshape(kept.shape[0], -1) * scale[:, None]).reshape(-1)
    return torch.from_numpy(flat.reshape(kept.shape).copy())


def _gaps(between: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zeros before each number, as symbols: so many times the longest gap, and what remains."""
    fillers = between // _LONGEST_GAP
    ends = np.cumsum(fillers + 1)
    symbols = np.full(int(ends[-1]) if len(ends) else 0, _LONGEST_GAP, np.int64)
    symbols[ends - 1] = between % _LONGEST_GAP
    return symbols


def _places(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the numbers stand that are no zeros."""
    numbers = symbols != _LONGEST_GAP
    return np.asarray((np.cumsum(symbols + numbers) - 1)[numbers], np.int64)


def _put(
    parts: dict[str, Tensor], name: str, symbols: NDArray[np.int64], count: int, *, coded: bool
) -> None:
    lengths = code_lengths(np.bincount(symbols, minlength=count)) if coded else fixed_lengths(count)
    stream = encode(symbols, lengths)
    parts[name] = torch.from_numpy(stream.bits)
    parts[f"{name}.lengths"] = torch.from_numpy(stream.lengths)
    parts[f"{name}.starts"] = torch.from_numpy(stream.starts.astype(np.int32))


def _take(left: dict[str, Tensor], name: str, count: int) -> NDArray[np.int64]:
    bits, lengths, starts = (
        left.pop(f"{name}{end}").numpy() for end in ("", ".lengths", ".starts")
    )
    if bits.dtype != np.uint8 or lengths.dtype != np.uint8 or bits.ndim != 1 or lengths.ndim != 1:
        raise WeightsError("a compressed tensor's codes are damaged")
    return decode(Stream(bits, lengths, starts, count))


def _understood(text: str) -> dict[str, _Kept]:
    """What the header says of each tensor, checked by type and range."""
    said = json.loads(text)
    if said["version"] != _VERSION:
        raise WeightsError("it is compressed in a way that this version does not know: upgrade")
    return {str(name): _kept(one) for name, one in said["tensors"].items()}


def _kept(said: Mapping[str, Any]) -> _Kept:
    shape = tuple(said["shape"])
    counts = [*shape, said["numbers"], *([] if said["gaps"] is None else [said["gaps"]])]
    if len(shape) < 2 or not all(type(one) is int and 0 <= one < 2**40 for one in counts):
        raise WeightsError("a compressed tensor's shape is damaged")
    return _Kept(
        shape=shape, numbers=said["numbers"], gaps=said["gaps"], shared=said["shared"] is True
    )
