"""Forms of tensors against closed forms, slow oracles and the tensor itself."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from backbones.compression.file import (
    METADATA_KEY,
    Compression,
    Method,
    compress,
    expand,
    represent,
    write_forms,
)
from backbones.compression.forms import (
    Form,
    default_length,
    detached,
    hashed_form,
    hashed_places,
    low_rank_form,
    product_form,
    vector_means,
)
from data.errors import ArgumentError, WeightsError

SHAPES = [(16, 8, 3, 3), (7, 331), (64, 1, 5, 5), (5, 300, 1, 1), (300, 5)]
METHODS = (Method.PRUNE, Method.QUANTIZE, Method.SVD, Method.PQ, Method.HASH)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 3, 5, 1000])
def test_what_a_rank_leaves_out_are_its_singular_values(shape: tuple[int, ...], rank: int) -> None:
    tensor = drawn(*shape)
    form = low_rank_form(tensor, rank=rank)
    sizes = np.linalg.svd(tensor.reshape(shape[0], -1).double().numpy(), compute_uv=False)
    missing = float((tensor.double() - form.tensor().double()).square().sum())
    assert missing == pytest.approx(float((sizes[rank:] ** 2).sum()), rel=1e-4, abs=1e-8)
    if rank >= len(sizes):  # full rank is the original
        assert torch.allclose(form.tensor(), tensor, atol=1e-5)
        assert form.left.shape[1] == len(sizes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("energy", [0.01, 0.5, 0.9, 0.999, 1.0])
def test_energy_is_kept_by_no_rank_below(shape: tuple[int, ...], energy: float) -> None:
    tensor = drawn(*shape, seed=1)
    form = low_rank_form(tensor, energy=energy)
    whole = float(tensor.double().square().sum())
    assert float(form.tensor().double().square().sum()) >= energy * whole * (1 - 1e-5)
    if (rank := form.left.shape[1]) > 1:
        less = low_rank_form(tensor, rank=rank - 1).tensor().double().square().sum()
        assert float(less) < energy * whole


def test_matrices_of_low_rank_are_found_out() -> None:
    tensor = drawn(40, 3) @ drawn(3, 90)
    form = low_rank_form(tensor, energy=1 - 1e-9)
    assert form.left.shape[1] == 3
    assert torch.allclose(form.tensor(), tensor, atol=1e-4)
    zero = low_rank_form(torch.zeros(30, 40), energy=0.9)
    assert zero.left.shape[1] == 1
    assert not zero.tensor().any()


def slow_means(vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    off = ((vectors[:, None] - means[None]) ** 2).sum(2)
    return off.min(1)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_vectors_take_the_nearest_mean_and_means_are_means(count: int) -> None:
    vectors = torch.cat([drawn(60, 4, seed=s).double() + 4 * s for s in range(3)])
    means, codes = vector_means(vectors, count)
    assert len(means) == count
    off = (vectors - means[codes]).square().sum(1).numpy()
    assert np.allclose(off, slow_means(vectors.numpy(), means.numpy()))
    for k in range(count):
        assert torch.allclose(means[k], vectors[codes == k].mean(0), atol=1e-9)
    if count == 1:
        assert torch.allclose(means[0], vectors.mean(0))


def test_more_centroids_come_nearer() -> None:
    tensor = drawn(32, 16, 3, 3, seed=2)
    errors = [
        float((product_form(tensor, centroids=k).tensor() - tensor).norm())
        for k in (1, 4, 16, 64, 256)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [None, 1, 2, 7])
def test_as_many_centroids_as_runs_are_the_tensor_itself(
    shape: tuple[int, ...], length: int | None
) -> None:
    tensor = drawn(*shape, seed=3) * torch.logspace(-6, 3, shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    tensor[1] = 0
    form = product_form(tensor, centroids=tensor.numel(), length=length)
    assert torch.equal(form.tensor(), tensor)
    assert form.codebook.shape[1] == (length or default_length(shape))


def test_equal_runs_need_one_centroid() -> None:
    tensor = torch.full((20, 30), 0.75)
    form = product_form(tensor, centroids=256, length=5)
    assert form.codebook.shape == (1, 5)
    assert torch.equal(form.tensor(), tensor)


@given(st.integers(1, 400), st.integers(1, 500), st.integers(0, 2**31 - 1))
def test_a_hash_is_a_place_and_a_sign_and_always_the_same(
    weights: int, buckets: int, seed: int
) -> None:
    places, signs = hashed_places(weights, buckets, seed)
    again = hashed_places(weights, buckets, seed)
    assert torch.equal(places, again[0])
    assert torch.equal(signs, again[1])
    assert 0 <= int(places.min()) <= int(places.max()) < buckets
    assert set(signs.tolist()) <= {1.0, -1.0}
    if buckets >= weights:  # each weight its own
        assert places.tolist() == list(range(weights))
        assert signs.min() == 1


def test_hashing_in_blocks_is_hashing_key_by_key() -> None:
    """Against SplitMix64 in Python's integers, on either side of a block's edge."""
    weights, buckets, seed, edge = 2**21 + 9, 2500, 77, 2**20
    places, signs = hashed_places(weights, buckets, seed)
    for key in (0, 1, edge - 1, edge, edge + 1, 2 * edge - 1, 2 * edge, weights - 1):
        z = (key + (seed << 32) + 1) * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        assert int(places[key]) == (z >> 1) % buckets
        assert float(signs[key]) == 1 - 2 * (z & 1)


def test_a_hash_spreads_evenly_and_seeds_differ() -> None:
    places, signs = hashed_places(64_000, 64, 0)
    counts = np.bincount(places.numpy(), minlength=64)
    chi_squared = float(((counts - 1000) ** 2 / 1000).sum())  # 63 degrees of freedom
    assert 30 < chi_squared < 110
    assert abs(float(signs.mean())) < 0.02
    assert abs(float((signs * (places % 2 * 2 - 1)).mean())) < 0.02  # signs know nothing of places
    assert float((hashed_places(64_000, 64, 1)[0] == places).float().mean()) < 0.03


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bucket_is_the_mean_of_its_weights_with_their_signs_undone(
    shape: tuple[int, ...],
) -> None:
    tensor = drawn(*shape, seed=4)
    form = hashed_form(tensor, buckets=50, seed=9)
    flat = tensor.reshape(-1).double()
    for k in range(50):
        own = form.places == k
        assert own.any()
        assert float(form.buckets[k]) == pytest.approx(
            float((flat[own] * form.signs[own]).mean()), abs=1e-6
        )
    for buckets in (tensor.numel(), tensor.numel() + 5):
        assert torch.equal(hashed_form(tensor, buckets=buckets, seed=9).tensor(), tensor)


def some_tensors() -> dict[str, Tensor]:
    tensors = {f"{number}.weight": drawn(*shape) for number, shape in enumerate(SHAPES)}
    return tensors | {"bias": drawn(16), "count": torch.tensor(3), "small.weight": drawn(3, 3)}


def chosen(method: Method) -> Compression:
    return Compression(
        methods=frozenset({method}), bits=4, energy=0.5, centroids=16, ratio=0.2, seed=5
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_file_holds_the_very_tensor_that_its_form_computes(method: Method) -> None:
    tensors, how = some_tensors(), chosen(method)
    forms = represent(tensors, how)
    parts, text = write_forms(tensors, forms, how)
    back = expand(parts, {METADATA_KEY: text}, "a file")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        wanted = forms[name].tensor() if name in forms else tensor
        assert torch.equal(back[name], wanted)
        assert back[name].shape == tensor.shape
    written = sum(part.numel() * part.element_size() for part in parts.values())
    assert written < 0.8 * sum(t.numel() * t.element_size() for t in tensors.values())


@pytest.mark.parametrize("method", METHODS)
def test_a_shared_number_moves_by_the_sum_of_its_weights_gradients(method: Method) -> None:
    tensor = drawn(16, 80, seed=6)
    form: Form = represent({"a": tensor}, chosen(method))["a"]
    parts = detached(form)
    pull = drawn(16, 80, seed=7)
    (form.with_numbers(parts).tensor() * pull).sum().backward()
    for number, part in enumerate(parts):
        assert part.grad is not None
        for at in range(0, part.numel(), max(1, part.numel() // 7)):  # by differences
            moved = [other.detach().clone() for other in parts]
            moved[number].view(-1)[at] += 0.5
            change = (form.with_numbers(moved).tensor() - form.tensor()) * pull
            assert float(part.grad.view(-1)[at]) == pytest.approx(
                float(change.sum()) / 0.5, rel=2e-3, abs=2e-3
            )


def test_where_nothing_becomes_smaller_that_is_said() -> None:
    tensors = {"a.weight": drawn(40, 40)}
    for asked in (
        {"methods": {Method.SVD}, "energy": 1.0},
        {"methods": {Method.SVD}, "rank": 20},
        {"methods": {Method.HASH}, "ratio": 1.0},
        {"methods": {Method.PQ}, "centroids": 4096, "length": 1},
    ):
        with pytest.raises(ArgumentError, match="no tensor smaller"):
            compress(tensors, Compression(**{**asked, "methods": frozenset(asked["methods"])}))
    parts, _ = compress({"bias": drawn(4)}, chosen(Method.HASH))  # nothing to do is no mistake
    assert parts.keys() == {"bias"}


def test_a_header_that_describes_more_than_memory_holds_is_refused() -> None:
    parts = {"a/buckets": torch.ones(1), "b/left": torch.ones(2**20, 1)}
    parts |= {"b/right": torch.ones(1, 2**20)}
    for described in (
        {"a": {"form": "hashed", "shape": [2**20, 2**20], "numbers": 1, "seed": 0}},
        {"b": {"form": "low_rank", "shape": [2**20, 2**20]}},
    ):
        text = json.dumps({"version": 2, "tensors": described})
        with pytest.raises(WeightsError, match="larger than any network"):
            expand(parts, {METADATA_KEY: text}, "a file")
    text = json.dumps({"version": 2, "tensors": {"a": {"form": "knots", "shape": [2, 2]}}})
    with pytest.raises(WeightsError, match="upgrade"):
        expand(parts, {METADATA_KEY: text}, "a file")
