import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from recognition.faces.quality import (
    BRIGHTEST,
    DARKEST,
    LEAST_TRUST,
    MOST_BLURRED,
    MOST_NODDED,
    MOST_TURNED,
    SHARPEST,
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
    assert nothing == Quality(size=0, sharpness=0, turn=0, nod=0, brightness=0, trust=0)


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 11.97}, "too small (its eyes are 11.9 pixels apart; 12 or more is needed)"),
        ({"size": 3}, "too small (its eyes are 3.0 pixels apart; 12 or more is needed)"),
        ({"sharpness": 0.06999}, "blurred (sharpness 0.069; 0.07 or more is needed)"),
        ({"sharpness": 2.001}, "noisy, or made of dots (sharpness 2.1; at most 2 will do)"),
        ({"turn": -0.8001}, "turned aside (0.81; at most 0.8 will do)"),
        ({"nod": 0.7004}, "looking down (0.71; at most 0.7 will do)"),
        ({"brightness": 0.0999}, "too dark (brightness 0.09; 0.1 or more is needed)"),
        ({"brightness": 0.8801}, "too bright (brightness 0.881; at most 0.88 will do)"),
        ({"trust": 0.74999}, "hard to recognise (trust 0.749; 0.75 or more is needed)"),
    ],
)
def test_the_sentence_is_true_as_it_is_rounded(change: dict[str, float], said: str) -> None:
    assert shortcomings(replace(GOOD, **change)) == (said,)


@given(st.floats(0, 30), st.floats(0, 6), st.floats(-2, 2), st.floats(0, 1), st.floats(0, 1))
def test_no_sentence_says_that_a_number_misses_what_it_reaches(
    size: float, sharpness: float, turn: float, brightness: float, trust: float
) -> None:
    found = shortcomings(
        Quality(
            size=size, sharpness=sharpness, turn=turn, nod=0, brightness=brightness, trust=trust
        )
    )
    for what in found:
        told, limit = (float(part) for part in re.findall(r"\d+(?:\.\d+)?", what))
        assert told < limit if "or more" in what else told > limit


@pytest.mark.parametrize("kind", ["dither", "threshold", "ordered", "noise", "salt", "speckle"])
def test_noise_and_dots_are_not_taken_for_sharpness(kind: str, astronaut: Image.Image) -> None:
    picture = astronaut.crop((130, 20, 322, 212))
    rng = np.random.default_rng(1)
    pixels = np.asarray(picture, float)
    grey = picture.convert("L")
    if kind == "dither":
        poor = grey.convert("1").convert("RGB")
    elif kind == "threshold":
        poor = grey.point(lambda value: 255 * (value > 120)).convert("RGB")
    elif kind == "ordered":
        screen = np.tile(np.array([[32, 160], [224, 96]]), (96, 96))
        poor = Image.fromarray(np.uint8(255 * (np.asarray(grey) > screen))).convert("RGB")
    else:
        added = rng.normal(0, 110, pixels.shape)
        if kind == "salt":
            added = (
                600
                * (rng.random((*pixels.shape[:2], 1)) - 0.5)
                * (rng.random((*pixels.shape[:2], 1)) < 0.5)
            )
        if kind == "speckle":
            added = pixels * rng.normal(0, 0.9, pixels.shape)
        poor = Image.fromarray((pixels + added).clip(0, 255).astype(np.uint8))
    clean = quality(picture.crop((40, 40, 152, 152)))
    found = quality(poor.crop((40, 40, 152, 152)))
    assert shortcomings(clean) == ()
    assert clean.trust is not None
    assert found.trust is not None
    assert clean.trust > 0.9
    assert found.trust < LEAST_TRUST
    assert shortcomings(found)
    assert found.sharpness > clean.sharpness
    assert clean.sharpness < SHARPEST


def test_trust_falls_with_each_kind_of_damage(crop: Image.Image) -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, (112, 112, 3))

    def noisy(by: float) -> Image.Image:
        return Image.fromarray((np.asarray(crop) + by * noise).clip(0, 255).astype(np.uint8))

    def packed(at: int) -> Image.Image:
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=at)
        return Image.open(file).convert("RGB")

    def smeared(by: int) -> Image.Image:
        pixels = np.asarray(crop, float)
        moved = [np.roll(pixels, place - by // 2, axis=1) for place in range(by)]
        return Image.fromarray(np.mean(moved, axis=0).astype(np.uint8))

    for copies in (
        [crop, noisy(30), noisy(60), noisy(120)],
        [crop, *(crop.filter(ImageFilter.GaussianBlur(by)) for by in (2, 4, 8))],
        [crop, packed(20), packed(6), packed(1)],
        [crop, smeared(7), smeared(15), smeared(25)],
        [crop, *(crop.point(lambda value, by=by: value * by) for by in (0.2, 0.06, 0.02))],
    ):
        trusts = [quality(copy).trust for copy in copies]
        assert all(one is not None for one in trusts)
        assert trusts == sorted(trusts, key=lambda one: -(one or 0.0))
        assert trusts[-1] is not None
        assert trusts[-1] < LEAST_TRUST


def test_what_was_not_measured_is_no_shortcoming() -> None:
    assert shortcomings(replace(GOOD, trust=None)) == ()
    assert shortcomings(replace(GOOD, trust=LEAST_TRUST)) == ()
