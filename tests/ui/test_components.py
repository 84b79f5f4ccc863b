import base64
import io

import pytest
from PIL import Image

from recognition.results import Face, Identification, IdentifiedFace
from ui import components


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
    monkeypatch.setattr(components, "_matches", lambda key, data: shown.extend(data["cards"]))
    components.match_cards(Image.new("RGB", (64, 64)), result, 0.4, key="cards")
    assert shown[0]["verdict"] == "closest: nobody"
