"""x"""

import io
import json
import os
import stat
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from corpus import pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from data import images
from data.errors import ArgumentError, ImageError, WriteError
from data.formats import PICTURE_SUFFIXES, Depth, holds, holds_alpha, usual_depth
from data.images import (
    as_png,
    find_images,
    load_image,
    load_picture,
    read_settings,
    save_image,
    to_image,
    to_tensor,
)


@pytest.fixture
def jpeg() -> bytes:
    return pictures.encode(pictures.scene())


def test_path_text_and_bytes_give_the_same_picture(jpeg: bytes, tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg)
    expected = np.asarray(load_image(jpeg))
    assert np.array_equal(np.asarray(load_image(path)), expected)
    assert np.array_equal(np.asarray(load_image(str(path))), expected)


def test_the_decoded_picture_is_the_one_that_was_saved():
    scene = pictures.scene()
    assert np.array_equal(np.asarray(load_image(pictures.encode(scene, "PNG"))), np.asarray(scene))


@pytest.mark.parametrize(
    "name",
    [
        "missing.jpg",
        "a\0b.jpg",
        "x" * 4096 + ".jpg",
        "no/such/folder.jpg",
        "\u202egpj.exe",
        "-",
        "CON",
    ],
    ids=["plain", "NUL", "4096 bytes", "no folder", "right-to-left", "dash", "CON"],
)
def test_a_missing_file_is_a_bad_argument(tmp_path: Path, name: str):
    with pytest.raises(ArgumentError, match="there is no file") as refusal:
        load_image(tmp_path / name)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


def test_what_is_no_file_on_disk_is_refused_at_once(tmp_path: Path):
    pipe, loop, folder = tmp_path / "p.jpg", tmp_path / "l.jpg", tmp_path / "a.jpg"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    folder.mkdir()
    for path in (pipe, loop, folder, Path("/dev/zero")):
        with pytest.raises(ImageError):
            load_image(path)


def test_a_link_to_a_picture_is_followed_and_one_to_nowhere_is_missing(jpeg: bytes, tmp_path: Path):
    (tmp_path / "real.jpg").write_bytes(jpeg)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    assert load_image(tmp_path / "link.jpg").size == (64, 48)
    with pytest.raises(ArgumentError):
        load_image(tmp_path / "broken.jpg")


def test_a_file_that_may_not_be_read_says_so(
    jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        load_image(path)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path):
    path = tmp_path / "long.jpg"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(ImageError, match="at most 200,000,000"):
        load_image(path)


def test_common_misnaming_is_forgiven_and_a_disguise_is_not(tmp_path: Path):
    for name, encoding in (("a.jpg", "WEBP"), ("a.png", "JPEG"), ("a", "TIFF"), ("a.tmp", "PPM")):
        (tmp_path / name).write_bytes(pictures.encode(pictures.scene(), encoding))
        assert load_image(tmp_path / name).size == pictures.SIZE
    for name, encoding in (("b.png", "TIFF"), ("b.jpg", "PPM"), ("b.tif", "JPEG")):
        content = pictures.encode(pictures.scene(), encoding)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="not what its name says"):
            load_image(tmp_path / name)
        with pytest.raises(ImageError, match=f"cannot read {name}: .* not what its name says"):
            load_image(content, name=name)
        assert load_image(content).size == pictures.SIZE


def test_a_photograph_under_the_name_that_windows_gives_it_is_found(jpeg: bytes, tmp_path: Path):
    (tmp_path / "photo.JFIF").write_bytes(jpeg)
    [found] = find_images([tmp_path])
    assert load_image(found).size == (64, 48)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_tensor_and_back_is_the_same_picture(height: int, width: int, seed: int):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    tensor = to_tensor(Image.fromarray(pixels))
    assert tensor.shape == (3, height, width)
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor[:, 0, 0] * 255, torch.tensor(pixels[0, 0]).float())
    assert np.array_equal(np.asarray(to_image(tensor)), pixels)
    assert np.array_equal(np.asarray(to_image(tensor[None])), pixels)


def test_a_grey_picture_becomes_three_channels():
    assert to_tensor(Image.new("L", (4, 3), 255)).eq(1).all()


def test_values_outside_are_clamped_and_rounded():
    tensor = torch.tensor([-1.0, 2.0, 0.5]).view(3, 1, 1)
    assert to_image(tensor).getpixel((0, 0)) == (0, 255, 128)


