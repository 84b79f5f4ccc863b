import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import ArgumentError, DatasetError
from recognition.detection.detector import make_detector
from recognition.learning import folder_alignment
from recognition.learning.choices import FaceFormat
from recognition.learning.dataset import Aligner
from recognition.learning.folder_alignment import (
    MISSED,
    AlignmentConfig,
    align_folder,
    align_photograph,
)

SCRIPT = Path(__file__).with_name("killed_alignment.py")


@pytest.fixture(scope="module")
def face(astronaut: Image.Image) -> Image.Image:
    """A small photograph of one person."""
    return astronaut.crop((100, 0, 356, 256)).resize((160, 160))


@pytest.fixture
def source(tmp_path: Path, face: Image.Image) -> Path:
    """Two people, one of them in a folder deeper, and three pictures that hold no face."""
    root = tmp_path / "photographs"
    for name in ("Ann/1.jpg", "Ann/2.png", "team/Bo/1.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        face.rotate(len(name)).save(root / name)
    (root / "Ann" / "broken.jpg").write_bytes(b"no picture")
    (root / "Cy").mkdir()
    Image.new("RGB", (90, 60)).save(root / "Cy" / "white.png")
    (root / "Ann" / "notes.txt").write_text("no picture either")
    return root


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Work in this process, which is faster; the photographs that were searched."""
    detector, searched = make_detector(), list[Path]()

    def work(
        config: AlignmentConfig, waiting: list[Path], targets: dict[Path, Path], device: str
    ) -> Iterator[tuple[list[Path], list[str | None]]]:
        for path in waiting:
            searched.append(path)
            yield [path], [align_photograph(detector, path, targets[path])]

    monkeypatch.setattr(folder_alignment, "_work", work)
    return searched


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_faces_go_into_the_same_folders_and_the_rest_is_reported(
    source: Path, tmp_path: Path, alone: list[Path]
) -> None:
    told: list[tuple[int, int]] = []
    config = AlignmentConfig(source=source, destination=tmp_path / "faces")
    report = align_folder(config, lambda *now: told.append(now))
    assert (report.aligned, report.kept) == (3, 0)
    assert [one.image for one in report.missed] == ["Ann/broken.jpg", "Cy/white.png"]
    assert "no face found" in report.missed[1].error
    assert told == [(n, 5) for n in range(6)]
    files = contents(tmp_path / "faces")
    assert set(files) == {"Ann/1.png", "Ann/2.png", "team/Bo/1.png", MISSED}
    lines = [json.loads(line) for line in files[MISSED].splitlines()]
    assert lines == [{"image": one.image, "error": one.error} for one in report.missed]
    for name in set(files) - {MISSED}:
        with Image.open(tmp_path / "faces" / name) as image:
            assert (image.size, image.mode) == ((112, 112), "RGB")


def test_a_face_is_the_one_that_training_would_see(
    source: Path, tmp_path: Path, alone: list[Path]
) -> None:
    align_folder(AlignmentConfig(source=source, destination=tmp_path / "faces"))
    pixels, _ = Aligner(tmp_path / "cache").load([source / "Ann" / "1.jpg"])
    with Image.open(tmp_path / "faces" / "Ann" / "1.png") as image:
        difference = pixels[0].permute(1, 2, 0).numpy().astype(int) - np.array(image)
    assert abs(difference).max() <= 1


def test_a_second_run_searches_only_what_is_missing_or_newer(
    source: Path, tmp_path: Path, alone: list[Path], face: Image.Image
) -> None:
    config = AlignmentConfig(source=source, destination=tmp_path / "faces")
    align_folder(config)
    first = contents(config.destination)
    alone.clear()
    report = align_folder(config)
    assert (report.aligned, report.kept, len(report.missed)) == (0, 3, 2)
    assert [path.name for path in alone] == ["broken.jpg", "white.png"]
    assert contents(config.destination) == first
    face.save(source / "Ann" / "broken.jpg")  # mended
    Image.new("RGB", (90, 60)).save(source / "Ann" / "2.png")  # another photograph, with no face
    later = time.time() + 10
    os.utime(source / "Ann" / "2.png", (later, later))
    report = align_folder(config)
    assert (report.aligned, report.kept) == (1, 2)
    assert set(contents(config.destination)) == {
        "Ann/1.png",
        "Ann/broken.png",
        "team/Bo/1.png",
        MISSED,
    }


def test_names_that_differ_in_their_suffix_stay_apart(
    tmp_path: Path, alone: list[Path], face: Image.Image
) -> None:
    root = tmp_path / "photographs"
    root.mkdir()
    for number, name in enumerate(["a.jpg", "a.png", "A.webp"]):
        face.rotate(3 * number).save(root / name)
    Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(root / "aligned.png")
    align_folder(AlignmentConfig(source=root, destination=tmp_path / "f", format=FaceFormat.JPG))
    files = contents(tmp_path / "f")
    assert set(files) == {"A.jpg", "a.jpg.jpg", "a.png.jpg", "aligned.jpg", MISSED}
    assert len(set(files.values())) == 5
    assert files[MISSED] == b""
    with pytest.raises(ArgumentError, match="holds faces as jpg: go on with --format jpg"):
        align_folder(AlignmentConfig(source=root, destination=tmp_path / "f"))
    assert contents(tmp_path / "f") == files


@pytest.mark.parametrize("place", [".", "faces", "Ann", "../photographs/x", ".."])
def test_folders_in_one_another_are_refused(source: Path, place: str) -> None:
    with pytest.raises(ArgumentError, match="lie in one another"):
        AlignmentConfig(source=source, destination=source / place)


@pytest.mark.parametrize("workers", [0, -1, 65])
def test_a_senseless_number_of_workers_is_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(ArgumentError, match="workers is"):
        AlignmentConfig(source=tmp_path / "a", destination=tmp_path / "b", workers=workers)


def test_nothing_to_align_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, error in (("empty", DatasetError), ("absent", ArgumentError)):
        with pytest.raises(error):
            align_folder(AlignmentConfig(source=tmp_path / name, destination=tmp_path / "faces"))
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_two_runs_into_one_folder_are_kept_apart(
    source: Path, tmp_path: Path, alone: list[Path]
) -> None:
    config = AlignmentConfig(source=source, destination=tmp_path / "faces")
    config.destination.mkdir()
    other = os.open(config.destination, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ArgumentError, match="another process"):
        align_folder(config)
    os.close(other)
    assert align_folder(config).aligned == 3


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_and_leaves_no_trace(
    tmp_path: Path, face: Image.Image, alone: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once with worker processes; killed between two parts, its workers die with it."""
    root, faces = tmp_path / "photographs", tmp_path / "faces"
    root.mkdir()
    for number in range(24):
        face.rotate(number - 12).save(root / f"{number:02}.png")
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(root), str(faces)])
    deadline = time.monotonic() + 280
    while len(list(faces.glob("[!.]*.png"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    workers = children(process.pid)
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}/exe").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    done = {path.name: path.stat().st_mtime_ns for path in faces.glob("[!.]*.png")}
    assert 2 <= len(done) < 24
    for name in done:  # what is there is whole
        with Image.open(faces / name) as image:
            image.load()
    (faces / f".{'0' * 16}.png").write_bytes(b"half")
    monkeypatch.undo()  # the rest with a worker process, the comparison in this one
    report = align_folder(AlignmentConfig(source=root, destination=faces, workers=1))
    assert (report.kept, report.aligned + len(report.missed)) == (len(done), 24 - len(done))
    assert all((faces / name).stat().st_mtime_ns == time_ for name, time_ in done.items())
    detector, expected = make_detector(), tmp_path / "expected"
    for path in sorted(root.iterdir()):
        align_photograph(detector, path, expected / path.name)
    got = contents(faces)
    assert got.pop(MISSED) == b""
    assert got == contents(expected)


def children(pid: int) -> list[int]:
    """The processes that another one started."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listing.read_text().split()]
