import contextlib
import io
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from corpus import images, pictures
from PIL import Image, ImageFile

from data.decoding import MAX_PIXELS, decode
from data.errors import ImageError


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference of two pictures, in steps of 0 … 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_mutated_files_are_read_or_refused_quickly():
    slowest = 0.0
    for content in images.mutations(seed=1, count=500):
        started = time.perf_counter()
        with contextlib.suppress(ImageError):
            assert decode(content).mode == "RGB"
        slowest = max(slowest, time.perf_counter() - started)
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


def test_the_first_frame_counts():
    for encoding in ("WEBP", "PNG", "MPO", "TIFF"):
        assert (
            difference(decode(pictures.animated(pictures.scene(), encoding)), pictures.scene()) < 12
        )


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
    with pytest.raises(ImageError, match="not what its name says; expected JPEG, PNG"):
        decode(content, formats=["PNG", "JPEG"])


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
