"""Pictures decoded in worker processes: the same pixels, and every misbehaviour is one refusal."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from corpus import images, pictures
from PIL import Image

from data import decoder_sandbox, decoding
from data.decoder_sandbox import DecodingPool, decoding_apart
from data.errors import ArgumentError, ImageError
from data.images import load_image, load_picture
from data.pixels import srgb_profile

ODD = {
    "animated": pictures.animated(pictures.scene(), "GIF"),
    "pages": pictures.animated(pictures.scene(), "TIFF"),
    "no end": pictures.encode(pictures.scene())[:-2],
    "nothing odd": pictures.encode(pictures.scene()),
}

ROOT = Path(decoder_sandbox.__file__).parents[1]

MISBEHAVING = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from data import decoder_worker
from data.decoder_worker import serve
decode = decoder_worker.decode
class Lie:
    pack = lambda *_: b"\\xff" * REPLY.size
REPLY = decoder_worker.REPLY
def misbehave(content, **limits):
    if content == b"sleep":
        time.sleep(600)
    if content in (b"wait", b"deaf"):
        signal.setitimer(signal.ITIMER_REAL, 0)
        open({spoil!r}, "wb").close()
        time.sleep(600)
    if content == b"work":
        while True: pass
    if content == b"eat":
        bytearray(500_000_000)
    if content == b"eat quietly":
        os.abort()
    if content == b"chatter":
        print("to standard output", flush=True)
        os.write(1, b"more of it")
    if content == b"lie":
        decoder_worker.REPLY = Lie
    if content == b"write":
        open({spoil!r}, "wb").write(b"x" * 100)
    return decode(content, **limits)
decoder_worker.decode = misbehave
serve(int(sys.argv[2]), float(sys.argv[3]))
"""


@pytest.fixture
def pool() -> Iterator[DecodingPool]:
    opened = DecodingPool(2)
    yield opened
    opened.close()


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DecodingPool]:
    """A pool whose decoder does what a hostile picture might make it do."""
    program = MISBEHAVING.format(root=str(ROOT), spoil=str(tmp_path / "spoil"))
    monkeypatch.setattr(decoder_sandbox, "_PROGRAM", program)
    monkeypatch.setattr(decoder_sandbox, "PATIENCE", 20)  # with a worker that has yet to start
    opened = DecodingPool(1, memory=300_000_000, seconds=0.4)
    yield opened
    opened.close()


@pytest.fixture
def file() -> bytes:
    return pictures.encode(pictures.scene())


