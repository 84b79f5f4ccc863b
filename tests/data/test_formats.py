"""What a file's name promises."""

import pytest
from corpus import images, pictures

from data.formats import FORMATS, begins_like, disguised, in_words

OTHERS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF")


@pytest.mark.parametrize("encoding", ["TIFF", "PPM", "JPEG2000"])
def test_what_stays_behind_its_own_name_is_found_behind_another(encoding: str):
    content = pictures.encode(pictures.scene(), encoding)
    own = {
        "TIFF": ("a.tif", "a.TIFF"),
        "PPM": ("a.ppm", "a.pgm"),
        "JPEG2000": ("a.jp2", "a.J2K"),
    }[encoding]
    assert [disguised(name, content) for name in (*own, "a", "a.unknown")] == [None] * 4
    for name in ("a.png", "a.tif.jpg", ".gif", "a.webp"):
        assert disguised(name, content) == encoding
    assert disguised("a.ppm" if encoding == "TIFF" else "a.tif", content) == encoding


@pytest.mark.parametrize("encoding", OTHERS)
def test_what_is_often_misnamed_is_not_minded(encoding: str):
    content = pictures.encode(pictures.scene(), encoding)
    assert disguised("a.png", content) is None
    assert disguised("a.jpg", b"") is None


def test_each_format_is_told_by_its_beginning_and_only_as_itself():
    for encoding in FORMATS - {"HEIF"}:
        content = pictures.encode(pictures.scene(), encoding)
        assert [name for name in sorted(FORMATS) if begins_like(name, content)] == [encoding]
    assert [name for name in sorted(FORMATS) if begins_like(name, images.heic())] == ["HEIF"]


def test_every_format_is_named_where_they_are_listed():
    words = in_words(FORMATS)
    assert len(words.split(", ")) == len(FORMATS)
    assert {"HEIC", "AVIF", "JPEG 2000", "WebP"} <= set(words.split(", "))
