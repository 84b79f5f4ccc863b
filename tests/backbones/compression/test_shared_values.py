"""Shared values against Lloyd's algorithm by all distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.compression.shared_values import share


def slow(numbers: np.ndarray, count: int) -> np.ndarray:
    values = np.unique(np.linspace(numbers.min(), numbers.max(), count))
    for _ in range(200):
        nearest = np.abs(numbers[:, None] - values[None]).argmin(1)
        new = np.array([numbers[nearest == k].mean() for k in range(len(values)) if k in nearest])
        if len(new) == len(values) and np.allclose(new, values, rtol=0, atol=1e-15):
            break
        values = new
    return values


@pytest.mark.parametrize("seed", range(5))
def test_the_values_are_lloyds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(400) * rng.choice([0.1, 1, 3], 400)
    values, codes = share(numbers, 12)
    assert np.allclose(values, slow(numbers, 12), atol=1e-12)
    assert np.array_equal(codes, np.abs(numbers[:, None] - values[None]).argmin(1))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 20))
def test_each_number_takes_the_nearest_of_few_values(numbers: list[float], count: int) -> None:
    given_, (values, codes) = np.array(numbers), share(np.array(numbers), count)
    assert 1 <= len(values) <= count
    assert np.all(np.diff(values) > 0)
    off = np.abs(given_ - values[codes])
    assert np.all(off <= np.abs(given_[:, None] - values[None]).min(1) + 1e-9)


def test_no_more_values_than_numbers_means_no_error() -> None:
    numbers = np.array([3.0, -1.0, 3.0, 0.5, 0.0])
    values, codes = share(np.repeat(numbers, 10), 256)
    assert np.array_equal(values[codes], np.repeat(numbers, 10))
    values, codes = share(np.full(7, 2.5), 4)
    assert values.tolist() == [2.5]
    assert set(codes) == {0}
