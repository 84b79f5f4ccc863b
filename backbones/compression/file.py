"""Tensors to what a compressed file holds, and back to the same tensors.

A tensor that is worth it (weights of at least two axes and `SMALLEST` numbers) is kept in parts
whose names follow its own: `name/codes`, the index of each number's shared value; `name/values`,
these; `name/scale`, what the numbers of each output are multiplied by; where it is sparse,
`name/gaps`, how many zeros stand before each number that is none. Codes and gaps are streams of
bits (`huffman`), with the lengths of the codes and the blocks' beginnings beside them. Other forms
(`forms`) have other parts: `name/left` and `name/right`; `name/codebook`, `name/codes` and
`name/scale`; `name/buckets`. What each tensor is, its shape above all, stands in the header's field
`compression`, as JSON.
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

from .forms import (
    MOST_SHARING,
    Form,
    HashedForm,
    IntegerForm,
    LowRankForm,
    ProductForm,
    ValueForm,
    default_length,
    hashed_form,
    hashed_places,
    low_rank_form,
    product_form,
)
from .huffman import LONGEST, Stream, code_lengths, decode, encode, fixed_lengths
from .integers import integer_form
from .shared_values import share

METADATA_KEY = "compression"
"""The header's field that says how a file is compressed."""

SMALLEST = 1024
"""Numbers below which a tensor is kept as it is."""

MOST_BITS = 8
_LONGEST_GAP = 255  # stands for so many zeros and no number behind them
_VERSION = 1
_VERSION_WITH_FORMS = 2
"""Of a file with other forms than values, which older readers do not know."""
MOST_CENTROIDS = 1 << LONGEST
_MOST_NUMBERS = 1 << 28
"""In all tensors that a header describes: a few bytes could stand for any size."""

_SIGNS_OF_DAMAGE = (
    LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, MemoryError
)  # fmt: skip
"""What reading a file raises where its parts and their description do not go together."""


class Method(StrEnum):
    """One of the ways by which a file becomes smaller; `Compression` says which go together."""

    PRUNE = "prune"
    QUANTIZE = "quantize"
    HUFFMAN = "huffman"
    SVD = "svd"
    PQ = "pq"
    HASH = "hash"
    INT8 = "int8"


