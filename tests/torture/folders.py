"""`kill -9` of processes that enrol a folder of people, each going on where the last one was."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from corpus.pictures import face_crop
from kills import killed
from PIL import Image
from trial import Outcome

from recognition import bulk_enrolment, photographs
from recognition.faces.pipeline import DetectedFace
from recognition.gallery.gallery import Gallery
from recognition.results import Face
from recognition.service import RecognitionService

PEOPLE = 12
MOST_PHOTOGRAPHS = 9
LONGEST_WAIT = 0.15  # seconds, several times what a transaction takes
LANDMARKS = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))


class MadeUpFaces:
    """Stands for the networks: a picture's first pixel says whose face is in it."""

    model_id = "made-up"
    weights_digest = "ab" * 32
    detector_id = "mtcnn/1"
    alignment_id = "five-point-112/1"
    dimension = 32
    threshold = 0.5
    tail = None

    def faces(self, images: Sequence[Image.Image], /) -> list[list[DetectedFace]]:
        return [[self._face(np.asarray(image)[0, 0].tolist())] for image in images]

    def _face(self, pixel: list[int]) -> DetectedFace:
        rng = np.random.default_rng(pixel)
        vector = np.random.default_rng(pixel[0]).normal(size=32) + 0.3 * rng.normal(size=32)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        crop = face_crop(int(rng.integers(97)))
        return DetectedFace(Face((0.0, 0.0, 9.0, 9.0), 0.9, LANDMARKS), unit, crop)


def make_people(root: Path, rng: random.Random) -> Counter[str]:
    """A folder of people; who is in it, and by how many photographs."""
    counts = Counter({f"p{n}": rng.randint(3, MOST_PHOTOGRAPHS) for n in range(PEOPLE)})
    for person, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for take in range(count):
            picture = Image.new("RGB", (16, 16), (person, take, rng.randrange(256)))
            picture.save(root / name / f"{take}.png")
    return counts


def enrolling(home: Path, root: Path) -> Callable[[int], None]:
    """Enrol the folder, telling a descriptor how much is done, and wait to be killed."""

    def work(acknowledge: int) -> None:
        for module in (bulk_enrolment, photographs):
            module.MOST_IMAGES = 4  # type: ignore[attr-defined]
        bulk_enrolment.TOGETHER, bulk_enrolment.MOST_TOGETHER = 4, 6
        with RecognitionService(home=home, pipeline=MadeUpFaces()) as service:
            service.enroll_folder(
                root,
                workers=2,
                progress=lambda done, total: os.write(acknowledge, f"{done}\n".encode()) and None,
            )
        while True:
            time.sleep(1)

    return work


def kill_folders(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill processes that enrol folders, until each folder is enrolled."""
    outcome = Outcome()
    complete = 0
    while outcome.trials < trials:
        root, home = folder / f"people-{complete}", folder / f"home-{complete}"
        counts = make_people(root, rng)
        done = 0
        while done < counts.total() and outcome.trials < trials:
            told = killed(enrolling(home, root), rng.randrange(6), rng.uniform(0, LONGEST_WAIT))
            done = max([0, *map(int, told)])
            outcome.trials += 1
            judge(home, done, counts, outcome)
        complete += done == counts.total()
    outcome.notes.append(f"{complete} folders came to their end")
    return outcome


def judge(home: Path, done: int, counts: Counter[str], outcome: Outcome) -> None:
    """Look for photographs that were told to be enrolled and are not, or are twice."""
    if not Gallery.exists(home / "gallery"):
        outcome.expect(done == 0, f"{done} photographs were acknowledged, and no gallery is there")
        return
    with Gallery.open(home / "gallery") as gallery:
        kept = Counter({one.name: one.photographs for one in gallery.people()})
        outcome.expect(kept.total() >= done, f"{done} were acknowledged, {kept.total()} are kept")
        outcome.expect(kept <= counts, f"more is kept than there was: {kept - counts}")
        outcome.expect(not gallery.faults(), f"damaged: {gallery.faults()}")
    if done == counts.total():
        outcome.expect(kept == counts, f"the folder was enrolled, and is not whole: {kept}")
