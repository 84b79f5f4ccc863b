import contextlib
import io
import sys
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFile

from data.decoding import MAX_PIXELS, decode
from data.errors import ImageError
from data.images import load_image


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference of two pictures, in steps of 0 … 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_every_file_of_the_corpus_gets_its_verdict(item, tmp_path: Path):
    path = tmp_path / item.name
    path.write_bytes(item.content)
    started = time.perf_counter()
    if item.accept:
        image = load_image(path)
        assert image.mode == "RGB"
        assert not image.info
    else:
        with pytest.raises(ImageError) as refusal:
            load_image(path)
        assert str(refusal.value).isprintable()  # one line
        assert item.name in str(refusal.value)
    assert time.perf_counter() - started < 1


def test_mutated_files_are_read_or_refused_quickly(corpus: ModuleType):
    slowest = 0.0
    for content in corpus.mutations(seed=1, count=500):
        started = time.perf_counter()
        with contextlib.suppress(ImageError):
            assert decode(content).mode == "RGB"
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_comes_out_upright(corpus: ModuleType, orientation: int):
    upright = corpus.scene()
    # What a camera held this way stores: the inverse of what EXIF asks for.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = upright.transpose(stored[orientation]) if orientation in stored else upright
    assert difference(decode(corpus.oriented(picture, orientation)), upright) < 6


@pytest.mark.parametrize("encoding", ["PNG", "WEBP", "TIFF"])
def test_orientation_counts_in_every_format_that_carries_it(corpus: ModuleType, encoding: str):
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = 6
    stored = corpus.scene().transpose(Image.Transpose.ROTATE_90)
    content = corpus.encode(stored, encoding, exif=exif.tobytes())
    assert difference(decode(content), corpus.scene()) < 12


def test_an_orientation_that_does_not_exist_is_ignored(corpus: ModuleType):
    assert difference(decode(corpus.oriented(corpus.scene(), 9)), corpus.scene()) < 6


def test_the_first_frame_counts(corpus: ModuleType):
    for encoding in ("WEBP", "PNG", "MPO", "TIFF"):
        assert difference(decode(corpus.animated(corpus.scene(), encoding)), corpus.scene()) < 12


def test_limits_are_checked_before_pixels_are_touched(corpus: ModuleType):
    within = corpus.encode(Image.new("L", (300, 200)), "PNG")
    assert decode(within, max_pixels=60_000).size == (300, 200)
    with pytest.raises(ImageError, match="300×200 pixels; at most 59,999"):
        decode(within, max_pixels=59_999)
    with pytest.raises(ImageError, match=f"at most {MAX_PIXELS:,}"):
        decode(corpus.png(9000, 9000), max_pixels=10**9)


def test_a_format_that_was_not_asked_for_is_not_decoded(corpus: ModuleType):
    content = corpus.encode(corpus.scene(), "BMP")
    assert decode(content, formats=["BMP"]).size == corpus.SIZE
    with pytest.raises(ImageError, match="not what its name says; expected JPEG, PNG"):
        decode(content, formats=["PNG", "JPEG"])


def test_what_is_cut_off_stays_refused():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_no_warning_of_the_decoder_gets_out(corpus: ModuleType):
    junk = corpus.with_segment(corpus.encode(corpus.scene()), 0xE1, b"Exif\0\0II*\0" + b"\x07" * 99)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode(junk)
    assert not seen


def test_many_threads_decode_and_leave_the_warning_filters_alone(corpus: ModuleType):
    content = corpus.encode(corpus.scene())
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


def test_heic_without_its_reader_is_refused_with_the_hint(
    corpus: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match="pip install pi-heif, or save"):
        decode(corpus.heic())


def test_heic_with_its_reader_is_read(corpus: ModuleType):
    pytest.importorskip("pi_heif", reason="the reader for HEIC is not installed")
    image = decode(corpus.heic())
    assert (image.mode, image.size) == ("RGB", (16, 16))
    with pytest.raises(ImageError, match="16×16 pixels; at most 100"):
        decode(corpus.heic(), max_pixels=100)


def test_a_profile_of_another_space_is_no_reason_to_refuse(corpus: ModuleType):
    lab = io.BytesIO()
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    corpus.scene().save(lab, "PNG", icc_profile=profile)
    assert difference(decode(lab.getvalue()), corpus.scene()) == 0
