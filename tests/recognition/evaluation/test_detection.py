"""Figures of a detector, by one that is told what to find."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from data.errors import DatasetError
from recognition.detection.annotations import BoxedPhotograph
from recognition.evaluation.detection import evaluate_detector
from recognition.results import Box, Face

POINTS = ((0.0, 0.0),) * 5
SMALL: Box = (10, 10, 20, 20)
LARGE: Box = (30, 10, 70, 50)
NOTHING: Box = (75, 75, 95, 95)


class Told:
    """Finds what it is told, photograph by photograph."""

    identity = "told/1"

    def __init__(self, *found: list[tuple[Box, float]]) -> None:
        self._found = list(found)

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        return [
            [Face(box, score, POINTS) for box, score in self._found.pop(0)]  # type: ignore[arg-type]
            for _ in images
        ]


@pytest.fixture
def boxed(tmp_path: Path) -> list[BoxedPhotograph]:
    found = []
    for name, faces in (("a", (SMALL, LARGE)), ("b", (LARGE,)), ("c", ())):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (100, 100)).save(path)
        found.append(BoxedPhotograph(path=path, boxes=faces, difficult=(False,) * len(faces)))
    return found


def test_figures_in_closed_form(boxed: list[BoxedPhotograph], tmp_path: Path) -> None:
    detector = Told([(LARGE, 0.9), (NOTHING, 0.6)], [(LARGE, 0.8)], [(NOTHING, 0.3)])
    result = evaluate_detector(
        detector, boxed, score=0.5, wanted_precision=0.9, misses=tmp_path / "misses"
    )
    assert (result.photographs, result.faces, result.detector) == (3, 3, "told/1")
    assert result.recall.value == pytest.approx(2 / 3)
    assert result.precision.value == pytest.approx(2 / 3)
    assert result.false_boxes == pytest.approx(1 / 3)
    assert result.average_precision["0.4"].value == pytest.approx(2 / 3)
    assert result.recall_at_precision.value == pytest.approx(2 / 3)
    assert result.score_at_precision == pytest.approx(0.8)
    sizes = {each.least: each for each in result.sizes}
    assert (sizes[0].faces, sizes[0].recall, sizes[0].precision) == (1, 0.0, None)
    assert (sizes[32].faces, sizes[32].recall, sizes[32].precision) == (2, 1.0, 1.0)
    assert (sizes[16].faces, sizes[16].boxes, sizes[16].precision) == (0, 1, 0.0)
    assert result.recall.low is not None
    assert 0 <= result.recall.low <= 2 / 3 <= result.recall.high <= 1  # type: ignore[operator]
    assert [each.name for each in (tmp_path / "misses").iterdir()] == ["a.png"]
    drawn = Image.open(tmp_path / "misses" / "a.png")
    assert drawn.getpixel((10, 15)) == (230, 30, 30)
    json.dumps(result.to_json(), allow_nan=False)


def test_a_detector_that_finds_nothing(boxed: list[BoxedPhotograph]) -> None:
    result = evaluate_detector(Told([], [], []), boxed, score=0.5)
    assert result.recall.value == 0.0
    assert result.precision.value is None
    assert result.average_precision["0.5"].value == 0.0
    assert result.recall_at_precision.value is None
    assert result.score_at_precision is None
    json.dumps(result.to_json(), allow_nan=False)


def test_a_damaged_photograph_is_listed_and_no_face_at_all_is_refused(
    boxed: list[BoxedPhotograph],
) -> None:
    boxed[1].path.write_bytes(b"no picture")
    result = evaluate_detector(Told([(SMALL, 0.9), (LARGE, 0.9)], []), boxed, score=0.5)
    assert result.photographs == 2
    assert result.recall.value == 1.0
    [failed] = result.failed
    assert failed.image == str(boxed[1].path)
    with pytest.raises(DatasetError, match="no face is boxed"):
        evaluate_detector(Told([]), boxed[2:], score=0.5)


@pytest.mark.parametrize("found", [[], [(LARGE, 0.9)], [(SMALL, 0.9), (LARGE, 0.9)]])
@pytest.mark.parametrize("difficult", [(True, True), (True, False), (False, True), (False, False)])
def test_what_is_drawn_as_missed_is_what_counts_as_missed(
    tmp_path: Path, found: list[tuple[Box, float]], difficult: tuple[bool, bool]
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (100, 100)).save(path)
    boxed = BoxedPhotograph(path=path, boxes=(SMALL, LARGE), difficult=difficult)
    other = BoxedPhotograph(path=path, boxes=(LARGE,), difficult=(False,))
    detector = Told(found, [(LARGE, 0.9)])
    result = evaluate_detector(detector, [boxed, other], score=0.5, misses=tmp_path / "misses")
    assert result.recall.value is not None
    missed = round((1 - result.recall.value) * result.faces)
    pictures = list(tmp_path.glob("misses/*"))
    assert bool(pictures) == bool(missed)
    for picture in map(Image.open, pictures):
        red = [picture.getpixel((x1, (y1 + y2) / 2)) == (230, 30, 30) for x1, y1, _, y2 in
               (SMALL, LARGE)]  # fmt: skip
        assert sum(red) == missed
        assert not any(hard and drawn for hard, drawn in zip(difficult, red, strict=True))


@pytest.mark.parametrize("damaged", [(0,), (1,), (2,), (0, 2)])
def test_progress_comes_to_its_end_whatever_cannot_be_read(
    boxed: list[BoxedPhotograph], damaged: tuple[int, ...]
) -> None:
    for number in damaged:
        boxed[number].path.write_bytes(b"no picture")
    told: list[tuple[int, int]] = []
    evaluate_detector(Told([], [], []), boxed, score=0.5, progress=lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]
