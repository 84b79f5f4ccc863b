import numpy as np
import pytest
from PIL import Image, ImageFilter

from recognition.faces.quality import (
    BRIGHTEST,
    DARKEST,
    MOST_BLURRED,
    MOST_NODDED,
    MOST_TURNED,
    SMALLEST,
    measure,
    shortcomings,
)
from recognition.results import Face, Quality

FRONT = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
GOOD = Quality(size=40.0, sharpness=0.3, turn=0.0, nod=0.0, brightness=0.5)


def face(points: np.ndarray) -> Face:
    return Face((0.0, 0.0, 112.0, 112.0), 0.9, tuple(map(tuple, points.tolist())))  # type: ignore[arg-type]


@pytest.fixture
def crop(astronaut: Image.Image) -> Image.Image:
    return astronaut.crop((170, 60, 282, 172)).convert("RGB")


def quality(crop: Image.Image, points: np.ndarray = FRONT) -> Quality:
    return measure(face(points), np.asarray(crop))


def test_a_face_from_the_front_is_neither_turned_nor_nodding(crop: Image.Image) -> None:
    found = quality(crop)
    assert found.size == pytest.approx(35.2, abs=0.1)
    assert abs(found.turn) < 0.02
    assert abs(found.nod) < 0.02


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 250])
@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_pose_is_that_of_the_face_however_it_lies_and_size_grows_with_it(
    crop: Image.Image, degrees: float, scale: float
) -> None:
    turned = FRONT.copy()
    turned[2] += [9.0, 6.0]  # the nose
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright, moved = quality(crop, turned), quality(crop, scale * turned @ rotation.T + 7)
    assert upright.turn == pytest.approx(9 / 17.6, abs=0.02)
    assert upright.nod == pytest.approx(12 / 40.7, abs=0.03)
    assert (moved.turn, moved.nod) == pytest.approx((upright.turn, upright.nod), abs=1e-6)
    assert moved.size == pytest.approx(scale * upright.size)


def test_a_mirrored_face_is_turned_the_other_way(crop: Image.Image) -> None:
    turned = FRONT.copy()
    turned[2, 0] += 9
    mirrored = turned[[1, 0, 2, 4, 3]] * [-1, 1] + [112, 0]
    assert quality(crop, mirrored).turn == pytest.approx(-quality(crop, turned).turn)


def test_a_face_aside_is_as_large_as_it_is_high(crop: Image.Image) -> None:
    aside = (FRONT - [56, 0]) * [0.4, 1] + [56, 0]  # the eyes have come together
    assert quality(crop, aside).size == pytest.approx(quality(crop).size, rel=0.01)


def test_blurring_takes_the_sharpness_and_light_takes_neither(crop: Image.Image) -> None:
    sharp = quality(crop)
    blurred = [quality(crop.filter(ImageFilter.GaussianBlur(s))).sharpness for s in (1, 2, 4)]
    assert sharp.sharpness > blurred[0] > blurred[1] > blurred[2]
    assert blurred[2] < MOST_BLURRED
    dimmed = quality(crop.point(lambda value: value * 0.5))
    assert dimmed.sharpness == pytest.approx(sharp.sharpness, rel=0.05)
    assert dimmed.brightness == pytest.approx(sharp.brightness / 2, rel=0.02)


def test_a_face_that_is_no_face_has_numbers_all_the_same() -> None:
    nothing = measure(face(np.ones((5, 2))), np.zeros((112, 112, 3), np.uint8))
    assert nothing == Quality(size=0, sharpness=0, turn=0, nod=0, brightness=0)


def test_each_shortcoming_is_told_and_a_good_face_has_none() -> None:
    assert shortcomings(GOOD) == ()
    edges = Quality(
        size=SMALLEST,
        sharpness=MOST_BLURRED,
        turn=-MOST_TURNED,
        nod=MOST_NODDED,
        brightness=DARKEST,
    )
    assert shortcomings(edges) == ()
    poor = Quality(size=5, sharpness=0.01, turn=1.2, nod=-0.9, brightness=0.01)
    assert [what.split(" (")[0] for what in shortcomings(poor)] == [
        "too small",
        "blurred",
        "turned aside",
        "looking up",
        "too dark",
    ]
    bright = Quality(size=40, sharpness=0.3, turn=0, nod=0.8, brightness=BRIGHTEST + 0.01)
    assert [what.split(" (")[0] for what in shortcomings(bright)] == ["looking down", "too bright"]
