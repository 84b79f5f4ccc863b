"""A folder of people is enrolled: always the same gallery, nothing lost, nothing done twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus.pictures import face_crop
from PIL import Image

from data import decoder_sandbox, images
from data.errors import GalleryError
from recognition import bulk_enrolment, photographs
from recognition.enrolment import EnrolmentTerms, Watch
from recognition.faces.pipeline import DetectedFace
from recognition.gallery.gallery import Gallery
from recognition.results import Enrolled, Enrolment, Face
from recognition.service import RecognitionService

LANDMARKS = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))
ROOT = Path(bulk_enrolment.__file__).parents[1]

Row = tuple[str, str, bytes, bytes | None]


class PixelPipeline:
    """Sees one face in whatever is not black; each batch changes the embeddings a little.

    Networks do the same in the last digits; here it shows who shared a batch.
    """

    model_id = "pixels"
    weights_digest = "ab" * 32
    detector_id = "mtcnn/1"
    alignment_id = "five-point-112/1"
    dimension = 64
    threshold: float | None = 0.5
    tail: str | None = None

    def __init__(self, fail_after: int | None = None) -> None:
        self.batches: list[int] = []
        self._fail_after = fail_after

    def faces(self, given: Sequence[Image.Image]) -> list[list[DetectedFace]]:
        if self._fail_after is not None and len(self.batches) >= self._fail_after:
            raise KeyboardInterrupt
        self.batches.append(len(given))
        pixels = [np.asarray(image)[0, 0] for image in given]
        whole = float(sum(int(pixel.sum()) for pixel in pixels)) / 1e6
        return [self._faces(pixel, whole) for pixel in pixels]

    def _faces(self, pixel: np.ndarray, whole: float) -> list[DetectedFace]:
        if not pixel.any():
            return []
        vector = np.random.default_rng(int(pixel[0])).normal(size=64)
        vector += 0.2 * np.random.default_rng(pixel.tolist()).normal(size=64) + 0.01 * whole
        crop = face_crop(int(pixel.sum()))
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return [DetectedFace(Face((0.0, 0.0, 9.0, 9.0), 0.9, LANDMARKS), unit, crop)]


TERMS = EnrolmentTerms(face=None, any_quality=False, watch=Watch(threshold=None, others=False))


def _refuse() -> Gallery:
    raise GalleryError("the disk is full: free some space and try again")


def photograph(folder: Path, person: int, take: int, side: int = 12) -> Path:
    """A picture of somebody; `person` 0 is nobody."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{take:03}.png"
    Image.new("RGB", (side, side), (person, person and take + 1, 0)).save(path)
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Nine people of one to nine photographs; among them a copy, a broken one, and nobody."""
    root = tmp_path / "people"
    for person in range(1, 10):
        for take in range(person):
            photograph(root / f"p{person}", person, take, side=12 + 7 * take)
    (root / "p3" / "000 copy.png").write_bytes((root / "p3" / "000.png").read_bytes())
    (root / "p4" / "broken.png").write_bytes(b"no picture")
    photograph(root / "p5", 0, 77)
    return root


@pytest.fixture
def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three, transactions of at least five photographs."""
    for module in (photographs, bulk_enrolment):
        monkeypatch.setattr(module, "MOST_IMAGES", 3)
    monkeypatch.setattr(bulk_enrolment, "TOGETHER", 5)
    monkeypatch.setattr(bulk_enrolment, "MOST_TOGETHER", 7)


def assert_threads_end(left: int) -> None:
    """Wait for threads that are on their way out, such as a timer that was cancelled."""
    deadline = time.monotonic() + 280
    while threading.active_count() > left and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= left


def enrol(
    home: Path, root: Path, pipeline: PixelPipeline | None = None, workers: int | None = 1
) -> tuple[Enrolment, list[str]]:
    """Enrol a folder in a gallery of its own; what was told, and the operations."""
    with RecognitionService(home=home, pipeline=pipeline or PixelPipeline()) as service:
        told = service.enroll_folder(root, workers=workers)
        return told, [operation.what for operation in service.people.operations()]


