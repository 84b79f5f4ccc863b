"""Pictures as callers from Python hand them in."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpus import pictures
from PIL import Image

from data.errors import ArgumentError, ImageError
from data.sources import check_source, content_of, image_of, is_decoded, name_of, several

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 20, 3), dtype=np.uint8)
SHARES = PIXELS.astype(np.float64) / 255
CLEAR = np.concatenate([PIXELS, np.full((12, 20, 1), 255, np.uint8)], axis=2)

SAME = {
    "bytes of the pixels": PIXELS,
    "float32": SHARES.astype(np.float32),
    "float64": SHARES,
    "float16": SHARES.astype(np.float16),
    "uint16": PIXELS.astype(np.uint16) * 257,
    "reversed twice": PIXELS[::-1][::-1],
    "not contiguous": np.asfortranarray(PIXELS),
    "with alpha": CLEAR,
    "a tensor": torch.from_numpy(SHARES).permute(2, 0, 1).float(),
    "a tensor of bytes": torch.from_numpy(PIXELS).permute(2, 0, 1),
    "a batch of one": torch.from_numpy(SHARES).permute(2, 0, 1)[None],
    "a tensor with a gradient": torch.from_numpy(SHARES).permute(2, 0, 1).requires_grad_(),
    "half precision": torch.from_numpy(SHARES).permute(2, 0, 1).bfloat16(),
    "Pillow's": Image.fromarray(PIXELS),
    "Pillow's with alpha": Image.fromarray(CLEAR),
}


@pytest.mark.parametrize("source", list(SAME.values()), ids=list(SAME))
def test_one_picture_is_the_same_in_every_form(source: Any) -> None:
    check_source(source)
    assert is_decoded(source)
    assert several(source)[0] is source
    image = image_of(source)
    assert (image.mode, image.size) == ("RGB", (20, 12))
    coarse = getattr(source, "dtype", None) in (torch.bfloat16, np.dtype(np.float16))
    assert np.abs(np.asarray(image, int) - PIXELS).max() <= (1 if coarse else 0)


@pytest.mark.parametrize(
    "source",
    [
        PIXELS[..., 0],
        PIXELS[..., :1],
        SHARES[..., 0],
        torch.from_numpy(PIXELS[..., 0]),
        torch.from_numpy(PIXELS[..., 0])[None],
        Image.fromarray(PIXELS[..., 0]),
    ],
)
def test_grey_becomes_three_equal_channels(source: Any) -> None:
    found = np.asarray(image_of(source))
    np.testing.assert_array_equal(found, np.repeat(PIXELS[..., :1], 3, 2))


def test_transparency_shows_white_and_bool_black_and_white() -> None:
    hidden = CLEAR.copy()
    hidden[:, :5, 3] = 0
    assert (np.asarray(image_of(hidden))[:, :5] == 255).all()
    half = np.zeros((8, 8, 4))
    half[..., 3] = 0.5
    assert (np.asarray(image_of(half)) == 128).all()
    board = np.indices((9, 9)).sum(0) % 2 == 0
    assert set(np.unique(np.asarray(image_of(board)))) == {0, 255}


def test_a_picture_of_pillow_s_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    scene = pictures.scene()
    for orientation in range(1, 10):
        content = pictures.oriented(pictures.stored(scene, orientation), orientation)
        with Image.open(io.BytesIO(content)) as opened:  # not decoded yet
            found = image_of(opened)
        assert np.abs(np.asarray(found, int) - np.asarray(scene, int)).mean() < 6


@pytest.mark.parametrize("encoding", ["PNG", "JPEG", "GIF"])
def test_a_picture_of_pillow_s_that_turns_out_damaged_is_refused(encoding: str) -> None:
    content = pictures.encode(pictures.scene(), encoding)
    opened = Image.open(io.BytesIO(content[: len(content) * 2 // 3]))
    with opened, pytest.raises(ImageError, match="cannot be decoded"):
        image_of(opened)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SHARES * 255, "divide"),
        (SHARES - 0.5, "between"),
        (np.full((9, 9), np.nan), "NaN"),
        (np.full((9, 9, 3), np.inf, np.float32), "NaN or infinite"),
        (torch.full((3, 9, 9), torch.nan), "NaN"),
        (np.zeros((7, 40, 3)), "40×7"),
        (np.zeros((0, 0)), "0×0"),
        (torch.zeros(3, 9, 5), "5×9"),
        (np.broadcast_to(np.uint8(3), (8000, 8000)), "8000×8000"),
        (Image.new("L", (3, 3)), "3×3"),
        (Image.new("RGB", (3, 30)), "3×30"),
    ],
)
def test_values_that_are_no_picture_are_refused(source: Any, said: str) -> None:
    check_source(source)
    with pytest.raises(ImageError) as refusal:
        image_of(source)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        object(),
        {"a": 1},
        {"a.jpg"}.__iter__,
        lambda: None,
        np.zeros((3, 9, 9)),
        np.zeros((2, 9, 9, 3)),
        np.zeros(9),
        np.zeros((9, 9), np.int64),
        np.zeros((9, 9), complex),
        np.array([["a", "b"]]),
        np.array([object()]),
        torch.zeros(9, 9, 3),
        torch.zeros(2, 3, 9, 9),
        torch.zeros(3, 9, 9, dtype=torch.int64),
    ],
)
def test_anything_else_is_refused_in_one_line_that_names_what_is_taken(source: Any) -> None:
    for given in (source, [PIXELS, source]):
        with pytest.raises(ArgumentError) as refusal:
            several(given)
        for word in ("path", "bytes", "PIL image", "(H, W, 3)", "tensor"):
            assert word in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_bare_picture_is_one_and_whatever_holds_several_is_several(tmp_path: Path) -> None:
    content = pictures.encode(pictures.scene())
    for bare in ("a.jpg", tmp_path, content, bytearray(content), memoryview(content), PIXELS):
        found = several(bare)
        assert len(found) == 1
        assert found[0] is bare
    file = io.BytesIO(content)
    assert several(file) == [file]
    assert several(iter(["a.jpg", tmp_path])) == ["a.jpg", tmp_path]
    assert several(("a.jpg",)) == ["a.jpg"]
    assert several([]) == []


@pytest.mark.parametrize(
    "wrapped", [bytes, bytearray, memoryview, io.BytesIO], ids=lambda kind: kind.__name__
)
def test_the_bytes_of_a_file_may_come_in_any_form(wrapped: Callable[[bytes], Any]) -> None:
    content = pictures.encode(pictures.scene())
    source = wrapped(content)
    assert not is_decoded(source)
    assert content_of(source, most_bytes=10**6) == content
    assert content_of(source, most_bytes=10**6) == content  # a file is read from its beginning


def test_open_files_are_read_whole_and_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "ann.jpg"
    path.write_bytes(pictures.encode(pictures.scene()))
    with path.open("rb") as file:
        file.seek(100)
        assert content_of(file, most_bytes=10**6) == path.read_bytes()
        assert name_of(file, 4) == str(path)
        with pytest.raises(ImageError, match="at most 100 bytes"):
            content_of(file, most_bytes=100)
    with pytest.raises(ImageError, match="open"):
        content_of(file, most_bytes=10**6)  # it is closed by now
    with path.open(encoding="latin-1") as text, pytest.raises(ArgumentError, match="'rb'"):
        check_source(text)
    assert name_of(io.BytesIO(), 4) == name_of(PIXELS, 4) == "image 4"
