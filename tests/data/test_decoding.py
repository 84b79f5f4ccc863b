"""x"""

import contextlib
import gzip
import io
import json
import struct
import sys
import threading
import time
import types
import warnings
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from corpus import images, pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from data import decoding
from data.decoder_sandbox import DecodingPool
from data.decoding import (
    ANIMATED,
    MAX_PIXELS,
    MOST_JPEG_PIXELS,
    NO_END,
    OTHERS,
    PAGES,
    JpegFrame,
    decode,
    decode_pixels,
    ended,
    jpeg_frame,
    kind_of,
)
from data.errors import ImageError
from data.formats import FORMATS


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference of two pictures, in steps of 0 … 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_mutated_files_are_read_or_refused_quickly():
    slowest = 0.0
    for content in images.mutations(seed=1, count=500):
        started = time.process_time()
        with contextlib.suppress(ImageError):
            assert decode(content).mode == "RGB"
        slowest = max(slowest, time.process_time() - started)
    assert slowest < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_comes_out_upright(orientation: int):
    upright = pictures.scene()
    picture = pictures.stored(upright, orientation)
    assert difference(decode(pictures.oriented(picture, orientation)), upright) < 6


@pytest.mark.parametrize("encoding", ["PNG", "WEBP", "TIFF"])
def test_orientation_counts_in_every_format_that_carries_it(encoding: str):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    stored = pictures.scene().transpose(Image.Transpose.ROTATE_90)
    content = pictures.encode(stored, encoding, exif=exif.tobytes())
    assert difference(decode(content), pictures.scene()) < 12


def test_an_orientation_that_does_not_exist_is_ignored():
    assert difference(decode(pictures.oriented(pictures.scene(), 9)), pictures.scene()) < 6


@pytest.mark.parametrize(
    ("encoding", "warning"),
    [
        ("GIF", ANIMATED),
        ("WEBP", ANIMATED),
        ("PNG", ANIMATED),
        ("AVIF", ANIMATED),
        ("TIFF", PAGES),
        ("MPO", None),
    ],
)
def test_the_first_frame_counts_and_is_said_to_be_one(encoding: str, warning: str | None):
    said: list[str] = []
    found = decode(pictures.animated(pictures.scene(), encoding), warn=said.append)
    assert difference(found, pictures.scene()) < 16
    assert said == ([warning] if warning else [])
    if encoding != "MPO":
        still: list[str] = []
        decode(pictures.encode(pictures.scene(), encoding), warn=still.append)
        assert not still


