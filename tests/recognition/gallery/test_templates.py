import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import GalleryError
from recognition.gallery.templates import EmbeddingModel, from_blob, to_blob, unit_vectors


def unit(dimension: int = 8, seed: int = 0) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@given(dimension=st.integers(1, 600), seed=st.integers(0, 1000))
def test_a_blob_is_little_endian_float32_and_comes_back_exactly(dimension: int, seed: int) -> None:
    vector = unit(dimension, seed)
    blob = to_blob(vector, dimension)
    assert blob == struct.pack(f"<{dimension}f", *vector.tolist())
    np.testing.assert_array_equal(from_blob(blob, dimension)[0], vector)


BAD_VECTORS = {
    "nan": np.full(8, np.nan, np.float32),
    "one nan": np.r_[unit(8)[:7], np.float32(np.nan)].astype(np.float32),
    "infinite": np.full(8, np.inf, np.float32),
    "overflows float32": np.full(8, 1e300),
    "its square overflows": np.full(8, 1e30, np.float32),
    "zero": np.zeros(8, np.float32),
    "too long": 1.01 * unit(8),
    "too short": 0.99 * unit(8),
    "other dimension": unit(9),
    "none at all": np.zeros(0, np.float32),
    "integers": np.array([1, 0, 0, 0, 0, 0, 0, 0]),
    "two dimensions": unit(8)[np.newaxis],
    "a scalar": np.float32(1)[()],
    "complex": unit(8).astype(np.complex64),
}


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_what_is_no_unit_vector_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(GalleryError) as caught:
        to_blob(np.asarray(vector), 8)
    assert "\n" not in str(caught.value)


def test_it_is_refused_under_python_o_too() -> None:
    code = (
        "import numpy as np\n"
        "from data.errors import GalleryError\n"
        "from recognition.gallery.templates import to_blob\n"
        "for bad in (np.full(8, np.nan), np.zeros(8), np.ones(9) / 3):\n"
        "    try:\n"
        "        to_blob(bad, 8)\n"
        "    except GalleryError:\n"
        "        print('refused')\n"
    )
    run = [sys.executable, "-O", "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "refused\n" * 3


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_blob_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(GalleryError, match=f"{length} bytes, expected 32"):
        from_blob(bytes(length), 8)


def test_many_are_checked_at_once() -> None:
    rows = np.stack([unit(8, seed) for seed in range(5)])
    np.testing.assert_array_equal(unit_vectors(rows.astype(np.float64), 8), rows)
    assert unit_vectors(np.empty((0, 8), np.float32), 8).shape == (0, 8)
    rows[3] *= 2
    with pytest.raises(GalleryError, match="length 2, expected 1"):
        unit_vectors(rows, 8)


def test_where_the_weights_were_does_not_make_another_model() -> None:
    here = EmbeddingModel("net", "cd" * 32, 128, "/here/net.safetensors")
    there = EmbeddingModel("net", "cd" * 32, 128, "/there/net.safetensors")
    assert here == there
    assert here != EmbeddingModel("net", "ce" * 32, 128, "/here/net.safetensors")
    assert str(here) == "net (weights cdcdcdcdcdcd, 128 numbers)"
