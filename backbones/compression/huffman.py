"""Huffman codes: symbols in as many bits as their frequency asks for (D. Huffman, 1952).

Codes are canonical: their lengths alone say what they are. No code is longer than `LONGEST` bits,
by package-merge (L. Larmore and D. Hirschberg, 1990), so a table of all 2**LONGEST beginnings
decodes a symbol in one step. A stream is cut into blocks of so many symbols, whose beginnings are
kept: all blocks are decoded side by side, a symbol of each at a time, which NumPy does quickly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import WeightsError

LONGEST = 12
"""Bits of the longest code."""

BLOCK = 256
"""Symbols between two places at which decoding can begin."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stream:
    """Symbols in codes.

    Attributes:
        bits: The codes one after the other, each from its highest bit, (bytes,) uint8.
        lengths: How many bits the code of each symbol has, (symbols,) uint8; 0 where it never
            occurs.
        starts: The bit at which each block begins, (blocks,) int64.
        count: How many symbols there are.
    """

    bits: Bytes
    lengths: Bytes
    starts: NDArray[np.int64]
    count: int


def code_lengths(counts: NDArray[np.int64]) -> Bytes:
    """How many bits each symbol's code has, so that all of them together are as short as can be.

    Args:
        counts: How often each symbol occurs, (symbols,); at most 2**LONGEST of them occur.

    Returns:
        (symbols,) uint8, 0 where a symbol never occurs. One alone has a code of one bit.
    """
    used = np.flatnonzero(counts)
    lengths = np.zeros(len(counts), np.uint8)
    if len(used) == 1:
        lengths[used] = 1
    if len(used) < 2:
        return lengths
    # Package-merge: of coins of each width 2**-1 … 2**-LONGEST, one a symbol, the cheapest that
    # make up len(used) - 1; a symbol's code is as long as its coins are many.
    coins: list[tuple[int, tuple[int, ...]]] = sorted(
        (int(counts[symbol]), (int(symbol),)) for symbol in used
    )
    packages = coins
    for _ in range(LONGEST - 1):
        paired = [
            (one[0] + other[0], one[1] + other[1])
            for one, other in zip(packages[::2], packages[1::2], strict=False)
        ]
        packages = sorted(coins + paired)
    for _, symbols in packages[: 2 * len(used) - 2]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


def fixed_lengths(symbols: int) -> Bytes:
    """The same length for each of so many symbols: what plain packing of bits is."""
    return np.full(symbols, max(1, (symbols - 1).bit_length()), np.uint8)


def encode(symbols: NDArray[np.integer], lengths: Bytes) -> Stream:
    """Write symbols by codes of given lengths.

    Args:
        symbols: (count,), each below len(lengths) and of a length above 0.
        lengths: From `code_lengths`, or `fixed_lengths`.
    """
    codes = _codes(lengths)
    widths = lengths[symbols].astype(np.int64)
    ends = np.cumsum(widths)
    total = int(ends[-1]) if len(ends) else 0
    bits = np.zeros(total, np.uint8)
    for place in range(LONGEST):  # the place-th bit of every code that is long enough
        long = np.flatnonzero(widths > place)
        at = ends[long] - widths[long] + place
        shift = widths[long] - 1 - place
        bits[at] = (codes[symbols[long]] >> shift) & 1
    starts = (ends - widths)[::BLOCK] if len(ends) else np.zeros(0, np.int64)
    return Stream(np.packbits(bits), lengths, starts, len(symbols))


def decode(stream: Stream) -> NDArray[np.int64]:
    """Read symbols back.

    Returns:
        (count,), exactly what was written.

    Raises:
        WeightsError: The lengths are those of no code, or a block does not end where the next one
            begins.
    """
    size = 8 * len(stream.bits)
    blocks = -(-stream.count // BLOCK)
    starts = stream.starts.astype(np.int64)
    if (
        not 0 <= stream.count <= size
        or len(starts) != blocks
        or (blocks and (starts.min() < 0 or starts.max() >= size))
    ):
        raise WeightsError("a compressed tensor's codes are cut off or damaged")
    if stream.count == 0:
        return np.zeros(0, np.int64)
    table = _table(stream.lengths)
    bits = np.concatenate([stream.bits, np.zeros(8, np.uint8)]).astype(np.uint32)
    window = (bits[:-3] << 24) | (bits[1:-2] << 16) | (bits[2:-1] << 8) | bits[3:]
    found = np.empty((BLOCK, blocks), np.uint16)
    position = starts.astype(np.uint32)
    last = stream.count - BLOCK * (blocks - 1)  # symbols in the last block
    end = 0
    for step in range(BLOCK):
        if step == last:
            end = int(position[-1])
        beginning = window.take(position >> 3, mode="clip")  # what is damaged may run over the end
        beginning <<= position & 7
        beginning >>= 32 - LONGEST
        entry = table.take(beginning)
        found[step] = entry >> 4
        position += entry & 15
    end = int(position[-1]) if last == BLOCK else end
    if not np.array_equal(position[:-1], starts[1:]) or not 0 <= size - end < 8:
        raise WeightsError("a compressed tensor's codes are damaged")
    return found.T.reshape(-1)[: stream.count].astype(np.int64)


def _codes(lengths: Bytes) -> NDArray[np.uint32]:
    """The canonical code of each symbol: by length, then by symbol, one after the other."""
    codes = np.zeros(len(lengths), np.uint32)
    code = last = 0
    for symbol in np.lexsort((np.arange(len(lengths)), lengths)):
        if (length := int(lengths[symbol])) == 0:
            continue
        code <<= length - last
        codes[symbol] = code
        code, last = code + 1, length
    return codes


def _table(lengths: Bytes) -> NDArray[np.uint32]:
    """By the next LONGEST bits: the symbol that they begin with, times 16, and its length."""
    used = np.flatnonzero(lengths)
    room = sum(2.0 ** -int(length) for length in lengths[used])
    if not len(used) or lengths.max() > LONGEST or room > 1:
        raise WeightsError("a compressed tensor's code lengths are damaged")
    table = np.zeros(1 << LONGEST, np.uint32)
    codes = _codes(lengths)
    for symbol in used:
        free = LONGEST - int(lengths[symbol])
        first = int(codes[symbol]) << free
        table[first : first + (1 << free)] = symbol << 4 | int(lengths[symbol])
    return table