def rows(home: Path) -> list[Row]:
    """All templates of a gallery, in the order in which they were put in."""
    found = []
    with Gallery.open(home / "gallery") as gallery, gallery.records() as records:
        for record in records:
            found += [
                (record.name, one.photograph_sha256, one.embedding.tobytes(), one.crop)
                for one in record.templates
            ]
    return found


@pytest.mark.usefixtures("in_small_batches")
def test_the_gallery_is_the_same_whatever_the_number_of_workers(
    tmp_path: Path, people: Path
) -> None:
    told = [enrol(tmp_path / f"{workers}", people, workers=workers) for workers in (1, 2, 5)]
    assert told[0] == told[1] == told[2]
    kept = [rows(tmp_path / f"{workers}") for workers in (1, 2, 5)]
    assert kept[0] == kept[1] == kept[2]
    assert Counter(name for name, *_ in kept[0]) == {f"p{n}": n for n in range(1, 10)}
    enrolment, operations = told[0]
    assert enrolment.enrolled == tuple(Enrolled(f"p{n}", n) for n in range(1, 10))
    assert [(Path(one.image).name, one.reason) for one in enrolment.skipped] == [
        ("000.png", "this photograph is enrolled already as 'p3'"),
        ("broken.png", enrolment.skipped[1].reason),
        ("077.png", "no face found in it"),
    ]
    # Nobody is in two transactions who is complete within the larger number of photographs.
    in_two = Counter(what.split("'")[1] for what in operations)
    assert {name for name, count in in_two.items() if count > 1} <= {"p8", "p9"}


def test_what_is_enrolled_is_not_decoded_again(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(tmp_path / "home", people)
    before = rows(tmp_path / "home")
    photograph(people / "p2", 2, 50)
    decoded: list[str] = []
    load = images.load_image
    monkeypatch.setattr(
        images,
        "load_image",
        lambda content, name, warn: decoded.append(Path(name).name) or load(content, name=name),
    )
    told, _ = enrol(tmp_path / "home", people)
    assert sorted(decoded) == ["050.png", "077.png", "broken.png"]
    assert told.enrolled == (Enrolled("p2", 1),)
    assert sum(one.enrolled_before for one in told.skipped) == 46
    assert set(before) < set(rows(tmp_path / "home"))


def test_where_everything_is_enrolled_no_worker_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph(tmp_path / "people" / "p1", 1, 0)
    enrol(tmp_path / "home", tmp_path / "people")
    monkeypatch.delattr(decoder_sandbox, "DecodingProcess")
    pipeline = PixelPipeline()
    told, _ = enrol(tmp_path / "home", tmp_path / "people", pipeline)
    assert [one.enrolled_before for one in told.skipped] == [True]
    assert pipeline.batches == []


@pytest.mark.usefixtures("in_small_batches")
@pytest.mark.parametrize("batches", [0, 3, 8])
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, people: Path, batches: int) -> None:
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        enrol(tmp_path / "home", people, PixelPipeline(fail_after=batches))
    assert_threads_end(threads)
    enrol(tmp_path / "home", people)
    enrol(tmp_path / "whole", people)
    assert [row[:2] for row in rows(tmp_path / "home")] == [
        row[:2] for row in rows(tmp_path / "whole")
    ]


@pytest.mark.usefixtures("in_small_batches")
def test_a_gallery_that_refuses_ends_the_run_and_every_thread(tmp_path: Path, people: Path) -> None:
    threads = threading.active_count()
    queue = bulk_enrolment.EnrolmentQueue(
        _refuse, {"p9": sorted((people / "p9").iterdir())}, TERMS, lambda *_: None
    )
    with pytest.raises(GalleryError) as refusal:
        bulk_enrolment.enrol_people(queue, PixelPipeline().faces, lambda _: frozenset(), 2)
    assert "full" in str(refusal.value)
    assert_threads_end(threads)


