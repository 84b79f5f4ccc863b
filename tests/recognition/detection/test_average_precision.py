"""Average precision against a slow oracle, and what counts as found."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from recognition.detection.average_precision import match, precision_curve
from recognition.results import Box


def overlap(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return across * down / (area - across * down)


Images = list[tuple[list[Box], list[float], list[Box]]]


def at_threshold(images: Images, threshold: float, least: float) -> tuple[int, int]:
    """How many boxes of a score are right, and how many there are; from the beginning each time."""
    right = total = 0
    for boxes, scores, faces in images:
        left = list(faces)
        for score, box in sorted(zip(scores, boxes, strict=True), key=lambda each: -each[0]):
            if score < threshold:
                continue
            total += 1
            best = max(left, key=lambda face: overlap(box, face), default=None)
            if best is not None and overlap(box, best) >= least:
                left.remove(best)
                right += 1
    return right, total


def slow_average_precision(images: Images, least: float) -> float:
    """The area under the curve, point by point, as the definition has it."""
    faces = sum(len(each[2]) for each in images)
    scores = sorted({score for each in images for score in each[1]}, reverse=True)
    points = [at_threshold(images, score, least) for score in scores]
    area = before = 0.0
    for number, (right, _) in enumerate(points):
        best = max(r / t for r, t in points[number:])
        area += (right / faces - before) * best
        before = right / faces
    return area


def scene(rng: random.Random, distinct: bool) -> Images:
    images: Images = []
    for _ in range(rng.randint(1, 4)):
        faces: list[Box] = []
        for _ in range(rng.randint(0, 5)):
            x, y, side = rng.uniform(0, 80), rng.uniform(0, 80), rng.uniform(5, 30)
            faces.append((x, y, x + side, y + side))
        boxes = [tuple(edge + rng.gauss(0, 3) for edge in face) for face in faces]
        boxes += [(5.0, 5.0, 20.0, 20.0)] * rng.randint(0, 3)
        boxes = [box for box in boxes if box[0] < box[2] and box[1] < box[3]]
        scores = [rng.random() if distinct else rng.choice([0.2, 0.5, 0.9]) for _ in boxes]
        images.append((boxes, scores, faces))  # type: ignore[arg-type]
    return images


@given(
    seed=st.integers(0, 10_000), least=st.sampled_from([0.3, 0.4, 0.5, 0.75]), ties=st.booleans()
)
@settings(max_examples=120)
def test_average_precision_is_the_slow_oracles(seed: int, least: float, ties: bool) -> None:
    images = scene(random.Random(seed), distinct=not ties)
    faces = sum(len(each[2]) for each in images)
    if not faces:
        return
    matches = [match(b, s, f, [False] * len(f), least) for b, s, f in images]
    curve = precision_curve(matches, faces)
    assert curve.average_precision == pytest.approx(slow_average_precision(images, least))
    for score in (0.2, 0.5, 0.9):
        right, total = at_threshold(images, score, least)
        recall, precision = curve.at_score(score)
        assert recall == pytest.approx(right / faces)
        assert precision == (pytest.approx(right / total) if total else None)


FACE: Box = (10, 10, 30, 30)
FAR: Box = (60, 60, 80, 80)


def test_a_second_box_on_a_face_is_wrong_and_a_loose_one_too() -> None:
    shifted: Box = (20, 10, 40, 30)  # overlaps by a third
    found = match([FACE, FACE, shifted, FAR], [0.9, 0.8, 0.7, 0.6], [FACE], [False], 0.4)
    assert found.right == (True, False, False, False)
    assert found.found == (0.9,)
    assert box_iou(torch.tensor([FACE]), torch.tensor([shifted])).item() == pytest.approx(1 / 3)
    assert match([shifted], [0.7], [FACE], [False], 1 / 3 - 1e-6).right == (True,)


def test_the_surest_box_takes_the_face_in_any_order() -> None:
    near: Box = (11, 10, 31, 30)
    for boxes, scores in (([near, FACE], [0.9, 0.5]), ([FACE, near], [0.5, 0.9])):
        found = match(boxes, scores, [FACE], [False], 0.4)
        assert found.scores == (0.9, 0.5)
        assert found.right == (True, False)
        assert found.found == (0.9,)


def test_a_difficult_face_counts_neither_way() -> None:
    found = match([FACE, FACE, FAR], [0.9, 0.8, 0.7], [FACE, FAR], [True, False], 0.4)
    assert found.scores == (0.7,)
    assert found.right == (True,)
    missed = match([FAR], [0.7], [FACE, FAR], [True, False], 0.4)
    assert precision_curve([missed], 1).average_precision == 1.0


def test_nothing_found_and_nothing_there() -> None:
    curve = precision_curve([match([], [], [FACE], [False], 0.4)], 1)
    assert curve.average_precision == 0.0
    assert curve.at_precision(0.5) is None
    assert curve.at_score(0.5) == (0.0, None)
    assert match([FACE], [0.9], [], [], 0.4).right == (False,)
    with pytest.raises(ValueError, match="no face"):
        precision_curve([], 0)


def test_recall_at_a_precision_is_the_highest_there_is() -> None:
    # right, wrong, right, right: precisions 1, 1/2, 2/3, 3/4
    faces: list[Box] = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)]
    boxes = [faces[0], FAR, faces[1], faces[2]]
    matches = [match(boxes, [0.9, 0.8, 0.7, 0.6], faces, [False] * 4, 0.4)]
    curve = precision_curve(matches, 4)
    assert curve.at_precision(0.9) == (0.25, pytest.approx(0.9))
    assert curve.at_precision(0.7) == (0.75, pytest.approx(0.6))
    assert curve.average_precision == pytest.approx(0.25 + 2 * 0.25 * 0.75)
