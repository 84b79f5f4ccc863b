"""What a large index is trained on, and how: lists of neighbours, and how a template is coded."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from .index import threads
from .kinds import Kind, Plan, parts_of
from .templates import Embeddings

A_LIST = 40
"""How many templates are looked at for each list."""

_ROUNDS = 10

FEWEST_PEOPLE = 5
"""How many people the middle of a list is of, at least: so it is nobody's own template."""


class Stopped(Exception):  # noqa: N818  # not an error
    """The index is not wanted any more."""


def train(
    plan: Plan, sample: Embeddings, people: npt.NDArray[np.int64], check: Callable[[], None]
) -> Any:
    """Make FAISS's index without any template in it.

    Args:
        plan: Which one; not an exact one.
        sample: (n, D) templates.
        people: (n,) whose they are.
        check: Called now and then; raises `Stopped` where the index is not wanted any more.

    Raises:
        Stopped: As `check` raised it.
    """
    dimension = sample.shape[1]
    middles = _middles(plan.lists, sample, people, check)
    code = f"PQ{parts_of(dimension)}x4fs" if plan.kind is Kind.PQ else "SQ8"
    index: Any = faiss.index_factory(
        dimension, f"IVF{len(middles)},{code}", faiss.METRIC_INNER_PRODUCT
    )
    index.quantizer.add(middles)
    if plan.kind is Kind.PQ:
        index.pq.cp.niter = _ROUNDS
        index.pq.cp.min_points_per_centroid = 1  # it would warn; small galleries are as wished
        with threads(1):  # each of many parts is a small task, for which a team is slower
            index.train(sample)
    else:
        index.train(sample)
    return index


def _middles(
    lists: int, sample: Embeddings, people: npt.NDArray[np.int64], check: Callable[[], None]
) -> Embeddings:
    """The middles of the lists, (n, D): unit vectors by spherical k-means, at most so many."""
    rng = np.random.default_rng(0)
    middles = sample[rng.choice(len(sample), min(lists, len(sample)), replace=False)]
    for _ in range(_ROUNDS):
        check()
        nearest = _nearest(middles, sample)
        order = np.lexsort((people, nearest))
        nearest, owners = nearest[order], people[order]
        # In each list a person counts once, however many photographs of them are looked at.
        is_first = np.ones(len(order), bool)
        is_first[1:] = (nearest[1:] != nearest[:-1]) | (owners[1:] != owners[:-1])
        theirs = _unit(np.add.reduceat(sample[order], np.flatnonzero(is_first), axis=0))
        _, starts, counts = np.unique(nearest[is_first], return_index=True, return_counts=True)
        sums = np.add.reduceat(theirs, starts, axis=0)
        enough = counts >= FEWEST_PEOPLE
        middles = _unit(sums[enough] if enough.any() else sums.sum(axis=0, keepdims=True))
    return middles


def _unit(rows: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, 1e-6), np.float32)


def _nearest(middles: Embeddings, sample: Embeddings) -> npt.NDArray[np.int64]:
    flat = faiss.IndexFlatIP(middles.shape[1])
    flat.add(middles)
    _, nearest = flat.search(sample, 1)
    found: npt.NDArray[np.int64] = nearest[:, 0]
    return found
