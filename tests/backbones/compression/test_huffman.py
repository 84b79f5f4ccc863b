"""Huffman codes against a heap, a reader bit by bit, and the bound of Shannon."""

import heapq
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.compression.huffman import (
    BLOCK,
    LONGEST,
    Stream,
    code_lengths,
    decode,
    encode,
    fixed_lengths,
)
from data.errors import WeightsError


def cost_by_a_heap(counts: list[int]) -> int:
    """Bits of all symbols by Huffman's own construction: the sum of what is joined."""
    ticket = count()
    heap = [(each, next(ticket)) for each in counts if each]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap)[0] + heapq.heappop(heap)[0]
        total += joined
        heapq.heappush(heap, (joined, next(ticket)))
    return total


def read_bit_by_bit(stream: Stream) -> list[int]:
    """The slow way: canonical codes in a dictionary, a bit at a time."""
    codes: dict[str, int] = {}
    code = last = 0
    for length, symbol in sorted((int(n), s) for s, n in enumerate(stream.lengths) if n):
        code <<= length - last
        codes[f"{code:0{length}b}"] = symbol
        code, last = code + 1, length
    bits = iter("".join(f"{byte:08b}" for byte in stream.bits))
    found: list[int] = []
    while len(found) < stream.count:
        word = next(bits)
        while word not in codes:
            word += next(bits)
        found.append(codes[word])
    return found


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
def test_codes_are_as_short_as_a_heaps(counts: list[int]) -> None:
    lengths = code_lengths(np.array(counts))
    assert [bool(length) for length in lengths] == [each > 0 for each in counts]
    if sum(each > 0 for each in counts) > 1:
        spent = sum(each * int(length) for each, length in zip(counts, lengths, strict=True))
        assert spent == cost_by_a_heap(counts)
        assert sum(2.0 ** -int(length) for length in lengths if length) == 1


def test_no_code_is_too_long_however_rare_a_symbol_is() -> None:
    """Fibonacci's numbers make the deepest tree that there is."""
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(sum(fibonacci[-2:]))
    lengths = code_lengths(np.array(fibonacci))
    assert max(lengths) == LONGEST
    assert sum(2.0 ** -int(length) for length in lengths) <= 1
    assert all(a >= b for a, b in pairwise(lengths))


@pytest.mark.parametrize("size", [0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3])
@pytest.mark.parametrize("symbols", [1, 2, 3, 64, 256])
def test_what_is_read_is_what_was_written(size: int, symbols: int) -> None:
    rng = np.random.default_rng(size * 1000 + symbols)
    written = np.minimum(rng.geometric(0.2, size) - 1, symbols - 1)
    for lengths in (
        code_lengths(np.bincount(written, minlength=symbols)),
        fixed_lengths(symbols),
    ):
        stream = encode(written, lengths)
        assert np.array_equal(decode(stream), written)
        assert read_bit_by_bit(stream) == written.tolist()


def test_a_stream_is_about_as_long_as_its_entropy() -> None:
    rng = np.random.default_rng(1)
    written = np.clip(np.round(rng.normal(32, 6, 50_000)), 0, 63).astype(np.int64)
    counts = np.bincount(written, minlength=64)
    shares = counts[counts > 0] / len(written)
    entropy = -(shares * np.log2(shares)).sum()
    bits = 8 * len(encode(written, code_lengths(counts)).bits) / len(written)
    assert entropy <= bits <= entropy + 0.1


def damaged(stream: Stream) -> list[Stream]:
    lengths = stream.lengths.copy()
    lengths[0] = 1
    return [
        replace(stream, bits=stream.bits[: len(stream.bits) // 9]),
        replace(stream, count=8 * len(stream.bits) + 1),
        replace(stream, count=-1),
        replace(stream, starts=stream.starts[:-1]),
        replace(stream, starts=stream.starts + 8 * len(stream.bits)),
        replace(stream, starts=stream.starts - 1),
        replace(stream, lengths=lengths),
        replace(stream, lengths=np.zeros_like(stream.lengths)),
        replace(stream, lengths=np.full_like(stream.lengths, 200)),
    ]


def test_what_is_no_stream_is_refused_and_nothing_is_read_beyond_it() -> None:
    rng = np.random.default_rng(2)
    written = np.minimum(rng.geometric(0.3, 3 * BLOCK) - 1, 15)
    stream = encode(written, code_lengths(np.bincount(written)))
    for each in damaged(stream):
        with pytest.raises(WeightsError, match="damaged"):
            decode(each)
    for _ in range(20):  # blocks of other bits end elsewhere
        bits = rng.integers(0, 256, len(stream.bits)).astype(np.uint8)
        with pytest.raises(WeightsError, match="damaged"):
            decode(replace(stream, bits=bits))
