import numpy as np
import pytest
from corpus import pictures
from PIL import Image, ImageChops, ImageCms

from data.decoding import decode
from data.errors import ImageError
from data.modes import to_rgb


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_sixteen_bits_are_rescaled_and_not_clamped():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    rgb = pixels(to_rgb(Image.fromarray(ramp)))
    assert np.array_equal(rgb[..., 0], np.rint(ramp / 257).astype(int))
    assert np.array_equal(rgb[..., 0], rgb[..., 2])


@pytest.mark.parametrize("encoding", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_survive_each_format(encoding: str):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    rgb = pixels(decode(pictures.encode(Image.fromarray(ramp), encoding)))
    assert np.abs(rgb[..., 1] - ramp / 257).max() <= 0.5


def test_more_than_sixteen_bits_have_no_known_scale():
    with pytest.raises(ImageError, match="exceed 16 bit"):
        to_rgb(Image.fromarray(np.full((9, 9), 70_000, np.int32)))


def test_floating_point_is_taken_as_zero_to_one():
    ramp = np.linspace(0, 1, 81, dtype=np.float32).reshape(9, 9)
    assert np.array_equal(pixels(to_rgb(Image.fromarray(ramp)))[..., 0], np.rint(ramp * 255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 255.0])
def test_floating_point_of_another_scale_is_refused(value: float):
    values = np.full((9, 9), 0.5, np.float32)
    values[4, 4] = value
    with pytest.raises(ImageError, match="save it as 8 bit"):
        to_rgb(Image.fromarray(values))


def test_colour_hidden_under_full_transparency_stays_hidden():
    scene = pictures.scene()
    rgb = pixels(to_rgb(pictures.hidden_colour(scene)))
    edge = scene.width // 4
    assert (rgb[:, :edge] == 255).all()
    assert np.array_equal(rgb[:, edge:], pixels(scene)[:, edge:])


def test_half_transparency_mixes_with_white():
    rgb = pixels(to_rgb(Image.new("RGBA", (8, 8), (100, 0, 200, 128))))
    assert np.abs(rgb[0, 0] - [177, 127, 227]).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBa", "RGBA"])
def test_every_mode_with_alpha_becomes_white_where_transparent(mode: str):
    clear = Image.new("RGBA", (8, 8), (90, 90, 90, 0))
    image = {
        "La": lambda: clear.convert("LA").convert("La"),
        "PA": lambda: clear.convert("P").convert("PA"),
    }.get(mode, lambda: clear.convert(mode))()
    if mode == "PA":
        image.putalpha(0)
    assert (pixels(to_rgb(image)) == 255).all()


def test_the_transparent_colour_of_a_palette_becomes_white():
    content = pictures.palette(pictures.scene())
    reference = pictures.scene().quantize(32)
    counts = reference.histogram()
    clear = np.asarray(reference) == counts.index(max(counts))
    rgb = pixels(decode(content))
    assert (rgb[clear] == 255).all()
    assert np.array_equal(rgb[~clear], pixels(reference.convert("RGB"))[~clear])


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_a_single_transparent_colour_becomes_white(mode: str):
    image = Image.new(mode, (8, 8), 0)
    clear = (0, 0, 0) if mode == "RGB" else 0
    assert (pixels(decode(pictures.encode(image, "PNG", transparency=clear))) == 255).all()


def test_cmyk_looks_the_same_however_it_is_stored():
    scene = pictures.scene()
    expected = pixels(scene)
    assert np.array_equal(pixels(decode(pictures.encode(scene.convert("CMYK"), "TIFF"))), expected)
    inverted = pictures.encode(scene.convert("CMYK"), quality=95, subsampling=0)
    assert b"Adobe" in inverted
    plain = pictures.plain_cmyk(scene)
    assert b"Adobe" not in plain
    for content in (inverted, plain):
        assert np.abs(pixels(decode(content)) - expected).mean() < 4


def test_a_valid_profile_is_applied():
    # Linear light: sRGB's own colours with no curve. Its middle grey, 128, is sRGB's 188.
    profile = _linear_profile()
    grey = Image.new("RGB", (8, 8), (128, 128, 128))
    rgb = pixels(decode(pictures.encode(grey, "PNG", icc_profile=profile)))
    assert np.abs(rgb - 188).max() <= 1


def test_a_profile_for_colour_serves_a_grey_picture_too():
    grey = Image.new("L", (8, 8), 128)
    rgb = pixels(decode(pictures.encode(grey, "PNG", icc_profile=_linear_profile())))
    assert np.abs(rgb - 188).max() <= 1


def test_the_profile_of_srgb_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = pictures.encode(pictures.scene(), "PNG", icc_profile=profile)
    assert np.abs(pixels(decode(content)) - pixels(pictures.scene())).max() <= 1


def test_what_comes_out_is_a_copy_without_metadata():
    original = Image.new("RGB", (8, 8))
    original.info["exif"] = b"secret"
    copy = to_rgb(original)
    assert copy is not original
    assert copy.info == {}
    assert not copy.getexif()
    assert ImageChops.difference(copy, original).getbbox() is None


def _linear_profile() -> bytes:
    """Return sRGB's profile with straight lines in place of its curves."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        entry = content.index(name, 128)
        at = int.from_bytes(content[entry + 4 : entry + 8], "big")
        content[at : at + 12] = b"curv" + bytes(8)  # a curve of no points is a straight line
    return bytes(content)
