"""What is written: 16-bit values by an own slow reader, sRGB, settings in every format."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from corpus import pictures
from PIL import Image, ImageCms

from data.errors import ImageError
from data.formats import PICTURE_SUFFIXES, Depth, holds, holds_alpha, usual_depth
from data.images import as_png, load_picture, read_settings, save_image

SETTINGS = {"steps": 3, "style": "Die Brücke <&> ", "weights": [1.5, None], "nested": {"a": "b"}}


def slow_png(content: bytes) -> np.ndarray:
    """(H, W, C) of a 16-bit PNG, by the format's own words."""
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    channels = {2: 3, 6: 4}[content[25]]
    data, at = b"", 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        data += content[at + 8 : at + 8 + length] if content[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    raw, pixel = zlib.decompress(data), 2 * channels
    line = width * pixel
    above, rows = [0] * line, []
    for row in range(height):
        kind, given = raw[row * (line + 1)], raw[row * (line + 1) + 1 : (row + 1) * (line + 1)]
        here: list[int] = []
        for i, byte in enumerate(given):
            a = here[i - pixel] if i >= pixel else 0
            b, c = above[i], above[i - pixel] if i >= pixel else 0
            near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            here.append((byte + (0, a, b, (a + b) // 2, near)[kind]) % 256)
        above = here
        rows.append(here)
    return np.array(rows, np.uint8).reshape(height, -1).view(">u2").reshape(height, width, -1)


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("clear", [False, True])
def test_sixteen_bits_survive_exactly(tmp_path: Path, clear: bool):
    colours = picture(3, 12, 9)
    alpha = torch.full((1, 12, 9), 40000 / 65535) if clear else None
    shown = colours if alpha is None else colours * alpha + 1 - alpha
    for name in ("a.png", "a.tif"):
        save_image(shown, tmp_path / name, depth=Depth.SIXTEEN, alpha=alpha)
    png = slow_png((tmp_path / "a.png").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        [page] = file.pages
        assert page.bitspersample == 16
        assert np.array_equal(page.asarray(), png)
    expected = colours.permute(1, 2, 0).double().numpy() * 65535
    assert np.abs(png[..., :3] - expected).max() < (0.6 if clear else 0.51)
    if clear:
        assert (png[..., 3] == 40000).all()


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_what_was_read_deep_is_written_bit_by_bit(tmp_path: Path, name: str):
    whole = torch.from_numpy(np.random.default_rng(1).integers(0, 65536, (3, 40, 30)))
    save_image((whole / 65535).float(), tmp_path / name, depth=Depth.SIXTEEN)
    again = load_picture(tmp_path / name).colours
    assert torch.equal((again.double() * 65535).round().long(), whole)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
@pytest.mark.parametrize("depth", list(Depth))
def test_settings_travel_in_every_format(tmp_path: Path, suffix: str, depth: Depth):
    if not holds(suffix, depth):
        return
    path, again = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for place in (path, again):
        save_image(picture(3, 20, 30), place, depth=depth, settings=SETTINGS)
    assert read_settings(path) == SETTINGS
    assert path.read_bytes() == again.read_bytes()
    with Image.open(path) as saved:  # another reader, and no word of anything else
        assert saved.size == (30, 20)
        assert not saved.getexif().get_ifd(0x8825)
        if suffix == ".png":
            assert saved.info["srgb"] == 0
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(saved.info["icc_profile"]))
            assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_carried_at_the_size_of_the_picture(tmp_path: Path, suffix: str):
    alpha = torch.zeros(1, 80, 120)
    alpha[..., 60:] = 1
    save_image(picture(3, 20, 30), tmp_path / f"a{suffix}", alpha=alpha)
    with Image.open(tmp_path / f"a{suffix}") as saved:
        assert saved.mode == "RGBA"
        opacity = np.asarray(saved)[..., 3]
    assert (opacity[:, :13] == 0).all()
    assert (opacity[:, 17:] == 255).all()


def test_on_white_the_saved_picture_is_the_painted_one(tmp_path: Path):
    alpha = 0.5 + picture(1, 20, 30) / 2
    painted = 1 - alpha + alpha * picture(3, 20, 30)
    save_image(painted, tmp_path / "a.png", alpha=alpha)
    assert (load_picture(tmp_path / "a.png").colours - painted).abs().max() < 1.5 / 255


def test_what_formats_hold():
    assert [s for s in PICTURE_SUFFIXES if holds(s, Depth.SIXTEEN)] == [".png", ".tif", ".tiff"]
    assert [s for s in PICTURE_SUFFIXES if not holds_alpha(s)] == [".jpg", ".jpeg"]
    assert [usual_depth(s) for s in (".PNG", ".TIF")] == [Depth.EIGHT, Depth.SIXTEEN]


def test_settings_that_a_jpeg_has_no_room_for_cost_no_picture(tmp_path: Path):
    for name in ("a.jpg", "a.webp", "a.png", "a.tif"):
        save_image(picture(3, 20, 30), tmp_path / name, settings={"long": "x" * 70_000})
        assert (read_settings(tmp_path / name) is None) == (name == "a.jpg")


def test_a_strangers_description_is_no_settings(tmp_path: Path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    for number, text in enumerate(('{"shape": [16, 16, 3]}', "a view", '{"likeness": 3}', "[1]")):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, description=text)
        assert read_settings(path) is None
    pictures.scene().save(tmp_path / "a.jpg", xmp=b"<likeness:settings>{</likeness:settings>")
    assert read_settings(tmp_path / "a.jpg") is None


def test_a_clean_png_keeps_depth_and_alpha_and_nothing_else():
    clean = as_png(pictures.located(pictures.scene()))
    assert b"eXIf" not in clean
    deep = as_png(as_png(pictures.encode(Image.fromarray(np.full((9, 9), 300, np.uint16)), "PNG")))
    assert (slow_png(deep) == 300).all()
    hidden = as_png(pictures.encode(pictures.hidden_colour(pictures.scene()), "PNG"))
    with Image.open(io.BytesIO(hidden)) as image:
        assert image.mode == "RGBA"
    with pytest.raises(ImageError, match="cannot read this picture"):
        as_png(b"<html>")
