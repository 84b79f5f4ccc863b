import contextlib
import io
import struct
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from corpus import images, pictures
from PIL import Image, ImageFile

from data.decoding import ANIMATED, MAX_PIXELS, NO_END, OTHERS, PAGES, decode, decode_pixels, ended
from data.errors import ImageError


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
