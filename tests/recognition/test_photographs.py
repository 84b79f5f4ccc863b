import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import images
from data.errors import ArgumentError, ImageError
from recognition import photographs
from recognition.photographs import Photograph, Seen, look_at, read_in_batches, read_photograph
from recognition.results import FailedImage


def picture(seed: int = 0, size: tuple[int, int] = (20, 30)) -> Image.Image:
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_path_a_file_s_content_and_a_picture_are_read_alike(tmp_path: Path) -> None:
    image = picture()
    content = as_png(image)
    path = tmp_path / "ann.png"
    path.write_bytes(content)
    from_path, from_bytes, from_image = (
        read_photograph(source, 3) for source in (path, content, image)
    )
    for photograph in (from_path, from_bytes, from_image):
        assert photograph.image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(photograph.image), np.asarray(image))
    assert from_path.sha256 == from_bytes.sha256 == hashlib.sha256(content).hexdigest()
    assert (from_path.name, from_bytes.name, from_image.name) == (str(path), "image 3", "image 3")


def test_a_file_is_read_once_so_that_its_digest_is_that_of_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ann.png"
    content = as_png(picture(0))
    path.write_bytes(content)
    decode = images.decode

    def decode_and_remove(*arguments: Any, **options: Any) -> Image.Image:
        path.unlink()
        return decode(*arguments, **options)

    monkeypatch.setattr(images, "decode", decode_and_remove)
    photograph = read_photograph(path, 1)
    assert photograph.sha256 == hashlib.sha256(content).hexdigest()
    np.testing.assert_array_equal(np.asarray(photograph.image), np.asarray(picture(0)))


def test_a_path_s_suffix_still_says_what_the_file_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "ann.png"
    picture().save(path, "TIFF")
    with pytest.raises(ImageError, match=r"ann\.png: .*not what its name says"):
        read_photograph(path, 1)


def test_a_picture_s_digest_is_that_of_its_pixels() -> None:
    assert read_photograph(picture(0), 1).sha256 == read_photograph(picture(0), 2).sha256
    assert read_photograph(picture(0), 1).sha256 != read_photograph(picture(1), 1).sha256
    wide, high = picture(0, (40, 10)), picture(0, (10, 40))
    assert wide.tobytes() == high.tobytes()
    assert read_photograph(wide, 1).sha256 != read_photograph(high, 1).sha256


def test_a_picture_of_another_mode_becomes_rgb() -> None:
    assert read_photograph(picture().convert("RGBA"), 1).image.mode == "RGB"
    deep = Image.fromarray(np.full((30, 30), 65535, np.uint16))
    assert read_photograph(deep, 1).image.getpixel((0, 0)) == (255, 255, 255)


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError):
        read_photograph(tmp_path / "missing.jpg", 1)
    with pytest.raises(ImageError):
        read_photograph(b"no picture", 1)


def test_one_bad_photograph_does_not_stop_the_others(tmp_path: Path) -> None:
    [batch] = read_in_batches([picture(0), b"no picture", tmp_path / "missing.jpg", picture(1)])
    assert [type(item) for item in batch] == [Photograph, FailedImage, FailedImage, Photograph]
    assert isinstance(batch[1], FailedImage)
    assert batch[1].image == "image 2"
    assert isinstance(batch[2], FailedImage)
    assert batch[2].image == str(tmp_path / "missing.jpg")
    assert "\n" not in batch[1].error + batch[2].error


def test_batches_are_bounded_in_number_and_in_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MOST_IMAGES", 3)
    monkeypatch.setattr(photographs, "MOST_PIXELS", 1000)
    sizes = [(10, 10)] * 5 + [(30, 30), (60, 60), (10, 10), (10, 10)]
    batches = list(read_in_batches([picture(i, size) for i, size in enumerate(sizes)]))
    assert [len(batch) for batch in batches] == [3, 2, 1, 1, 2]
    flat = [item for batch in batches for item in batch]
    assert [item.image.size for item in flat if isinstance(item, Photograph)] == sizes


def test_nothing_is_no_batch() -> None:
    assert list(read_in_batches([])) == []


def test_what_was_found_goes_to_its_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MOST_IMAGES", 2)
    calls: list[int] = []
    steps: list[tuple[int, int]] = []

    def find(images: list[Image.Image]) -> list[list[int]]:
        calls.append(len(images))
        return [[image.width] * (image.width % 3) for image in images]

    widths = [21, 22, None, 23, 24, None]
    sources = [b"" if width is None else picture(0, (width, 20)) for width in widths]
    seen = list(look_at(sources, find, lambda done, total: steps.append((done, total))))
    assert [item.faces for item in seen if isinstance(item, Seen)] == [(), (22,), (23, 23), ()]
    assert [isinstance(item, FailedImage) for item in seen] == [width is None for width in widths]
    assert steps == [(i, 6) for i in range(1, 7)]
    assert sum(calls) == 4
    assert max(calls) <= 2


def test_photographs_are_read_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MOST_IMAGES", 1)
    found: list[int] = []

    def find(images: list[Image.Image]) -> list[list[int]]:
        found.append(len(images))
        return [[] for _ in images]

    walk = look_at([picture(i) for i in range(10)], find, None)
    next(walk)
    assert len(found) == 1
