import base64
import io

import pytest
from PIL import Image

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
