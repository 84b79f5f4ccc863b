"""YOLO's own parts against plain loops and closed forms: anchors, boxes, assignment, losses."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from data.errors import ArgumentError
from recognition.detection.methods.config import (
    Anchors,
    BoxLoss,
    DetectorMethod,
    Scales,
    YoloConfig,
    check_ideas,
)
from recognition.detection.methods.method import FaceTargets
from recognition.detection.methods.yolo import (
    REFERENCE,
    Predictions,
    YoloNetwork,
    anchor_clusters,
    anchors_by_hand,
    decode_boxes,
    design_of,
    four_in_one,
    responsible,
    responsible_by_overlap,
    shape_overlaps,
    yolo,
    yolo_from,
    yolo_losses,
)

VERSIONS = (1, 2, 3, 4)
PLAIN = YoloConfig()


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def boxes_in(side: int, count: int, seed: int) -> Tensor:
    """Boxes of 6 to 60 pixels whose centres lie in a square picture."""
    centre, sides = drawn(seed, count, 2) * side, 6 + 54 * drawn(seed + 100, count, 2)
    return torch.cat([centre - sides / 2, centre + sides / 2], 1)


def faces(boxes: Tensor) -> FaceTargets:
    return FaceTargets(
        boxes, torch.zeros(len(boxes), 5, 2), torch.zeros(len(boxes), dtype=torch.bool)
    )


def predictions_of(
    version: int, seed: int = 1, ideas: YoloConfig = PLAIN
) -> tuple[YoloNetwork, Predictions]:
    """A network of random weights that looks at noise of 64×96 pixels."""
    torch.manual_seed(seed)
    network = YoloNetwork(design_of(version, ideas))
    for output in network.outputs:
        torch.nn.init.normal_(output.weight, std=0.2)  # type: ignore[arg-type]
    return network, network(drawn(seed, 2, 3, 64, 96))


def iou(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_anchors_are_clustered_as_by_plain_loops() -> None:
    for seed, count in ((1, 2), (2, 5), (3, 9)):
        sides = 5 + 100 * drawn(seed, 150, 2) ** 2
        order = sorted(sides.tolist(), key=lambda s: s[0] * s[1])
        centres = [order[int((k + 0.5) * len(order) / count)] for k in range(count)]
        for _ in range(100):
            groups: list[list[list[float]]] = [[] for _ in centres]
            for side in sides.tolist():
                overlaps = [iou([0, 0, *side], [0, 0, *centre]) for centre in centres]
                groups[overlaps.index(max(overlaps))].append(side)
            after = [
                [sum(s[i] for s in group) / len(group) for i in (0, 1)] if group else centre
                for group, centre in zip(groups, centres, strict=True)
            ]
            if after == centres:
                break
            centres = after
        wanted = torch.tensor(sorted(centres, key=lambda c: c[0] * c[1]))
        torch.testing.assert_close(anchor_clusters(sides, count), wanted, atol=1e-2, rtol=1e-3)


def test_clusters_fit_better_than_squares_and_suffer_few_faces() -> None:
    sides = torch.exp(drawn(4, 400, 1) * 3 + 2) * torch.tensor([[1.0, 1.3]])
    ours = shape_overlaps(sides, anchor_clusters(sides, 5)).amax(1).mean()
    assert float(ours) > float(shape_overlaps(sides, anchors_by_hand(5)).amax(1).mean()) + 0.05
    assert torch.equal(anchor_clusters(sides[:4], 5), anchors_by_hand(5))
    alike = torch.full((20, 2), 30.0)
    torch.testing.assert_close(anchor_clusters(alike, 3), torch.full((3, 2), 30.0))
    assert anchors_by_hand(1).tolist() == [[12.0, 12.0]]


def test_boxes_in_closed_form() -> None:
    place, stride, anchor = (
        torch.tensor([[3.0, 2.0]]),
        torch.tensor([16.0]),
        torch.tensor([[20.0, 40.0]]),
    )
    values = torch.tensor([[0.25, 0.5, 0.5, 0.25, 0.0]])
    w, h = 0.25 * REFERENCE, 0.0625 * REFERENCE
    x, y = 3.25 * 16, 2.5 * 16
    wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    assert decode_boxes(1, values, place, stride, anchor)[0].tolist() == pytest.approx(wanted)
    values = torch.tensor([[0.0, 0.0, math.log(2), 0.0, 0.0]])
    wanted = [3.5 * 16 - 20, 2.5 * 16 - 20, 3.5 * 16 + 20, 2.5 * 16 + 20]
    for version in (2, 3):
        assert decode_boxes(version, values, place, stride, anchor)[0].tolist() == pytest.approx(
            wanted
        )
    middle = torch.zeros(1, 5)
    wanted = [3.5 * 16 - 10, 2.5 * 16 - 20, 3.5 * 16 + 10, 2.5 * 16 + 20]
    assert decode_boxes(4, middle, place, stride, anchor)[0].tolist() == pytest.approx(wanted)
    far = torch.full((1, 5), 50.0)
    x1, y1, x2, y2 = decode_boxes(4, far, place, stride, anchor)[0].tolist()
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((4.5 * 16, 3.5 * 16))
    assert (x2 - x1, y2 - y1) == pytest.approx((80, 160))  # four times the anchor


@pytest.mark.parametrize("version", VERSIONS)
def test_a_network_tells_of_every_box_of_every_cell_and_is_small(version: int) -> None:
    network, predictions = predictions_of(version)
    design = network.design
    count = sum((64 // s) * (96 // s) * design.boxes for s in design.strides)
    assert predictions.boxes.shape == (2, count, 4)
    assert bool(torch.isfinite(predictions.boxes).all())
    scores = predictions.scores(version).detach()
    assert 0 <= float(scores.min()) <= float(scores.max()) <= 1
    assert sum(p.numel() for p in network.parameters()) < 1_500_000
    rows, columns = predictions.shapes[0]
    assert predictions.cells[-1].tolist() == [
        predictions.shapes[-1][1] - 1,
        predictions.shapes[-1][0] - 1,
    ]
    assert predictions.cells[design.boxes].tolist() == [1.0, 0.0]
    assert (rows * design.strides[0], columns * design.strides[0]) == (64, 96)


def assigned(predictions: Predictions, boxes: Tensor, several: bool) -> dict[int, int]:
    """Which face each box answers for, box by box."""
    answers: dict[int, int] = {}
    sizes = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    kinds = {tuple(a) for a in predictions.anchors.tolist()}
    for number in range(len(predictions.anchors)):
        anchor, stride = predictions.anchors[number].tolist(), float(predictions.strides[number])
        column, row = predictions.cells[number].tolist()
        mine = []
        for face, box in enumerate(boxes.tolist()):
            side = [box[2] - box[0], box[3] - box[1]]
            best = max(kinds, key=lambda a: iou([0, 0, *side], [0, 0, *a]))
            fits = tuple(anchor) == best
            fits |= several and iou([0, 0, *side], [0, 0, *anchor]) >= 0.4
            x, y = (box[0] + box[2]) / 2 / stride - column, (box[1] + box[3]) / 2 / stride - row
            near = 0 <= x < 1 and 0 <= y < 1
            if several:
                near |= 0 <= y < 1 and (-0.5 <= x < 0 or 1 <= x < 1.5)
                near |= 0 <= x < 1 and (-0.5 <= y < 0 or 1 <= y < 1.5)
            if fits and near:
                mine.append(face)
        if mine:
            answers[number] = max(mine, key=lambda f: sizes[f])
    return answers


@pytest.mark.parametrize(("version", "several"), [(2, False), (3, False), (3, True), (4, True)])
def test_faces_are_assigned_as_by_plain_loops(version: int, several: bool) -> None:
    _, predictions = predictions_of(version)
    for seed in range(2):
        boxes = boxes_in(64, 9, seed)
        chosen, own = responsible(predictions, boxes, several=several)
        found = dict(zip(chosen.tolist(), own.tolist(), strict=True))
        assert found == assigned(predictions, boxes, several)
        assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(responsible(predictions, torch.zeros(0, 4), several=several)[0]) == 0
    outside = torch.tensor([[200.0, 200, 220, 220]])
    assert len(responsible(predictions, outside, several=several)[0]) == 0


def test_of_two_boxes_the_better_one_answers() -> None:
    _, predictions = predictions_of(1)
    for seed in range(4):
        boxes, predicted = boxes_in(64, 10, seed), predictions.boxes[0].detach()
        chosen, own = responsible_by_overlap(predictions, predicted, boxes)
        sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).tolist()
        wanted: dict[int, int] = {}
        for row in range(4):
            for column in range(6):
                held = [
                    face
                    for face, (x1, y1, x2, y2) in enumerate(boxes.tolist())
                    if (x1 + x2) / 2 // 16 == column and (y1 + y2) / 2 // 16 == row
                ]
                if held:
                    face = max(held, key=lambda f: sizes[f])
                    first = (row * 6 + column) * 2
                    fits = [
                        iou(predicted[first + i].tolist(), boxes[face].tolist()) for i in (0, 1)
                    ]
                    wanted[first + fits.index(max(fits))] = face
        assert dict(zip(chosen.tolist(), own.tolist(), strict=True)) == wanted


def entropy(logit: float, wanted: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -(wanted * math.log(p) + (1 - wanted) * math.log(1 - p))


def slow_losses(
    version: int, network: YoloNetwork, predictions: Predictions, boxes: list[Tensor]
) -> list[float]:
    """Box and score, each box of each cell by itself; with squared errors."""
    box = score = 0.0
    count = 0
    for number, theirs in enumerate(boxes):
        predicted = predictions.boxes[number].detach()
        if version == 1:
            pairs = responsible_by_overlap(predictions, predicted, theirs)
        else:
            pairs = responsible(predictions, theirs, several=network.design.several)
        owners = dict(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))
        count += len(owners)
        for index, mine in enumerate(predicted.tolist()):
            logit, stride = (
                float(predictions.logits[number, index].detach()),
                float(predictions.strides[index]),
            )
            overlaps = [iou(mine, face) for face in theirs.tolist()]
            sure = 1 / (1 + math.exp(-logit))
            if index not in owners:
                if version == 1:
                    score += 0.5 * logit**2
                elif max(overlaps, default=0.0) < 0.6:
                    score += sure**2 if version == 2 else entropy(logit, 0)
                continue
            face = theirs[owners[index]].tolist()
            overlap = overlaps[owners[index]]
            if version == 1:
                score += (logit - overlap) ** 2
            else:
                score += 5 * (sure - overlap) ** 2 if version == 2 else entropy(logit, 1)
            for low, high in ((0, 2), (1, 3)):
                way = (mine[low] + mine[high] - face[low] - face[high]) / 2 / stride
                ours, wanted = mine[high] - mine[low], face[high] - face[low]
                if version == 1:
                    roots = math.sqrt(ours / REFERENCE) - math.sqrt(wanted / REFERENCE)
                    box += 5 * (way**2 + roots**2)
                else:
                    box += way**2 + math.log(ours / wanted) ** 2
    return [box / max(1, count), score / max(1, count)]


@pytest.mark.parametrize("version", VERSIONS)
def test_losses_are_those_of_plain_loops(version: int) -> None:
    ideas = YoloConfig(box_loss=BoxLoss.SQUARED) if version == 4 else PLAIN
    network, predictions = predictions_of(version, ideas=ideas)
    for seed in range(2):
        boxes = [boxes_in(64, 6, seed), boxes_in(64, 0, seed)]
        found = yolo_losses(network.design, predictions, [faces(each) for each in boxes])
        box, score = slow_losses(version, network, predictions, boxes)
        assert float(found["box"].detach()) == pytest.approx(box, rel=1e-3)
        assert float(found["score"].detach()) == pytest.approx(score, rel=1e-3)
        assert float(found["total"].detach()) == pytest.approx(box + score, rel=1e-3)
    nobody = yolo_losses(network.design, predictions, [faces(boxes[1])] * 2)
    assert float(nobody["box"].detach()) == 0.0
    nobody["total"].backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_box_that_is_right_costs_nothing(version: int) -> None:
    network, predictions = predictions_of(version)
    with torch.no_grad():
        boxes = predictions.boxes[0, 20:21].detach().clone()
        chosen, own = (
            responsible_by_overlap(predictions, predictions.boxes[0], boxes)
            if version == 1
            else responsible(predictions, boxes, several=network.design.several)
        )
        if not len(chosen):
            pytest.skip("the box lies outside")
        predictions.boxes[0, chosen] = boxes[own]
        if version == 1:
            centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            predictions.values[0, chosen, :2] = (centre / 16 - predictions.cells[chosen])[own]
            predictions.values[0, chosen, 2:4] = (sides / REFERENCE).sqrt()[own]
        found = yolo_losses(network.design, predictions, [faces(boxes), faces(boxes[:0])])
    assert float(found["box"]) == pytest.approx(0, abs=1e-4)


def test_four_pictures_in_one_carry_their_boxes_along() -> None:
    pictures = torch.zeros(5, 3, 96, 96)
    boxes = torch.tensor(
        [[20.0, 24, 44, 56], [60, 50, 90, 88], [8, 60, 40, 84], [50, 6, 80, 30], [30, 30, 66, 66]]
    )
    for picture, (x1, y1, x2, y2) in zip(pictures, boxes.long().tolist(), strict=True):
        picture[:, y1:y2, x1:x2] = 1
    seen = 0
    for seed in range(6):
        source = torch.Generator().manual_seed(seed)
        made, kept = four_in_one(pictures, [faces(each[None]) for each in boxes], source)
        again, _ = four_in_one(
            pictures, [faces(each[None]) for each in boxes], torch.Generator().manual_seed(seed)
        )
        assert torch.equal(made, again)
        for picture, theirs in zip(made, kept, strict=True):
            covered = torch.zeros(96, 96)
            for x1, y1, x2, y2 in theirs.boxes.round().long().tolist():
                inside = picture[0, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
                assert float(inside.mean()) > 0.9
                covered[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = 1
                seen += 1
            assert float(theirs.boxes.min() if len(theirs.boxes) else 0) >= 0
            # What is white and in no box was mostly cut off.
            assert float((picture[0] * (1 - covered) > 0.5).sum()) < 0.6 * 3 * 36 * 36
    assert seen > 30


def test_ideas_are_put_in_and_taken_away() -> None:
    three = design_of(3, PLAIN)
    assert design_of(3, YoloConfig(scales=Scales.ONE)).strides == (16,)
    assert not design_of(3, YoloConfig(anchors=Anchors.HAND)).clustered
    assert design_of(3, YoloConfig(box_loss=BoxLoss.CIOU, mosaic=True)) == replace(
        three, ciou=True, mosaic=True
    )
    predictions_of(2, ideas=YoloConfig(scales=Scales.THREE))
    predictions_of(3, ideas=YoloConfig(scales=Scales.ONE))


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"strides": []},
        {"strides": [5]},
        {"strides": ["8", "16", "32"]},
        {"boxes": "3"},
        {"boxes": 10**9},
        {"boxes": -1},
        {"blocks": "plain"},
        {"ciou": 1},
        {"silu": "yes"},
        {"unknown": True},
    ],
    ids=lambda changed: json.dumps(changed),
)
def test_a_design_that_no_version_has_is_refused(changed: dict[str, object]) -> None:
    design = asdict(design_of(3, PLAIN))
    assert yolo_from(DetectorMethod.YOLO_V3, json.dumps(design)).design == design_of(3, PLAIN)
    with pytest.raises((ValueError, TypeError)):
        yolo_from(DetectorMethod.YOLO_V3, json.dumps(design | changed))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scales", [None, *Scales], ids=str)
def test_every_design_that_is_written_is_read(version: int, scales: Scales | None) -> None:
    design = design_of(version, YoloConfig(scales=scales))
    name = DetectorMethod(f"yolo_v{version}")
    assert yolo_from(name, json.dumps(asdict(design))).design == design


@pytest.mark.parametrize(
    ("method", "ideas", "why"),
    [
        (DetectorMethod.ONE_STAGE, YoloConfig(mosaic=True), "leave it out"),
        (DetectorMethod.RCNN, YoloConfig(anchors=Anchors.HAND), "leave it out"),
        (DetectorMethod.YOLO_V1, YoloConfig(anchors=Anchors.HAND), "yolo_v1 has no anchors"),
        (DetectorMethod.YOLO_V1, YoloConfig(scales=Scales.THREE), "yolo_v1 has no anchors"),
        (DetectorMethod.YOLO_V1, YoloConfig(box_loss=BoxLoss.CIOU), "yolo_v1 has no anchors"),
    ],
)
def test_ideas_without_a_place_are_refused(
    method: DetectorMethod, ideas: YoloConfig, why: str
) -> None:
    with pytest.raises(ArgumentError, match=why) as refused:
        check_ideas(method, ideas)
    assert "\n" not in str(refused.value)
    assert yolo(DetectorMethod.YOLO_V2, PLAIN).design.passed
