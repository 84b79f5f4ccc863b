"""The faces of a photograph are found again in a painting, in their places, or not at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from data.errors import ArgumentError
from data.images import load_image, to_tensor
from recognition.portraits import FOLLOWER, JUDGE, PortraitRecogniser, _places
from recognition.results import Box, Face


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> PortraitRecogniser:
    return PortraitRecogniser(home=tmp_path_factory.mktemp("home"), device="cpu")


@pytest.fixture(scope="module")
def twice(astronaut: Image.Image) -> Image.Image:
    """The astronaut beside herself, smaller."""
    both = Image.new("RGB", (400, 256), "grey")
    both.paste(astronaut.resize((256, 256)), (0, 0))
    both.paste(astronaut.resize((144, 144)), (256, 40))
    return both


def test_a_photograph_resembles_itself(
    recogniser: PortraitRecogniser, astronaut: Image.Image
) -> None:
    faces = recogniser.look_at(astronaut)
    assert len(faces.faces) == 1
    assert faces.similarities(astronaut) == [pytest.approx(1, abs=1e-4)]
    assert 0.2 < faces.threshold < 0.6
    embedded = faces.embed(to_tensor(astronaut)[None])
    assert embedded.norm(dim=1).tolist() == [pytest.approx(1)]


def test_who_judges_is_not_who_follows(recogniser: PortraitRecogniser) -> None:
    assert FOLLOWER != JUDGE
    assert recogniser._follower.model_id == FOLLOWER
    assert recogniser._judge.model_id == JUDGE
    assert recogniser._follower.alignment is not recogniser._judge.alignment


def test_a_landscape_is_refused(recogniser: PortraitRecogniser) -> None:
    with pytest.raises(ArgumentError, match="no face is found in the photograph at 90×60 px"):
        recogniser.look_at(Image.new("RGB", (90, 60), "green"))


def test_each_face_is_judged_in_its_own_place(
    recogniser: PortraitRecogniser, twice: Image.Image
) -> None:
    faces = recogniser.look_at(twice)
    assert len(faces.faces) == 2
    assert all(each is not None and each > 0.99 for each in faces.similarities(twice))
    gone = twice.copy()
    gone.paste("grey", (256, 0, 400, 256))
    large, small = faces.similarities(gone)
    assert large is not None
    assert large > 0.99
    assert small is None
    assert faces.similarities(Image.new("RGB", twice.size)) == [None, None]


def test_what_is_left_of_a_face_resembles_it_less(
    recogniser: PortraitRecogniser, astronaut: Image.Image
) -> None:
    faces = recogniser.look_at(astronaut)
    blurred = [astronaut.filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 4, 8)]
    found = [faces.similarities(image)[0] for image in blurred]
    kept = [similarity for similarity in found if similarity is not None]
    assert len(kept) >= 2
    assert kept == sorted(kept, reverse=True)


def test_another_person_in_the_same_place_is_told_apart(
    recogniser: PortraitRecogniser, lfw_photos: Path
) -> None:
    photographs = [
        load_image(lfw_photos / name / f"{name}_0001.jpg")
        for name in ("Andre_Agassi", "Angelina_Jolie")
    ]
    known, other = (recogniser.look_at(photograph) for photograph in photographs)
    [similarity] = known.similarities(photographs[1])  # LFW's faces all stand in one place
    assert similarity is not None
    assert similarity < known.threshold
    assert other.similarities(photographs[1]) == [pytest.approx(1, abs=1e-4)]


def _at(box: Box) -> Face:
    x1, y1, x2, y2 = box
    return Face(box, 0.99, ((x1, y1), (x2, y1), (x1, y2), (x1, y2), (x2, y2)))


def test_places_are_given_once_and_best_first() -> None:
    known = [_at((0, 0, 10, 10)), _at((4, 0, 14, 10)), _at((50, 50, 60, 60))]
    found = [_at((3, 0, 13, 10)), _at((90, 90, 99, 99)), _at((1, 0, 11, 10))]
    assert _places(known, found) == [2, 0, None]
    assert _places(known, found[:1]) == [None, 0, None]
    assert _places(known, []) == [None, None, None]
    assert _places([], found) == []


def test_places_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(rng.uniform(0, 100, (8, 2)))
    known = [_at((x, y, x + 30, y + 30)) for x, y in boxes.tolist()]
    found = [_at((x + 2, y - 3, x + 31, y + 29)) for x, y in boxes.tolist()]
    order = rng.permutation(8)
    straight = _places(known, found)
    shuffled = _places(known, [found[i] for i in order])
    assert straight == [None if i is None else int(order[i]) for i in shuffled]
