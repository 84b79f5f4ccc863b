"""Arithmetic of boxes against slow loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recognition.detection.detector import (
    moved,
    nested_removed,
    overlapping_removed,
    squared,
    strongest,
)


def _random_boxes(generator: torch.Generator, count: int) -> Tensor:
    corners = torch.rand(count, 2, generator=generator) * 40
    return torch.cat([corners, corners + 5 + torch.rand(count, 2, generator=generator) * 30], 1)


def _shared_area(a: Tensor, b: Tensor) -> float:
    width, height = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).tolist()
    return max(float(width), 0.0) * max(float(height), 0.0)


def _area(a: Tensor) -> float:
    return float((a[2] - a[0]) * (a[3] - a[1]))


def _greedy(boxes: Tensor, scores: Tensor, threshold: float, *, of_smaller: bool) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -float(scores[i])):
        overlaps = []
        for j in kept:
            shared = _shared_area(boxes[i], boxes[j])
            a, b = _area(boxes[i]), _area(boxes[j])
            overlaps.append(shared / (min(a, b) if of_smaller else a + b - shared))
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(i)
    return kept


def test_moved_counts_in_sides_of_the_box() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    movement = torch.tensor([[0.1, -0.1, 0.5, 0.25]])
    assert moved(boxes, movement).tolist() == [[12.0, 16.0, 40.0, 70.0]]


def test_squared_grows_the_shorter_side_about_the_centre() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0], [0.0, 0.0, 8.0, 2.0]])
    assert squared(boxes).tolist() == [[0.0, 20.0, 40.0, 60.0], [0.0, -3.0, 8.0, 5.0]]


@given(
    owners=st.lists(st.integers(0, 4), max_size=40),
    limit=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50)
def test_strongest_keeps_the_best_of_each_image(owners: list[int], limit: int, seed: int) -> None:
    scores = torch.rand(len(owners), generator=torch.Generator().manual_seed(seed))
    kept = strongest(scores, torch.tensor(owners, dtype=torch.int64), limit).tolist()
    if len(owners) <= limit:
        assert kept == list(range(len(owners)))
        return
    expected = []
    for owner in set(owners):
        mine = [i for i, each in enumerate(owners) if each == owner]
        expected += sorted(mine, key=lambda i: -float(scores[i]))[:limit]
    assert kept == sorted(expected)


@given(seed=st.integers(0, 10_000), count=st.integers(0, 25))
@settings(max_examples=50)
def test_overlaps_are_removed_within_each_image_alone(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = _random_boxes(generator, count)
    scores = torch.rand(count, generator=generator)
    owners = torch.randint(0, 3, (count,), generator=generator)
    kept = overlapping_removed(boxes, scores, owners, 0.4).tolist()
    expected = []
    for owner in range(3):
        mine = (owners == owner).nonzero()[:, 0]
        best = _greedy(boxes[mine], scores[mine], 0.4, of_smaller=False)
        expected += mine[best].tolist()
    assert sorted(kept) == sorted(expected)
    assert kept == sorted(kept, key=lambda i: -float(scores[i]))


def test_overlap_does_not_depend_on_how_many_images_share_the_batch() -> None:
    # Overlaps just above and just below one third, which large offsets in single precision blur.
    scores = torch.tensor([0.9, 0.8])
    for shift, kept in ((0.4999, [0]), (0.5001, [0, 1])):
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [shift, 0.0, 1 + shift, 1.0]])
        for owner in (0, 100_000):
            owners = torch.tensor([owner, owner])
            assert overlapping_removed(boxes, scores, owners, 1 / 3).tolist() == kept


@given(seed=st.integers(0, 10_000), count=st.integers(0, 25))
@settings(max_examples=50)
def test_nested_removed_is_the_greedy_loop(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = _random_boxes(generator, count)
    scores = torch.rand(count, generator=generator)
    assert nested_removed(boxes, scores, 0.7).tolist() == _greedy(
        boxes, scores, 0.7, of_smaller=True
    )


def test_nested_removed_keeps_the_better_of_two_concentric_boxes() -> None:
    boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0], [40.0, 40.0, 60.0, 60.0]])
    assert nested_removed(boxes, torch.tensor([0.8, 0.9]), 0.7).tolist() == [1]
