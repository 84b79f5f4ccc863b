"""Which face is meant."""

import pytest

from recognition.detection.detector import distance_from_centre, largest, nearest_centre
from recognition.results import Face


def _face(x1: float, y1: float, x2: float, y2: float) -> Face:
    return Face((x1, y1, x2, y2), 0.9, ((x1, y1),) * 5)


SMALL_IN_THE_MIDDLE = _face(45, 45, 55, 55)
LARGE_IN_THE_CORNER = _face(0, 0, 40, 40)


def test_largest_and_nearest_differ() -> None:
    faces = [SMALL_IN_THE_MIDDLE, LARGE_IN_THE_CORNER]
    assert largest(faces) is LARGE_IN_THE_CORNER
    assert nearest_centre(faces, (100, 100)) is SMALL_IN_THE_MIDDLE
    assert nearest_centre(faces, (40, 40)) is LARGE_IN_THE_CORNER


def test_equals_keep_their_order() -> None:
    left, right = _face(0, 0, 10, 10), _face(90, 0, 100, 10)
    assert largest([left, right]) is left
    assert nearest_centre([right, left], (100, 10)) is right


def test_distance_is_pythagorean() -> None:
    assert distance_from_centre(_face(0, 0, 20, 20), (26, 28)) == pytest.approx(5)


def test_no_face_has_no_choice() -> None:
    with pytest.raises(ValueError, match="empty"):
        largest([])
    with pytest.raises(ValueError, match="empty"):
        nearest_centre([], (10, 10))
