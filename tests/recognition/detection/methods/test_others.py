"""Sliding windows, localisation, selective search, regions: against plain loops, closed forms."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from data.errors import ArgumentError
from recognition.detection.methods.localisation import (
    crop_around,
    largest_in,
    localisation_losses,
)
from recognition.detection.methods.method import FaceTargets
from recognition.detection.methods.rcnn import (
    CropNetwork,
    fast_losses,
    fit_heads,
    moved_by,
    offsets,
    overlaps_with,
    ridge_regression,
    sampled,
    warped,
)
from recognition.detection.methods.selective_search import (
    first_regions,
    joined,
    likeness,
    neighbours,
    segmented,
    selective_search,
    together,
)
from recognition.detection.methods.sliding_window import (
    STRIDE,
    WINDOW,
    WindowNetwork,
    window_loss,
    windows,
)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def placed(boxes: Tensor) -> FaceTargets:
    return FaceTargets(
        boxes, torch.zeros(len(boxes), 5, 2), torch.ones(len(boxes), dtype=torch.bool)
    )


# A window that slides, as one convolution.


@torch.no_grad()
@pytest.mark.parametrize("size", [(24, 24), (47, 61), (50, 33), (25, 90)])
def test_a_convolution_says_what_each_window_cut_out_says(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    network = WindowNetwork().eval()
    picture = drawn(2, 1, 3, *size)
    said = network(picture)[0]
    boxes = windows(*said.shape, 1.0)
    slow = [
        float(network(picture[:, :, y : y + WINDOW, x : x + WINDOW]))
        for y in range(0, STRIDE * said.shape[0], STRIDE)
        for x in range(0, STRIDE * said.shape[1], STRIDE)
    ]
    assert said.flatten().tolist() == pytest.approx(slow, abs=1e-4)
    assert bool((boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all())
    torch.testing.assert_close(windows(2, 3, 0.5), windows(2, 3, 1.0) * 2)


def test_the_hardest_windows_without_a_face_count() -> None:
    logits, overlaps = torch.arange(40.0) / 10 - 2, torch.zeros(40)
    overlaps[3], overlaps[39], overlaps[20] = 0.7, 0.4, 0.2  # a face; neither; no face
    hardest = sorted((x for i, x in enumerate(logits.tolist()) if i not in (3, 39)), reverse=True)[
        :16
    ]
    wanted = math.log1p(math.exp(-float(logits[3])))
    wanted += sum(math.log1p(math.exp(x)) for x in hardest)
    assert float(window_loss(logits, overlaps)) == pytest.approx(wanted / 17, rel=1e-5)
    assert float(window_loss(logits[:0], overlaps[:0])) == 0.0


# One object a picture.


def test_localisation_in_closed_form() -> None:
    said = torch.zeros(3, 15)
    said[:, 0] = torch.tensor([1.0, -2.0, 0.5])
    boxes = torch.tensor([[0.25, 0.25, 0.75, 0.5], [0, 0, 0, 0], [0, 0, 1, 1.0]])
    points = torch.full((3, 5, 2), 0.5)
    points[2] = 0.7
    there, known = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    found = localisation_losses(said, there, boxes, points, known)
    entropy = math.log1p(math.exp(-1)) + math.log1p(math.exp(-2)) + math.log1p(math.exp(-0.5))
    assert float(found["score"]) == pytest.approx(entropy / 3)
    first, second = 0.125**2 + 0.5**2 + 0.25**2, 2.0
    assert float(found["box"]) == pytest.approx((first + second) / 2)
    assert float(found["landmarks"]) == 0.0  # those of the last are not known
    nobody = localisation_losses(said, there & False, boxes, points, known)
    assert float(nobody["box"]) == float(nobody["landmarks"]) == 0.0


def test_a_piece_shows_its_largest_face() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 30], [40, 40, 80, 80], [90, 0, 130, 40]])
    whole = torch.tensor([0.0, 0, 100, 100])
    assert largest_in(placed(boxes), whole) == 1
    assert largest_in(placed(boxes), torch.tensor([0.0, 0, 35, 35])) == 0
    assert largest_in(placed(boxes[:0]), whole) is None
    assert largest_in(placed(boxes[2:]), whole) is None  # a quarter of it
    assert largest_in(placed(torch.tensor([[0.0, 0, 5, 5]])), whole) is None  # too small to tell
    shown = 0
    for seed in range(60):
        x1, y1, x2, y2 = crop_around(
            placed(boxes), 140, torch.Generator().manual_seed(seed)
        ).tolist()
        assert x2 - x1 == pytest.approx(y2 - y1, abs=1e-3)
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= 140 + 1e-3
        shown += largest_in(placed(boxes), torch.tensor([x1, y1, x2, y2])) is not None
    assert shown >= 40


# Selective search.


def painted(seed: int) -> np.ndarray:
    """Squares of colour with noise, 36×48."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 256, (3, 4, 3)).repeat(12, 0).repeat(12, 1)
    return np.clip(squares + rng.normal(0, 3, squares.shape), 0, 255).astype(np.uint8)


