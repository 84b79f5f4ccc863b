"""Very large JPEG files: baseline ones are read reduced, and nothing else gets past the limit."""

import io
import struct

import numpy as np
import pytest
from corpus import pictures
from PIL import Image

from data import decoding
from data.decoder_sandbox import DecodingPool
from data.decoding import MAX_PIXELS, MOST_JPEG_PIXELS, JpegFrame, decode, decode_pixels, jpeg_frame
from data.errors import ImageError


def jpeg(width: int, height: int, **options: object) -> bytes:
    """A smooth picture as JPEG, so that a reduced one can be compared with it."""
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([255 * x // width, 255 * y // height, 255 * (x + y) // (width + height)], -1)
    return pictures.encode(Image.fromarray(ramps.astype(np.uint8)), "JPEG", **options)


def scans_of(content: bytes) -> bytes:
    """The same JPEG whose first scan says that it holds the first component alone."""
    start = content.index(b"\xff\xda")
    (length,) = struct.unpack_from(">H", content, start + 2)
    one = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\x00\x00\x3f\x00"
    return content[:start] + one + content[start + 2 + length :]


def resized_header(content: bytes, width: int, height: int, marker: int = 0xC0) -> bytes:
    """A JPEG whose header says another size, and perhaps another kind."""
    start = content.index(b"\xff\xc0")
    frame = bytes(
        [0xFF, marker, *content[start + 2 : start + 5], *struct.pack(">HH", height, width)]
    )
    return content[:start] + frame + content[start + 9 :]


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 10,000 pixels were the most, and 250 million the most of a baseline JPEG."""
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(
    ("size", "by"),
    [((200, 51), 2), ((201, 101), 2), ((333, 217), 4), ((640, 480), 8), ((799, 799), 8)],
)
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
def test_it_is_the_picture_made_smaller(
    size: tuple[int, int], by: int, options: dict[str, object]
) -> None:
    content = jpeg(*size, **options)
    read = decode(content)
    assert read.size == (-(-size[0] // by), -(-size[1] // by))
    with Image.open(io.BytesIO(content)) as whole:
        expected = whole.convert("RGB").resize(read.size, Image.Resampling.BOX)
    apart = np.abs(np.asarray(read, float) - np.asarray(expected, float))
    assert apart.mean() < 3
    pixels = decode_pixels(content)
    assert np.array_equal(pixels.colours, np.asarray(read))


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_grey_four_inks_and_orientation(mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    picture = Image.new(mode, (300, 100), 40)
    content = pictures.encode(picture, "JPEG", exif=exif.tobytes())
    read = decode(content)
    assert read.mode == "RGB"
    assert read.size == ((150, 50) if orientation in (1, 3) else (50, 150))


@pytest.mark.usefixtures("small_limits")
def test_everything_else_beyond_the_limit_stays_refused() -> None:
    picture = jpeg(300, 100)
    refused = {
        "progressive": jpeg(300, 100, progressive=True),
        "several scans": scans_of(picture),
        "arithmetic": resized_header(picture, 300, 100, 0xC9),
        "lossless": resized_header(picture, 300, 100, 0xC3),
        "too large even so": resized_header(picture, 65_000, 65_000),
        "beyond an eighth": resized_header(picture, 8_000, 8_000),
        "too low": resized_header(picture, 60_000, 7),
        "cut off in its head": picture[: picture.index(b"\xff\xda") + 1],
        "cut off in the middle": picture[: len(picture) // 2],
        "two heads": picture[:2] + picture[picture.index(b"\xff\xc0") :],
        "PNG": pictures.encode(Image.new("RGB", (300, 100)), "PNG"),
        "WebP": pictures.encode(Image.new("RGB", (300, 100)), "WEBP"),
        "BMP": pictures.encode(Image.new("RGB", (300, 100)), "BMP"),
    }
    for content in refused.values():
        with pytest.raises(ImageError):
            decode(content)
        with pytest.raises(ImageError):
            decode(content, formats=["PNG"])
    within = jpeg(100, 100, progressive=True)
    assert decode(within).size == (100, 100)  # progressive ones up to the limit are read whole


def test_the_reason_says_what_would_be_read() -> None:
    large = resized_header(jpeg(64, 64, quality=50), 12_000, 9_000, 0xC2)
    with pytest.raises(ImageError, match=r"12000×9000 pixels in a progressive JPEG.*250,000,000"):
        decode(large)
    with pytest.raises(ImageError, match="250,000,000 are read of a JPEG"):
        decode(resized_header(jpeg(64, 64), 20_000, 20_000))


@pytest.mark.parametrize("size", [(12_000, 9_000), (16_384, 12_288), (20_000, 12_500)])
def test_the_reduction_leaves_as_many_as_may_be_decoded(size: tuple[int, int]) -> None:
    frame = JpegFrame(*size, in_rows=True)
    assert frame.pixels <= MOST_JPEG_PIXELS
    by = frame.reduction(MAX_PIXELS)
    assert frame.pixels / by**2 <= MAX_PIXELS < frame.pixels / (by // 2) ** 2


def test_what_is_no_jpeg_has_no_frame() -> None:
    rng = np.random.default_rng(5)
    whole = jpeg(64, 64)
    for _ in range(300):  # whatever is cut or changed, it answers or says nothing, and never raises
        content = bytearray(whole[: rng.integers(0, len(whole))])
        for place in rng.integers(0, max(1, len(content)), 3):
            if content:
                content[place] = rng.integers(0, 256)
        jpeg_frame(bytes(content))
    assert jpeg_frame(b"\x89PNG\r\n") is None
    assert jpeg_frame(b"") is None


def test_a_photograph_of_200_million_pixels_is_read_within_the_memory_of_others() -> None:
    content = pictures.encode(Image.new("L", (16_384, 12_288), 90), "JPEG", quality=20)
    pool = DecodingPool(1, seconds=30)
    try:
        assert pool.decode(content).size == (4096, 3072)
    finally:
        pool.close()