def workers() -> list[psutil.Process]:
    """The decoding processes of this one, zombies among them."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() == psutil.STATUS_ZOMBIE or "decoder_worker" in " ".join(child.cmdline())
    ]


def outcome(decode: object, content: bytes) -> tuple[object, ...]:
    """The pixels, or the refusal."""
    try:
        image = decode(content)  # type: ignore[operator]
    except ImageError as error:
        return ("refused", str(error))
    if isinstance(image, Image.Image):
        return image.mode, image.size, image.info, image.tobytes()
    alpha = None if image.alpha is None else (image.alpha.dtype, image.alpha.tobytes())
    return image.colours.dtype, image.colours.shape, image.colours.tobytes(), alpha


def test_every_file_of_the_corpus_comes_out_the_same(pool: DecodingPool):
    for item in images.images(pictures.scene()):
        content = item.content()
        for here, apart in (
            (decoding.decode, pool.decode),
            (decoding.decode_pixels, pool.decode_pixels),
        ):
            assert outcome(here, content) == outcome(apart, content), item.name
    assert len(pool._idle) == 1  # one after the other need one worker, whatever was in them


def test_profiles_depth_alpha_and_orientation_come_out_the_same(
    pool: DecodingPool,
):
    import imagecodecs

    rng = np.random.default_rng(3)
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    scene = pictures.scene()
    files = [
        pictures.encode(scene, "JPEG", icc_profile=srgb_profile(), exif=exif.tobytes()),
        pictures.encode(scene.convert("RGBA"), "PNG", exif=exif.tobytes()),
        imagecodecs.png_encode(rng.integers(0, 65536, (50, 41, 4), np.uint16)),
        imagecodecs.png_encode(rng.integers(0, 65536, (50, 41, 3), np.uint16)),
    ]
    for content in files:
        assert outcome(decoding.decode, content) == outcome(pool.decode, content)
        assert outcome(decoding.decode_pixels, content) == outcome(pool.decode_pixels, content)
    assert pool.decode_pixels(files[2]).colours.dtype == np.uint16


def test_formats_and_pixels_are_limited_as_they_are_here(pool: DecodingPool, file: bytes):
    for limits in ({"formats": ["PNG"]}, {"max_pixels": 100}):
        with pytest.raises(ImageError) as here:
            decoding.decode(file, **limits)
        with pytest.raises(ImageError) as apart:
            pool.decode(file, **limits)
        assert str(here.value) == str(apart.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sleep", "within 0.4 seconds"),
        (b"work", "within 0.4 seconds"),
        (b"eat", "more memory"),
        (b"eat quietly", "broke down"),
        (b"chatter", "not a picture"),
        (b"lie", "broke down"),
    ],
)
def test_a_picture_that_misbehaves_is_refused_in_one_line(
    misbehaving: DecodingPool, file: bytes, content: bytes, message: str
):
    expected = misbehaving.decode(file).tobytes()
    with pytest.raises(ImageError) as refusal:
        misbehaving.decode(content)
    assert message in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert misbehaving.decode(file).tobytes() == expected
    assert len(workers()) == 1  # and no zombie beside it


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_decoder_writes_no_file(misbehaving: DecodingPool, tmp_path: Path):
    with pytest.raises(ImageError):
        misbehaving.decode(b"write")
    spoil = tmp_path / "spoil"
    assert not spoil.exists() or spoil.stat().st_size == 0


def test_a_worker_killed_over_a_picture_costs_that_picture(
    misbehaving: DecodingPool, file: bytes, tmp_path: Path
):
    misbehaving.decode(file)
    (worker,) = workers()

    def kill() -> None:
        while not (tmp_path / "spoil").exists():
            time.sleep(0.01)
        worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ImageError, match="broke down"):
        misbehaving.decode(b"wait")
    killer.join()
    assert misbehaving.decode(file).mode == "RGB"


def test_a_worker_that_does_not_end_by_itself_is_ended(
    misbehaving: DecodingPool, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    misbehaving.decode(file)
    with monkeypatch.context() as hurried:
        hurried.setattr(decoder_sandbox, "PATIENCE", 1)
        with pytest.raises(ImageError, match=r"within 0\.4 seconds"):
            misbehaving.decode(b"deaf")
    assert misbehaving.decode(file).mode == "RGB"


def test_a_worker_killed_while_it_waits_costs_nothing(pool: DecodingPool, file: bytes):
    pool.decode(file)
    (worker,) = workers()
    worker.kill()
    deadline = time.monotonic() + 280
    while worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pool.decode(file).mode == "RGB"
    assert [one.pid for one in workers()] != [worker.pid]
    assert len(workers()) == 1


def test_many_at_once_get_their_own_pictures(pool: DecodingPool):
    files = [
        pictures.encode(Image.new("RGB", (20 + number, 30), (number, 0, 0)), "PNG")
        for number in range(40)
    ]
    files[7] = b"no picture"
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda content: outcome(pool.decode, content), files))
    assert found == [outcome(decoding.decode, content) for content in files]
    assert 1 <= len(workers()) <= 2


def test_there_is_no_worker_before_the_first_picture_nor_long_after_the_last(file: bytes):
    pool = DecodingPool(1, idle=1)
    try:
        assert workers() == []
        pool.decode(file)
        assert len(workers()) == 1
        deadline = time.monotonic() + 280
        while workers() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert workers() == []
        assert pool.decode(file).mode == "RGB"
    finally:
        pool.close()
    assert workers() == []


def test_a_worker_ends_with_whoever_started_it(file: bytes):
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from data.decoder_sandbox import DecodingPool\n"
        "pool = DecodingPool(1)\n"
        "pool.decode(sys.stdin.buffer.read())\n"
        "print(pool._idle[0]._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(file)
        parent.stdin.close()
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 280
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        if psutil.Process(worker).status() == psutil.STATUS_ZOMBIE:
            break  # ended, and waited for by whoever inherited it
        time.sleep(0.02)
    else:
        assert not psutil.pid_exists(worker)


def test_a_worker_is_given_no_secret(
    pool: DecodingPool, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIKENESS_KEY", "correct horse battery staple")
    pool.decode(file)
    (worker,) = workers()
    assert not [name for name in worker.environ() if name.startswith("LIKENESS")]


def test_a_worker_imports_no_torch():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import data.decoder_worker, "
        "data.decoder_sandbox; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(ROOT)], check=True)


def test_within_the_block_pictures_are_decoded_apart(tmp_path: Path, file: bytes):
    path = tmp_path / "a.png"
    path.write_bytes(file)
    here, deep = load_image(path), load_picture(path)
    assert workers() == []
    with decoding_apart(1) as pool:
        assert load_image(path).tobytes() == here.tobytes()
        assert load_picture(path).colours.equal(deep.colours)
        assert len(workers()) == 1
        with decoding_apart(5) as inner:
            assert inner is pool
        path.write_bytes(b"no picture")
        with pytest.raises(
            ImageError, match=r"cannot read .*a\.png: it is a text file, not a picture"
        ):
            load_image(path)
    assert workers() == []


def test_where_no_process_can_be_started_it_is_told(
    pool: DecodingPool, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for _ in range(3):  # more often than there may be workers
        with pytest.raises(ImageError, match="no process could be started"):
            pool.decode(file)
    monkeypatch.undo()
    assert pool.decode(file).mode == "RGB"


@pytest.mark.parametrize("number", [0, -1, 65])
def test_a_number_of_workers_that_makes_no_sense_is_refused(number: int):
    with pytest.raises(ArgumentError, match="workers"):
        DecodingPool(number)


@pytest.mark.parametrize("content", list(ODD.values()), ids=list(ODD))
@pytest.mark.parametrize("way", ["decode", "decode_pixels"])
def test_what_is_odd_about_a_picture_is_told_as_it_is_here(
    pool: DecodingPool, way: str, content: bytes
) -> None:
    here: list[str] = []
    apart: list[str] = []
    getattr(decoding, way)(content, warn=here.append)
    getattr(pool, way)(content, warn=apart.append)
    assert apart == here