def test_regions_are_joined_as_by_counting_every_pixel_again() -> None:
    for seed in range(2):
        picture = painted(seed)
        labels = segmented(picture, 30.0)
        ours = joined(first_regions(picture, labels), neighbours(labels), labels.size)
        count = int(labels.max()) + 1
        assert count > 3
        assert len(ours) == 2 * count - 1
        # Slowly: every region is counted from its pixels, and all pairs are compared each time.
        now, made, current = list(range(count)), [], labels.copy()
        for step in range(count - 1):
            regions = {}
            for number in now:
                [regions[number]] = [
                    region
                    for place, region in enumerate(
                        first_regions(picture, (current == number).astype(int))
                    )
                    if place == 1
                ]
            touching = [
                (a, b) for a in now for b in now if a < b and _touch(current == a, current == b)
            ]
            best = min(
                touching,
                key=lambda p: (-round(likeness(regions[p[0]], regions[p[1]], labels.size), 9), p),
            )
            made.append(together(regions[best[0]], regions[best[1]]))
            new = count + step
            current[(current == best[0]) | (current == best[1])] = new
            now = [n for n in now if n not in best] + [new]
        for fast, slow in zip(ours[count:], made, strict=True):
            assert (fast.box, fast.size) == (slow.box, slow.size)
            np.testing.assert_allclose(fast.colours, slow.colours, atol=1e-9)
            np.testing.assert_allclose(fast.textures, slow.textures, atol=1e-9)
        assert ours[-1].box == (0, 0, 48, 36)
        assert ours[-1].size == labels.size


def _touch(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(
        (one[:, :-1] & other[:, 1:]).any()
        or (one[:, 1:] & other[:, :-1]).any()
        or (one[:-1] & other[1:]).any()
        or (one[1:] & other[:-1]).any()
    )


def test_proposals_are_few_distinct_and_find_what_stands_out() -> None:
    picture = np.full((80, 100, 3), 90, np.uint8)
    picture[20:50, 30:60] = (200, 40, 40)
    boxes = selective_search(picture)
    assert boxes.dtype == np.float32
    assert len({tuple(box) for box in boxes.tolist()}) == len(boxes) <= 300
    assert (
        float(overlaps_with(torch.tensor([[30.0, 20, 60, 50]]), torch.from_numpy(boxes))[0]) > 0.8
    )
    assert len(selective_search(painted(1), most=4)) == 4
    flat = selective_search(np.full((30, 40, 3), 7, np.uint8))
    assert flat.tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize("size", [(5, 5), (1, 640), (640, 1), (3, 400), (1, 1)])
def test_what_is_too_thin_for_a_region_has_no_proposals(size: tuple[int, int]) -> None:
    assert selective_search(np.zeros((*size, 3), np.uint8)).shape == (0, 4)


def test_without_its_library_selective_search_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ArgumentError, match="regions") as refused:
        selective_search(painted(1))
    assert "\n" not in str(refused.value)


# Regions.