def test_a_damaged_later_frame_is_not_looked_at():
    for encoding in ("GIF", "WEBP", "PNG"):
        content = pictures.animated(pictures.scene(), encoding)
        damaged = content[: len(content) * 3 // 4] + bytes(len(content) // 4)
        with contextlib.suppress(ImageError):
            assert difference(decode(damaged), pictures.scene()) < 16


class _Sequence:
    """Several pictures in one file, as HEIC's reader shows them."""

    size = (16, 12)

    def __len__(self) -> int:
        return 3

    def to_pillow(self) -> Image.Image:
        return Image.new("RGB", self.size)


@pytest.mark.parametrize(("brand", "warning"), [(b"hevc", ANIMATED), (b"heic", OTHERS)])
def test_a_sequence_of_heic_is_held_to_the_same_rule(
    brand: bytes, warning: str, monkeypatch: pytest.MonkeyPatch
):
    reader = types.SimpleNamespace(open_heif=lambda *_, **__: _Sequence())
    monkeypatch.setitem(sys.modules, "pi_heif", reader)
    said: list[str] = []
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand
    assert decode(content, warn=said.append).size == (16, 12)
    assert said == [warning]


def _jpegs() -> Iterator[tuple[str, bytes]]:
    scene = pictures.scene()
    grey, ink = scene.convert("L"), scene.convert("CMYK")
    yield "plain", pictures.encode(scene)
    yield "full", pictures.encode(scene, quality=95, subsampling=0)
    yield "progressive", pictures.encode(scene, progressive=True)
    yield "grey", pictures.encode(grey)
    yield "progressive grey", pictures.encode(grey, progressive=True)
    yield "ink", pictures.encode(ink)
    yield "optimised", pictures.encode(scene, optimize=True)
    yield "restarts", pictures.encode(scene, restart_marker_blocks=3)
    yield "turned", pictures.oriented(scene, 6)
    thumbnail = pictures.encode(scene.resize((16, 16)))
    yield "thumbnail", pictures.with_segment(pictures.encode(scene), 0xE1, b"Exif\0\0" + thumbnail)
    yield "flat", pictures.encode(Image.new("RGB", (40, 24), (9, 200, 90)))
    noise = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    yield "noise", pictures.encode(Image.fromarray(noise))


@pytest.mark.parametrize(("name", "content"), list(_jpegs()))
def test_a_jpeg_that_lacks_nothing_but_its_end_is_read_and_said_to(name: str, content: bytes):
    whole = decode(content)
    said: list[str] = []
    assert decode(content[:-2], warn=said.append) == whole
    assert said == [NO_END]
    said.clear()
    np.testing.assert_array_equal(decode_pixels(content[:-2], warn=said.append).colours, whole)
    assert said == [NO_END]
    for tail in (b"\xff", bytes(40), b"\xff\xff\xff"):  # here a decoder may not miss the end
        assert decode(content[:-2] + tail) == whole


@pytest.mark.parametrize(("name", "content"), list(_jpegs()))
def test_a_jpeg_that_lacks_pixels_is_refused_wherever_it_is_cut(name: str, content: bytes):
    """Whatever is read must be the whole picture; nearly every other cut must be refused."""
    whole = decode(content)
    lengths = [*range(len(content) - 40, len(content) - 2), *range(0, len(content) - 40, 61)]
    read = 0
    for length in lengths:
        with contextlib.suppress(ImageError):
            assert decode(content[:length]) == whole
            read += 1
    # The last bytes may say nothing that is not made up rightly: that the rest of a block is flat.
    assert read <= (38 if name == "flat" else 4)


def test_a_jpeg_with_an_end_and_too_few_pixels_is_left_to_its_decoder():
    content = pictures.encode(pictures.scene())
    assert ended(content) is None
    assert ended(content[:-200] + b"\xff\xd9") is None
    assert ended(b"") is None
    assert ended(b"\xff\xd8") is None
    assert ended(pictures.encode(pictures.scene(), "PNG")[:-12]) is None


@pytest.mark.parametrize(
    ("encoding", "orientation"), [("AVIF", 6), ("AVIF", 3), ("JPEG2000", None)]
)
def test_newer_formats_are_read_upright(encoding: str, orientation: int | None):
    scene = pictures.scene()
    options = {"quality": 95} if encoding == "AVIF" else {}
    if orientation:
        exif = Image.Exif()
        exif[pictures.ORIENTATION] = orientation
        options["exif"] = exif.tobytes()
        scene = pictures.stored(scene, orientation)
    assert difference(decode(pictures.encode(scene, encoding, **options)), pictures.scene()) < 8


def test_avif_in_the_container_of_heic_is_told_from_it():
    content = bytearray(pictures.encode(pictures.scene(), "AVIF"))
    content[8:12] = b"mif1"  # the brand of still pictures of either kind
    assert decode(bytes(content)).size == pictures.SIZE


def test_a_header_s_lie_about_a_jpeg_2000_is_found_out():
    content = pictures.encode(pictures.scene(), "JPEG2000")
    at = content.index(b"ihdr") + 4
    for size in ((16, 16), (640, 480), (6000, 6000)):
        lie = content[:at] + struct.pack(">II", *size) + content[at + 8 :]
        with contextlib.suppress(ImageError):
            assert decode(lie).size in (size, pictures.SIZE)


def test_limits_are_checked_before_pixels_are_touched():
    within = pictures.encode(Image.new("L", (300, 200)), "PNG")
    assert decode(within, max_pixels=60_000).size == (300, 200)
    with pytest.raises(ImageError, match="300×200 pixels; at most 59,999"):
        decode(within, max_pixels=59_999)
    with pytest.raises(ImageError, match=f"at most {MAX_PIXELS:,}"):
        decode(pictures.png(9000, 9000), max_pixels=10**9)


def test_a_format_that_was_not_asked_for_is_not_decoded():
    content = pictures.encode(pictures.scene(), "BMP")
    assert decode(content, formats=["BMP"]).size == pictures.SIZE
    with pytest.raises(ImageError, match="it is BMP, not what its name says"):
        decode(content, formats=["PNG", "JPEG"])
    with pytest.raises(ImageError, match="can be read; expected JPEG, PNG"):
        decode(b"\x07" * 99, formats=["PNG", "JPEG"])


def test_what_is_cut_off_stays_refused():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_no_warning_of_the_decoder_gets_out():
    junk = pictures.with_segment(
        pictures.encode(pictures.scene()), 0xE1, b"Exif\0\0II*\0" + b"\x07" * 99
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode(junk)
    assert not seen


def test_many_threads_decode_and_leave_the_warning_filters_alone():
    content = pictures.encode(pictures.scene())
    before = list(warnings.filters)
    results: list[Image.Image] = []
    threads = [
        threading.Thread(target=lambda: results.extend(decode(content) for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert warnings.filters == before


def test_heic_without_its_reader_is_refused_with_the_hint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"pip install -e .*heic\]., or save"):
        decode(images.heic())


def test_heic_with_its_reader_is_read():
    pytest.importorskip("pi_heif", reason="the reader for HEIC is not installed")
    image = decode(images.heic())
    assert (image.mode, image.size) == ("RGB", (16, 16))
    with pytest.raises(ImageError, match="16×16 pixels; at most 100"):
        decode(images.heic(), max_pixels=100)


def test_a_profile_of_another_space_is_no_reason_to_refuse():
    lab = io.BytesIO()
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    pictures.scene().save(lab, "PNG", icc_profile=profile)
    assert difference(decode(lab.getvalue()), pictures.scene()) == 0


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def _packed(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x" * 50)
    return file.getvalue()


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _samples() -> Iterator[tuple[bytes, str]]:
    for page in (
        b"<!DOCTYPE html><html><body>not found</body></html>",
        b"\xef\xbb\xbf\r\n  <!doctype HTML>\n<HTML>",
        b"<html lang=en>",
        b"<!-- saved from url=(0014)about:internet -->\n<html>",
        b"<script>location='x'</script>",
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0"><html>',
    ):
        yield page, "a web page"
    yield POINTER, "Git LFS"
    yield b"../../.git/annex/objects/aa/bb/SHA256E-s1--ff.jpg/SHA256E-s1--ff.jpg", "git-annex"
    yield b"/annex/objects/MD5E-s1--ff.jpg\n", "git-annex"
    yield b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"
    yield b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="3"/>', "SVG"
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"
    yield b"%PDF-1.7\n%\xe2\xe3", "a PDF document"
    yield pictures.encode(pictures.scene().resize((32, 32)), "ICO"), "ICO"
    yield pictures.encode(pictures.scene(), "DDS"), "DDS"
    yield b"8BPS\0\1" + bytes(20), "PSD"
    yield b"\xff\x0a\xfa\x7f", "JPEG XL"
    yield b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"
    yield b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video"
    yield b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"
    yield b"\x1aE\xdf\xa3\x9fB\x86", "a video"
    yield b"RIFF\x24\0\0\0AVI LIST", "a video"
    yield b"RIFF\x24\0\0\0WAVEfmt ", "a sound file"
    yield b"ID3\4\0", "a sound file"
    yield _packed("photo.jpg"), "an archive"
    yield _packed("[Content_Types].xml"), "a document"
    yield gzip.compress(b"x", mtime=0), "an archive"
    yield b"7z\xbc\xaf'\x1c\0\4", "an archive"
    yield b"\x7fELF\2\1\1", "a program"
    yield b"MZ\x90\0\3", "a program"
    yield b"#!/bin/sh\n", "a program"
    yield b"SQLite format 3\0", "a database"
    yield _array(), "a NumPy array"
    yield b"\x80\4\x95", "a pickle"
    yield b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS"
    yield json.dumps({"error": "not found"}).encode(), "a JSON file"
    yield b'[{"a": 1}]', "a JSON file"
    yield b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"
    yield b"HTTP/1.1 404 Not Found\r\n", "a web server"
    yield b"404: Not Found", "a text file"
    yield "Zugriff verweigert: grüß Gott".encode(), "a text file"
    yield bytes(5000), "zero bytes"


@pytest.mark.parametrize(("content", "words"), list(_samples()))
def test_a_file_is_refused_as_what_it_is(content: bytes, words: str) -> None:
    found = kind_of(content)
    assert found is not None
    assert words in found.what
    assert found.advice
    with pytest.raises(ImageError) as refusal:
        decode(content)
    message = str(refusal.value)
    assert words in message
    assert ("not a picture" in message) is not ("which is not read" in message)
    assert "\n" not in message


@pytest.mark.parametrize("encoding", sorted(FORMATS - {"HEIF"}))
def test_pictures_that_are_read_are_of_no_such_kind(encoding: str) -> None:
    content = pictures.encode(pictures.scene(), encoding)
    for length in (len(content), len(content) // 2, 200):
        assert kind_of(content[:length]) is None


@given(st.binary(max_size=300))
def test_whatever_is_handed_in_has_one_kind_or_none(content: bytes) -> None:
    found = kind_of(content)
    assert found is None or found.refusal.startswith("it is ")


def test_nothing_is_looked_for_in_no_bytes() -> None:
    assert kind_of(b"") is None


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
