import base64
import io
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recognition.results import Face, Identification, IdentifiedFace
from ui.page import components


def opened(url: str) -> Image.Image:
    kind, content = url.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
    ("size", "sent"), [((64, 48), (64, 48)), ((4000, 3000), (1280, 960)), ((300, 6000), (64, 1280))]
)
def test_a_picture_is_sent_no_larger_than_it_is_looked_at(
    size: tuple[int, int], sent: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, "teal")
    assert opened(components.data_url(image)).size == sent
    assert image.size == size


def test_a_picture_is_sent_without_what_its_file_said_about_it() -> None:
    image = Image.new("RGB", (64, 64))
    image.info["exif"] = b"Exif\x00\x00secret"
    assert not opened(components.data_url(image)).getexif()


def test_a_face_that_nobody_enrolled_may_be_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    face = Face(box=(4.0, 4.0, 40.0, 50.0), detection_score=0.99, landmarks=((0.0, 0.0),) * 5)
    result = Identification(
        image="a.png",
        faces=(IdentifiedFace(face=face, person=None, matches=(), quality=None),),
    )
    shown: list[dict[str, object]] = []

    def draw(*, data: dict[str, list[dict[str, object]]], **_: object) -> dict[str, object]:
        shown.extend(data["cards"])
        return {}

    monkeypatch.setattr(components, "_matches", draw)
    picture = components.Shown(url="data:,", size=(64, 64), faces=("data:,",))
    assert components.match_cards(picture, result, [0], 0.4, key="cards") is None
    assert shown[0]["verdict"] == "Closest: nobody"


@given(st.integers(1, 5), st.integers(1, 6), st.randoms(use_true_random=False))
def test_faces_of_a_group_are_numbered_row_by_row(rows: int, columns: int, draw: Random) -> None:
    """Rows of people who stand at slightly different heights, in any order."""
    grid = [
        (column * 100.0 + draw.uniform(-9, 9), row * 130.0 + draw.uniform(-20, 20))
        for row in range(rows)
        for column in range(columns)
    ]
    places = list(range(len(grid)))
    draw.shuffle(places)
    boxes = [(grid[at][0], grid[at][1], grid[at][0] + 70, grid[at][1] + 90) for at in places]
    assert [places[number] for number in components.reading_order(boxes)] == sorted(places)


def test_no_faces_have_no_order() -> None:
    assert components.reading_order([]) == []
