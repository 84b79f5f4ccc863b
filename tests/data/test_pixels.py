"""Pictures of 16 bit a channel keep every bit, their transparency and their colours."""

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from corpus import images, pictures
from PIL import Image, ImageCms

from data import pixels
from data.decoding import decode, decode_pixels
from data.errors import ImageError
from data.images import load_picture

SHAPE = (48, 64)


def values(channels: int) -> np.ndarray:
    noise = np.random.default_rng(channels).integers(0, 65536, (*SHAPE, channels))
    noise[0, 0], noise[0, 1] = 0, 65535
    return noise.astype(np.uint16)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, **options)
    return file.getvalue()


def linear_profile() -> bytes:
    """sRGB's profile with straight lines in place of its curves."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        entry = content.index(name, 128)
        at = int.from_bytes(content[entry + 4 : entry + 8], "big")
        content[at : at + 12] = b"curv" + bytes(8)
    return bytes(content)


def with_profile(png: bytes, profile: bytes) -> bytes:
    import zlib

    return png[:33] + pictures.chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)) + png[33:]


@pytest.mark.parametrize("channels", [3, 4])
def test_a_deep_png_keeps_every_bit(channels: int):
    given = values(channels)
    read = decode_pixels(imagecodecs.png_encode(given))
    assert np.array_equal(read.colours, given[..., :3])
    assert read.alpha is None if channels == 3 else np.array_equal(read.alpha, given[..., 3])


def test_deep_grey_keeps_every_bit_with_alpha_and_without():
    given = values(2)
    grey = decode_pixels(pictures.encode(Image.fromarray(given[..., 0]), "PNG"))
    assert np.array_equal(grey.colours, np.repeat(given[..., :1], 3, axis=2))
    assert grey.alpha is None
    clear = decode_pixels(imagecodecs.png_encode(given))
    assert np.array_equal(clear.colours, np.repeat(given[..., :1], 3, axis=2))
    assert np.array_equal(clear.alpha, given[..., 1])


def test_the_transparent_colour_of_a_deep_png_is_transparent():
    given = values(3)
    png = imagecodecs.png_encode(given)
    chunk = pictures.chunk(b"tRNS", struct.pack(">HHH", *given[5, 7]))
    read = decode_pixels(png[:33] + chunk + png[33:])
    assert read.alpha is not None
    assert np.argwhere(read.alpha == 0).tolist() == [[5, 7]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [3, 4])
def test_a_deep_tiff_keeps_every_bit(channels: int, options: dict[str, Any]):
    given = values(channels)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    read = decode_pixels(tiff(given, **options, **extra))
    assert np.array_equal(read.colours, given[..., :3])
    assert read.alpha is None if channels == 3 else np.array_equal(read.alpha, given[..., 3])


def test_a_tiff_whose_channels_lie_apart_is_read_as_its_twin():
    given = values(3)
    content = tiff(np.moveaxis(given, -1, 0), planarconfig="separate")
    assert np.array_equal(decode_pixels(content).colours, given)
    assert np.array_equal(np.asarray(decode(content)), np.rint(given / 257))


def test_colours_multiplied_by_alpha_are_divided_again():
    straight = values(4)
    alpha = straight[..., 3:].astype(np.float64) / 65535
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(straight[..., :3] * alpha)
    read = decode_pixels(tiff(multiplied, extrasamples=["assocalpha"]))
    error = np.abs(read.colours.astype(float) - straight[..., :3]) * alpha
    assert error.max() <= 1
    assert np.array_equal(read.alpha, straight[..., 3])


def test_a_fourth_channel_that_is_no_alpha_is_left_out():
    given = values(4)
    read = decode_pixels(tiff(given, extrasamples=["unspecified"]))
    assert np.array_equal(read.colours, given[..., :3])
    assert read.alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_picture_is_turned_upright_like_a_shallow_one(orientation: int):
    deep = values(3)
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    chunk = pictures.chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    png = imagecodecs.png_encode(deep)
    upright = decode(
        pictures.encode(Image.fromarray((deep >> 8).astype(np.uint8)), "PNG", exif=exif)
    )
    for content in (
        png[:33] + chunk + png[33:],
        png[:-12] + chunk + png[-12:],
        tiff(deep, extratags=[(pictures.ORIENTATION, 3, 1, orientation, True)]),
    ):
        read = decode_pixels(content).colours
        assert np.array_equal(read >> 8, np.asarray(upright))


def test_a_deep_picture_of_another_profile_becomes_srgb():
    light = values(3)
    x = light / 65535
    expected = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 65535
    for content in (
        with_profile(imagecodecs.png_encode(light), linear_profile()),
        tiff(light, iccprofile=linear_profile()),
    ):
        assert np.abs(decode_pixels(content).colours - expected).max() <= 2


def test_a_profile_that_makes_no_sense_is_ignored():
    light = values(3)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"junk" * 100, lab):
        content = with_profile(imagecodecs.png_encode(light), profile)
        assert np.array_equal(decode_pixels(content).colours, light)


def test_floating_point_keeps_sixteen_bits():
    grey = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(SHAPE)
    read = decode_pixels(pictures.encode(Image.fromarray(grey), "TIFF"))
    assert np.abs(read.colours[..., 1] / 65535 - grey).max() <= 0.5 / 65535 + 1e-7


def test_a_shallow_picture_keeps_its_alpha_and_its_colours():
    scene = pictures.hidden_colour(pictures.scene())
    read = decode_pixels(pictures.encode(scene, "PNG"))
    assert np.array_equal(np.dstack([read.colours, read.alpha]), np.asarray(scene))
    assert decode_pixels(pictures.encode(pictures.scene().convert("RGBA"), "PNG")).alpha is None


def test_colour_under_alpha_zero_does_not_count():
    seen = []
    for hidden in ("black", "green"):
        picture = Image.new("RGB", pictures.SIZE, hidden)
        picture.paste(pictures.scene().crop((16, 0, 64, 48)), (16, 0))
        seen.append(load_picture(pictures.encode(pictures.hidden_colour(picture), "PNG")))
    assert torch.equal(seen[0].colours, seen[1].colours)
    assert seen[0].colours[..., :16].eq(1).all()
    assert seen[0].alpha is not None
    assert seen[0].alpha[..., :16].eq(0).all()


def test_a_deep_picture_has_values_that_eight_bits_do_not():
    ramp = np.arange(48 * 64, dtype=np.uint16).reshape(*SHAPE, 1).repeat(3, axis=2)
    read = load_picture(bytes(imagecodecs.png_encode(ramp))).colours
    expected = torch.arange(48 * 64).view(*SHAPE) / 65535
    torch.testing.assert_close(read, expected.expand(3, *SHAPE))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_deep_picture_that_is_cut_off_is_refused(share: float):
    for content in (bytes(imagecodecs.png_encode(values(3))), tiff(values(3), compression="zlib")):
        with pytest.raises(ImageError):
            decode_pixels(content[: int(len(content) * share)])


def test_every_accepted_file_reads_the_same_either_way():
    for item in images.images(pictures.scene()):
        if item.accept:
            content = item.content()
            whole = decode_pixels(content).image()
            difference = np.abs(np.asarray(whole, int) - np.asarray(decode(content), int))
            assert difference.max() <= 1, item.name


@pytest.mark.parametrize("rows", [1, 7, 48, 1000])
def test_how_many_rows_are_computed_together_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, rows: int
):
    files = [
        imagecodecs.png_encode(values(4)),
        imagecodecs.png_encode(values(3)),
        tiff(values(4), extrasamples=["assocalpha"]),
    ]
    for content in files:
        expected, deep = decode(content).tobytes(), decode_pixels(content)
        with monkeypatch.context() as patch:
            patch.setattr(pixels, "_ROWS", rows)
            assert decode(content).tobytes() == expected
            np.testing.assert_array_equal(decode_pixels(content).colours, deep.colours)


def test_transparency_of_sixteen_bits_is_seen_on_white():
    pixel = values(4)
    colours, opacity = pixel[..., :3].astype(float), pixel[..., 3:] / 65535
    expected = (colours * opacity + 65535 * (1 - opacity)) / 257
    seen = np.asarray(decode(imagecodecs.png_encode(pixel)), float)
    assert np.abs(seen - expected).max() <= 0.51
