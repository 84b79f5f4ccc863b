"""What a file's name promises."""

import pytest
from corpus import pictures

from data.formats import disguised

OTHERS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


@pytest.mark.parametrize("encoding", ["TIFF", "PPM"])
def test_what_stays_behind_its_own_name_is_found_behind_another(encoding: str):
    content = pictures.encode(pictures.scene(), encoding)
    own = {"TIFF": ("a.tif", "a.TIFF"), "PPM": ("a.ppm", "a.pgm")}[encoding]
    assert [disguised(name, content) for name in (*own, "a", "a.unknown")] == [None] * 4
    for name in ("a.png", "a.tif.jpg", ".gif", "a.webp"):
        assert disguised(name, content) == encoding
    assert disguised("a.ppm" if encoding == "TIFF" else "a.tif", content) == encoding


@pytest.mark.parametrize("encoding", OTHERS)
def test_what_is_often_misnamed_is_not_minded(encoding: str):
    content = pictures.encode(pictures.scene(), encoding)
    assert disguised("a.png", content) is None
    assert disguised("a.jpg", b"") is None