def test_boxes_are_moved_as_they_were_told() -> None:
    one = torch.tensor([[0.0, 0, 10, 20]])
    other = torch.tensor([[5.0, 10, 25, 20]])
    wanted = [1.0, 0.25, math.log(2), math.log(0.5)]
    assert offsets(one, other)[0].tolist() == pytest.approx(wanted)
    corner = drawn(1, 30, 2) * 50
    boxes = torch.cat([corner, corner + 10 + 20 * drawn(2, 30, 2)], 1)
    torch.testing.assert_close(
        moved_by(boxes.flip(0), offsets(boxes.flip(0), boxes)), boxes, atol=1e-4, rtol=1e-4
    )


def test_proposals_are_drawn_by_their_overlap() -> None:
    overlaps = torch.tensor([0.9, 0.5, 0.49, 0.1, 0.05, 0.0, 0.7])
    source = torch.Generator().manual_seed(1)
    chosen, others = sampled(overlaps, 4, 0.25, 0.1, source)
    assert chosen.tolist()[0] in (0, 1, 6)
    assert len(chosen) == 1
    assert {2, 3} <= set(others.tolist())
    assert len(others) == 3
    chosen, others = sampled(torch.zeros(5), 64, 0.25, 0.1, source)
    assert (len(chosen), len(others)) == (0, 5)
    assert overlaps_with(torch.zeros(2, 4), torch.zeros(0, 4))[0].tolist() == [0, 0]


def test_the_joint_loss_in_closed_form() -> None:
    logits, told = torch.tensor([1.0, -1.0, 0.0]), torch.zeros(3, 4)
    right = torch.tensor([True, False, False])
    wanted = torch.tensor([[0.05, 0.3, 0.0, 0.0]])  # half a usual size, and three of them
    found = fast_losses(logits, told, right, wanted)
    assert float(found["box"]) == pytest.approx((0.5 * 0.25 + 2.5) / 3)
    entropy = 2 * math.log1p(math.exp(-1)) + math.log(2)
    assert float(found["score"]) == pytest.approx(entropy / 3)
    nobody = fast_losses(logits, told, right & False, wanted[:0])
    assert float(nobody["box"]) == 0.0


def test_ridge_regression_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    x, y = drawn(3, 60, 7) * 4, drawn(4, 60, 4)
    ours = ridge_regression(torch.cat([x, torch.ones(60, 1)], 1), y, 5.0)
    theirs = Ridge(alpha=5.0).fit(x.double().numpy(), y.double().numpy())
    np.testing.assert_allclose(ours[:-1].T.numpy(), theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours[-1].numpy(), theirs.intercept_, atol=1e-3)
    assert ridge_regression(torch.zeros(0, 3), torch.zeros(0, 4), 1.0).abs().max() == 0


@torch.no_grad()
def test_heads_are_fitted_to_features_that_can_be_told_apart() -> None:
    network = CropNetwork().eval()
    features = drawn(5, 80, 96)
    features[:20, 3] += 2  # faces
    ways = features[:20, 5:6].repeat(1, 4) - 0.5
    fit_heads(network, features, [1] * 20 + [0] * 60, features[:20], ways)
    scores = (2 * network.standardised(features) @ network.svm).sigmoid()
    assert bool((scores[:20] > 0.5).all())
    assert bool((scores[20:] < 0.5).all())
    assert float(network.ridge.abs().max()) > 0
    other = CropNetwork()
    fit_heads(other, features, [0] * 80, features[:0], ways[:0])  # without a face nothing is fitted
    assert float(other.svm.abs().max()) == 0


def test_crops_are_warped_to_squares() -> None:
    picture = torch.zeros(3, 60, 90)
    picture[:, 20:40, 30:70] = 1
    [crop] = warped(picture, torch.tensor([[30.0, 20, 70, 40]]))
    assert crop.shape == (3, 32, 32)
    assert float(crop[:, 6:-6, 6:-6].min()) > 0.99
    assert float(crop[:, 0].max()) < 0.01  # the margin