_VALUES = frozenset({Method.PRUNE, Method.QUANTIZE})
_CODED = _VALUES | {Method.PQ}
"""What writes codes, which may be Huffman's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How weights are to be compressed.

    Attributes:
        methods: What is done. `prune` leaves out the smallest weights of each tensor, `quantize`
            lets weights share 2**bits values a tensor; both may be taken together. `svd` makes each
            tensor a product of two narrow matrices, `pq` replaces runs of weights by vectors of a
            codebook, `hash` lets weights share numbers by a hash of their places; each is taken
            alone. `int8`, alone too, has integers of eight bits for weights and for what flows into
            their layers. `huffman` writes indices and gaps by their frequency.
        bits: Of an index into the shared values, 1 … 8.
        sparsity: The part of each tensor that is pruned, 0 … 1 exclusive.
        energy: The part of a tensor's sum of squares that `svd` keeps at least, above 0 … 1.
        rank: Of the products of `svd`, in the place of `energy`; None: energy says it.
        centroids: Vectors in a codebook of `pq`, 1 … 4096.
        length: Weights that a vector of `pq` stands for; None: a filter's plane, or 4.
        ratio: Numbers of `hash` for each weight, 1/1024 … 1.
        seed: Of the hash, and of the vectors that `pq` begins with, 0 … 2**31 - 1.

    Raises:
        ArgumentError: A number is out of its range, there is nothing to do, or the methods do not
            go together.
    """

    methods: frozenset[Method]
    bits: int = 6
    sparsity: float = 0.5
    energy: float = 0.9
    rank: int | None = None
    centroids: int = 256
    length: int | None = None
    ratio: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        ways = sorted(self.methods - {Method.HUFFMAN})
        if not ways:
            raise ArgumentError(
                f"nothing to compress by: name {', '.join(_but_huffman())} among the methods"
            )
        if len(ways) > 1 and not self.methods <= _VALUES | {Method.HUFFMAN}:
            raise ArgumentError(
                f"{' and '.join(ways)} do not go together: prune and quantize do, the others stand "
                "alone"
            )
        if Method.HUFFMAN in self.methods and not self.methods & _CODED:
            raise ArgumentError(f"{ways[0]} writes no codes that huffman could shorten: leave it")
        if not 1 <= self.bits <= MOST_BITS:
            raise ArgumentError(f"bits is {self.bits}; expected 1 to {MOST_BITS}")
        if not 0 < self.sparsity < 1:
            raise ArgumentError(f"sparsity is {self.sparsity}; expected above 0 and below 1")
        if not 0 < self.energy <= 1:
            raise ArgumentError(f"energy is {self.energy}; expected above 0 and at most 1")
        if not 1 / MOST_SHARING <= self.ratio <= 1:
            raise ArgumentError(f"ratio is {self.ratio}; expected 1/{MOST_SHARING} to 1")
        counts = {"rank": (self.rank, 2**31), "length": (self.length, 4096)}
        counts["centroids"] = (self.centroids, MOST_CENTROIDS)
        for name, (count, most) in counts.items():
            if count is not None and not 1 <= count <= most:
                raise ArgumentError(f"{name} is {count}; expected 1 to {most}")
        if not 0 <= self.seed < 2**31:
            raise ArgumentError(f"seed is {self.seed}; expected 0 to {2**31 - 1}")

    @property
    def is_of_values(self) -> bool:
        """Whether tensors become values at places, and nothing else."""
        return not self.methods - _VALUES - {Method.HUFFMAN}

    def settings(self) -> str:
        """The numbers that its methods go by, for a file's header."""
        by_rank = "energy" if self.rank is None else "rank"
        told = {
            Method.PRUNE: ("sparsity",),
            Method.QUANTIZE: ("bits",),
            Method.SVD: (by_rank,),
            Method.PQ: ("centroids", *([] if self.length is None else ["length"]), "seed"),
            Method.HASH: ("ratio", "seed"),
        }
        names = [
            name for method in Method if method in self.methods for name in told.get(method, ())
        ]
        return ", ".join(f"{name} {getattr(self, name)}" for name in names)