@pytest.mark.usefixtures("in_small_batches")
def test_progress_is_told_of_what_is_durable(tmp_path: Path, people: Path) -> None:
    steps: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        steps.append((done, total))
        with Gallery.open(tmp_path / "gallery") as gallery:
            durable.append(gallery.size[1])

    durable: list[int] = []
    (people / "p4" / "broken.png").unlink()
    (people / "p5" / "077.png").unlink()
    (people / "p3" / "000 copy.png").unlink()
    with RecognitionService(home=tmp_path, pipeline=PixelPipeline()) as service:
        service.enroll_folder(people, workers=2, progress=look)
    assert steps == sorted(set(steps))
    assert steps[-1] == (45, 45)
    assert len(steps) >= 6
    assert all(kept >= done for kept, (done, _) in zip(durable, steps, strict=True))


def test_what_is_odd_is_told_of_somebody_in_several_transactions_as_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "people"
    for take in range(12):
        photograph(root / "Ann", 1, take)
    photograph(root / "Ann", 2, 40)  # somebody else's
    (whole, _) = enrol(tmp_path / "whole", root)
    monkeypatch.setattr(bulk_enrolment, "TOGETHER", 2)
    monkeypatch.setattr(bulk_enrolment, "MOST_TOGETHER", 4)
    (parts, operations) = enrol(tmp_path / "parts", root)
    assert len(operations) == 4
    assert parts == whole
    odd = [Path(one.image).name for one in whole.kept if one.warnings]
    assert odd == ["040.png"]


def test_two_spellings_of_a_name_are_one_person(tmp_path: Path) -> None:
    root = tmp_path / "people"
    photograph(root / "Zo\u0065\u0308", 1, 0)
    photograph(root / "Zz", 2, 0)
    photograph(root / "Zo\u00eb", 1, 1)
    (told, _) = enrol(tmp_path / "home", root)
    assert told.enrolled == (Enrolled("Zo\u00eb", 2), Enrolled("Zz", 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends no process by a signal")
def test_a_decoder_that_breaks_down_costs_one_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        decoder_sandbox,
        "_PROGRAM",
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from data import decoder_worker as worker\n"
        "decode = worker.decode\n"
        "worker.decode = lambda content, **limits: "
        "os.abort() if content == b'abort' else decode(content, **limits)\n"
        "worker.serve(int(sys.argv[2]), float(sys.argv[3]))",
    )
    root = tmp_path / "people"
    for take in (0, 2, 3):
        photograph(root / "Ann", 1, take)
    (root / "Ann" / "001.png").write_bytes(b"abort")
    (told, _) = enrol(tmp_path / "home", root, workers=2)
    assert told.enrolled == (Enrolled("Ann", 3),)
    assert [Path(one.image).name for one in told.skipped] == ["001.png"]
    assert "broke down" in told.skipped[0].reason


KILLED = """
import sys, time
sys.path[:0] = [*sys.argv[1:3], sys.argv[2] + "/.."]
import test_bulk_enrolment
from recognition import bulk_enrolment, photographs
from recognition.service import RecognitionService
bulk_enrolment.TOGETHER, bulk_enrolment.MOST_TOGETHER = 5, 7
for module in (photographs, bulk_enrolment):
    module.MOST_IMAGES = 3
with RecognitionService(home=sys.argv[3], pipeline=test_bulk_enrolment.PixelPipeline()) as service:
    service.enroll_folder(
        test_bulk_enrolment.Path(sys.argv[4]), workers=2,
        progress=lambda done, total: (print(done, flush=True), time.sleep(0.05)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_kill_loses_nothing_that_was_told(tmp_path: Path, people: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-c", KILLED, str(ROOT), str(Path(__file__).parent)]
    for lines in (1, 3):
        with subprocess.Popen(
            [*command, str(home), str(people)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(lines)]
            os.kill(process.pid, signal.SIGKILL)
            told += [int(line) for line in process.stdout.read().split()]
        skipped = 3  # a copy, a broken one, and nobody
        assert len(rows(home)) >= told[-1] - skipped
    enrol(home, people)
    assert Counter(name for name, *_ in rows(home)) == {f"p{n}": n for n in range(1, 10)}