def test_a_tensor_that_is_no_picture_is_refused():
    with pytest.raises(ImageError, match="NaN"):
        to_image(torch.full((3, 2, 2), float("nan")))
    for shape in ((1, 4, 4), (2, 3, 4, 4), (4, 4)):
        with pytest.raises(ValueError, match="expected"):
            to_image(torch.zeros(shape))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.webp", "a.tif", "a.TIFF"])
def test_saved_pictures_come_back_without_their_metadata(tmp_path: Path, name: str):
    with Image.open(io.BytesIO(pictures.located(pictures.scene()))) as source:
        source.load()
        assert source.getexif().get_ifd(pictures.GPS)
        save_image(source, tmp_path / name)
    with Image.open(tmp_path / name) as saved:
        assert not saved.getexif().get_ifd(pictures.GPS)
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(saved.info)
    assert load_image(tmp_path / name).size == pictures.SIZE
    assert [p.name for p in tmp_path.iterdir()] == [name]  # no temporary file stays


def test_a_png_remembers_its_settings(tmp_path: Path):
    settings = {"steps": 3, "style": "Die Brücke ", "weights": [1.5, None]}
    save_image(pictures.scene(), tmp_path / "a.png", settings=settings)
    assert read_settings(tmp_path / "a.png") == settings
    with Image.open(tmp_path / "a.png") as saved:
        assert json.loads(saved.info["likeness"]) == settings
    assert np.array_equal(np.asarray(load_image(tmp_path / "a.png")), np.asarray(pictures.scene()))


def test_other_pictures_have_no_settings(tmp_path: Path):
    save_image(pictures.scene(), tmp_path / "a.png")
    save_image(pictures.scene(), tmp_path / "a.jpg")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "list.png").write_bytes(
        pictures.png(8, 8, pictures.chunk(b"tEXt", b"likeness\0[1]"), pixels=bytes(72))
    )
    for path in tmp_path.iterdir():
        assert read_settings(path) is None
    with pytest.raises(ArgumentError):
        read_settings(tmp_path / "missing.png")


def test_a_picture_that_cannot_be_saved_is_a_bad_argument_or_has_no_place(tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("a.gif", "a", "missing/a.png", "folder.png", "file/a.png", "a\0.png"):
        wrong = ArgumentError if name in ("a.gif", "a") else WriteError
        with pytest.raises(wrong, match=r"cannot (save|write)"):
            save_image(pictures.scene(), tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_saved_picture_has_ordinary_permissions_and_replaces_a_link(tmp_path: Path):
    outside = tmp_path / "outside.png"
    outside.write_text("keep me")
    link = tmp_path / "out.png"
    link.symlink_to(outside)
    save_image(pictures.scene(), link)
    assert outside.read_text() == "keep me"
    assert not link.is_symlink()
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(link.stat().st_mode) == 0o666 & ~mask


def test_folders_are_searched_and_files_taken_as_they_are(tmp_path: Path):
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "deep/.hidden.jpg", ".git/d.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = find_images([tmp_path / "notes.txt", tmp_path])
    assert [str(p.relative_to(tmp_path)) for p in found] == [
        "notes.txt",
        "a.png",
        "b.JPG",
        "deep/er/c.webp",
    ]


def test_the_search_ends_whatever_lies_there(tmp_path: Path):
    folder = tmp_path / "a.jpg"
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "up").symlink_to(tmp_path)
    (folder / "broken.png").symlink_to(tmp_path / "gone")
    found = find_images([tmp_path])
    assert [p.name for p in found] == ["broken.png", "loop.jpg", "pipe.jpg"]
    for path in found:
        with pytest.raises((ImageError, ArgumentError)):
            load_image(path)


def test_a_folder_that_may_not_be_searched_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_images([tmp_path]) == [tmp_path]
    with pytest.raises(ImageError):
        load_image(tmp_path)


@pytest.mark.parametrize("name", ["missing", "x" * 300, "a\0b"], ids=["plain", "long", "NUL"])
def test_a_path_that_does_not_exist_is_a_bad_argument(tmp_path: Path, name: str):
    with pytest.raises(ArgumentError, match="there is no file or folder"):
        find_images([tmp_path / name])


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