def _but_huffman() -> list[str]:
    return [method for method in Method if method is not Method.HUFFMAN]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """How one tensor is kept by values at places."""

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
        ArgumentError: No tensor becomes smaller that way.
        WeightsError: A tensor holds a number that is not finite.
    """
    return write_forms(tensors, represent(tensors, compression), compression)


def represent(
    tensors: Mapping[str, Tensor],
    compression: Compression,
    ends: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Form]:
    """The forms that tensors take.

    Args:
        tensors: By name, on the CPU.
        compression: How.
        ends: For int8, by name, of what flows into the layers of these weights; the others stay.

    Returns:
        By name; tensors that stay as they are, because they are small or would not become smaller,
        have none.

    Raises:
        ArgumentError: No tensor becomes smaller that way.
        WeightsError: A tensor holds a number that is not finite.
    """
    forms: dict[str, Form] = {}
    worthwhile = 0
    for name, tensor in tensors.items():
        if name in ends if ends is not None else is_compressible(tensor):
            worthwhile += 1
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"{name} holds numbers that are not finite; nothing was written")
            if ends is not None:
                forms[name] = integer_form(tensor.float(), ends[name])
            elif (form := _form(tensor.float(), compression)) is not None:
                forms[name] = form
    if worthwhile and not forms:
        raise ArgumentError(
            f"{', '.join(sorted(compression.methods))} makes no tensor smaller with these numbers: "
            "ask for less, such as a lower energy, rank, ratio or number of centroids"
        )
    return forms


def _form(tensor: Tensor, compression: Compression) -> Form | None:
    """What one tensor becomes; None: it would not become smaller."""
    methods, size = compression.methods, tensor.numel()
    rows, columns = len(tensor), size // len(tensor)
    if Method.SVD in methods:
        energy = compression.energy if compression.rank is None else None
        most = (size - 1) // (rows + columns)
        if compression.rank is not None and compression.rank > most:
            return None
        found = low_rank_form(tensor, energy=energy, rank=compression.rank)
        return found if found.left.shape[1] <= most else None
    if Method.PQ in methods:
        length = compression.length or default_length(tuple(tensor.shape))
        runs = rows * -(-columns // length)
        bits = max(1, (min(compression.centroids, runs) - 1).bit_length())
        if 4 * (min(compression.centroids, runs) * length + rows) + runs * bits / 8 >= 4 * size:
            return None
        return product_form(
            tensor, centroids=compression.centroids, length=length, seed=compression.seed
        )
    if Method.HASH in methods:
        buckets = max(-(-size // MOST_SHARING), round(size * compression.ratio))
        if buckets >= size:
            return None
        return hashed_form(tensor, buckets=buckets, seed=compression.seed)
    return _value_form(tensor, compression)


def _value_form(tensor: Tensor, compression: Compression) -> ValueForm:
    numbers = tensor.numpy().astype(np.float64)
    rows = numbers.reshape(len(numbers), -1)
    scale = np.sqrt((rows**2).mean(1, keepdims=True)).astype(np.float32).astype(np.float64)
    scale[scale == 0] = 1.0
    flat = (rows / scale).reshape(-1)
    present = np.arange(len(flat))
    places: Tensor | None = None
    if Method.PRUNE in compression.methods:
        left_out = min(round(len(flat) * compression.sparsity), len(flat) - 1)  # one stays
        present = np.sort(np.argsort(np.abs(flat), kind="stable")[left_out:])
        places = torch.from_numpy(present)
    shape = tuple(tensor.shape)
    if Method.QUANTIZE not in compression.methods:
        raw = numbers.reshape(-1)[present].astype(np.float32)
        return ValueForm(shape=shape, values=torch.from_numpy(raw), places=places)
    values, codes = share(flat[present], 2**compression.bits)
    return ValueForm(
        shape=shape,
        values=torch.from_numpy(values.astype(np.float32)),
        places=places,
        codes=torch.from_numpy(codes),
        scale=torch.from_numpy(scale[:, 0].astype(np.float32)),
    )


def write_forms(
    tensors: Mapping[str, Tensor], forms: Mapping[str, Form], compression: Compression
) -> tuple[dict[str, Tensor], str]:
    """Make the parts of a file that keeps some tensors in other forms.

    Args:
        tensors: By name, on the CPU; those without a form are written as they are.
        forms: By name.
        compression: Whether codes are Huffman's.

    Returns:
        The parts by name, and the text of the header's field.
    """
    coded = Method.HUFFMAN in compression.methods
    parts = {name: tensor for name, tensor in tensors.items() if name not in forms}
    described = {name: _write(name, form, parts, coded=coded) for name, form in forms.items()}
    other = any("form" in one for one in described.values())
    said = {"version": _VERSION_WITH_FORMS if other else _VERSION, "tensors": described}
    return parts, json.dumps(said, separators=(",", ":"))


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
        said = _understood(text)
        tensors = {name: _read(name, one, left).tensor() for name, one in said.items()}
    except WeightsError as error:
        raise WeightsError(f"{origin}: {error}") from error
    except _SIGNS_OF_DAMAGE as error:
        raise WeightsError(f"{origin}: a compressed tensor is cut off or damaged") from error
    return left | tensors


def _write(name: str, form: Form, parts: dict[str, Tensor], *, coded: bool) -> dict[str, Any]:
    """Put one tensor's parts among the others, and describe them."""
    shape = list(form.shape)
    if isinstance(form, LowRankForm):
        parts[f"{name}/left"], parts[f"{name}/right"] = form.numbers
        return {"form": "low_rank", "shape": shape}
    if isinstance(form, HashedForm):
        parts[f"{name}/buckets"] = form.buckets
        numbers = len(form.buckets)
        return {"form": "hashed", "shape": shape, "numbers": numbers, "seed": form.seed}
    if isinstance(form, IntegerForm):
        parts[f"{name}/integers"], parts[f"{name}/scale"] = form.codes, form.scale
        return {"form": "integers", "shape": shape, "ends": list(form.ends)}
    if isinstance(form, ProductForm):
        parts[f"{name}/codebook"], parts[f"{name}/scale"] = form.codebook, form.scale
        _put(parts, f"{name}/codes", form.codes.numpy(), len(form.codebook), coded=coded)
        return {"form": "product", "shape": shape, "numbers": len(form.codes)}
    assert isinstance(form, ValueForm)
    gaps: int | None = None
    size = math.prod(form.shape)
    if form.places is not None:
        present = form.places.numpy()
        between = np.diff(present, prepend=-1) - 1
        # Zeros at the end are written as well: by what is written a reader bounds what it makes.
        behind = np.full((size - 1 - present[-1]) // _LONGEST_GAP, _LONGEST_GAP, np.int64)
        symbols = np.concatenate([_gaps(between), behind])
        gaps = len(symbols)
        _put(parts, f"{name}/gaps", symbols, _LONGEST_GAP + 1, coded=coded)
    parts[f"{name}/values"] = form.values
    numbers = len(form.values)
    if form.codes is not None and form.scale is not None:
        numbers = len(form.codes)
        parts[f"{name}/scale"] = form.scale
        _put(parts, f"{name}/codes", form.codes.numpy(), len(form.values), coded=coded)
    kept = _Kept(shape=form.shape, numbers=numbers, gaps=gaps, shared=form.codes is not None)
    return asdict(kept)


def _read(name: str, said: Mapping[str, Any], left: dict[str, Tensor]) -> Form:
    """One tensor's form out of its parts, which are taken away."""
    match said.get("form"):
        case None:
            return _read_values(name, _kept(said), left)
        case "low_rank":
            return _read_low_rank(name, _shape(said), left)
        case "product":
            return _read_product(name, _shape(said), said["numbers"], left)
        case "hashed":
            return _read_hashed(name, _shape(said), said, left)
        case "integers":
            return _read_integers(name, _shape(said), _ends(said), left)
    raise WeightsError("it is compressed in a way that this version does not know: upgrade")


def _read_low_rank(name: str, shape: tuple[int, ...], left: dict[str, Tensor]) -> LowRankForm:
    one, other = left.pop(f"{name}/left").float(), left.pop(f"{name}/right").float()
    rank = one.shape[1]
    # Of rank 0, parts without a number would stand for a tensor of any size.
    if (
        rank == 0
        or tuple(one.shape) != (shape[0], rank)
        or tuple(other.shape) != (rank, math.prod(shape[1:]))
    ):
        raise WeightsError("a compressed tensor is not of its size")
    return LowRankForm(shape=shape, left=one, right=other)


def _read_product(
    name: str, shape: tuple[int, ...], numbers: int, left: dict[str, Tensor]
) -> ProductForm:
    codebook, scale = left.pop(f"{name}/codebook").float(), left.pop(f"{name}/scale").float()
    if codebook.ndim != 2 or codebook.shape[1] == 0:
        raise WeightsError("a compressed tensor's codebook is damaged")
    runs = -(-math.prod(shape[1:]) // codebook.shape[1])
    if tuple(scale.shape) != shape[:1] or numbers != shape[0] * runs:
        raise WeightsError("a compressed tensor is not of its size")
    codes = torch.from_numpy(_take(left, f"{name}/codes", numbers))
    if len(codes) and int(codes.max()) >= len(codebook):
        raise WeightsError("a compressed tensor's codes are damaged")
    return ProductForm(shape=shape, codebook=codebook, codes=codes, scale=scale)


def _read_hashed(
    name: str, shape: tuple[int, ...], said: Mapping[str, Any], left: dict[str, Tensor]
) -> HashedForm:
    buckets, seed = left.pop(f"{name}/buckets").float(), said["seed"]
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise WeightsError("a compressed tensor's hash is damaged")
    size = math.prod(shape)
    if not 0 < said["numbers"] < size or tuple(buckets.shape) != (said["numbers"],):
        raise WeightsError("a compressed tensor is not of its size")
    if size > MOST_SHARING * len(buckets):
        raise WeightsError("a compressed tensor is larger than what is written of it")
    places, signs = hashed_places(size, len(buckets), seed)
    return HashedForm(shape=shape, buckets=buckets, seed=seed, places=places, signs=signs)


def _read_integers(
    name: str, shape: tuple[int, ...], ends: tuple[float, float], left: dict[str, Tensor]
) -> IntegerForm:
    codes, scale = left.pop(f"{name}/integers"), left.pop(f"{name}/scale").float()
    if codes.dtype != torch.int8 or tuple(codes.shape) != shape or tuple(scale.shape) != shape[:1]:
        raise WeightsError("a compressed tensor is not of its size")
    return IntegerForm(shape=shape, codes=codes, scale=scale, ends=ends)


def _ends(said: Mapping[str, Any]) -> tuple[float, float]:
    low, high = said["ends"]
    known = all(type(end) in (int, float) and math.isfinite(end) for end in (low, high))
    if not known or not low <= 0 <= high:
        raise WeightsError("what flows into a layer of integers is damaged")
    return float(low), float(high)


def input_ends(metadata: Mapping[str, str], origin: str) -> dict[str, tuple[float, float]]:
    """What flows into the layers that are computed in integers, by the names of their weights.

    Args:
        metadata: The text fields of a file's header.
        origin: The file's name, for errors.

    Raises:
        WeightsError: They are damaged.
    """
    if (text := metadata.get(METADATA_KEY)) is None:
        return {}
    try:
        said = _understood(text)
        return {name: _ends(one) for name, one in said.items() if one.get("form") == "integers"}
    except WeightsError as error:
        raise WeightsError(f"{origin}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{origin}: a compressed tensor is cut off or damaged") from error


def _read_values(name: str, kept: _Kept, left: dict[str, Tensor]) -> ValueForm:
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
    values = left.pop(f"{name}/values").float()
    codes, scale = None, None
    if kept.shared:
        codes = torch.from_numpy(_take(left, f"{name}/codes", kept.numbers))
        scale = left.pop(f"{name}/scale").float()
        if tuple(scale.shape) != kept.shape[:1]:
            raise WeightsError("a compressed tensor is not of its size")
    elif len(values) != kept.numbers:
        raise WeightsError("a compressed tensor is not of its size")
    return ValueForm(
        shape=kept.shape,
        values=values,
        places=None if places is None else torch.from_numpy(places),
        codes=codes,
        scale=scale,
    )


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


def _understood(text: str) -> dict[str, Mapping[str, Any]]:
    """What the header says of each tensor; of all of them together, no more than fits in memory."""
    said = json.loads(text)
    if said["version"] not in (_VERSION, _VERSION_WITH_FORMS):
        raise WeightsError("it is compressed in a way that this version does not know: upgrade")
    tensors: dict[str, Mapping[str, Any]] = {
        str(name): dict(one) for name, one in said["tensors"].items()
    }
    if sum(math.prod(_shape(one)) for one in tensors.values()) > _MOST_NUMBERS:
        raise WeightsError("its compressed tensors are larger than any network here")
    return tensors


def _shape(said: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(said["shape"])
    if len(shape) < 2 or not all(type(side) is int and 0 < side < 2**40 for side in shape):
        raise WeightsError("a compressed tensor's shape is damaged")
    return shape


def _kept(said: Mapping[str, Any]) -> _Kept:
    """The description of values at places, checked by type and range."""
    counts = [said["numbers"], *([] if said["gaps"] is None else [said["gaps"]])]
    if not all(type(one) is int and 0 <= one < 2**40 for one in counts):
        raise WeightsError("a compressed tensor's shape is damaged")
    return _Kept(
        shape=_shape(said),
        numbers=said["numbers"],
        gaps=said["gaps"],
        shared=said["shared"] is True,
    )
