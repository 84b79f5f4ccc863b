"""Bulk enrolment of a folder against its networks alone, part by part in one run.

    python benchmarks/bulk.py --images FOLDER [--photographs 5000] [--size 250] [--json]

FOLDER holds a folder for each person. Its photographs are dealt out into parts of 250, and each is
enrolled by `RecognitionService.enroll_folder`, which reads, hashes, decodes, detects, embeds,
measures, encodes the crops, writes SQLite and looks for what is odd; the decoding processes start
with the first part. Beside that, `FacePipeline.faces` is timed on the same photographs, decoded
already, in batches of as many; the two take turns at being first. The ratio is that of all the
seconds, its quartiles are over parts; that of processor time, decoders included, says what a busy
machine hides.
Where FOLDER holds too few photographs, they come again, each time cut and encoded otherwise; with
--size all are made so large.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path

import psutil
import torch
from PIL import Image

from data.datasets import read_identities
from data.decoder_sandbox import decoding_apart
from data.images import load_image
from recognition.models import Choice, Engine
from recognition.photographs import MOST_IMAGES
from recognition.service import RecognitionService

PART = 250
FARTHEST_CUT = 8  # pixels of a repeated photograph that are cut off at a border
QUALITY = 92


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured."""

    photographs: int
    enrolled: int
    people: int
    pixels: float
    threads: int
    workers: int
    bulk_per_second: float
    networks_per_second: float
    ratio: float
    ratio_of_parts: tuple[float, float, float]
    processor_ratio: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, and of processor time of this process and its children."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> "Spent":
        """Since some moment in the past."""
        mine = psutil.Process()
        times = [process.cpu_times() for process in (mine, *mine.children())]
        return cls(time.perf_counter(), sum(one.user + one.system for one in times))

    def since(self, before: "Spent") -> "Spent":
        """Between two moments."""
        return Spent(self.clock - before.clock, self.processor - before.processor)


def photographs(folder: Path, size: int | None) -> Iterator[tuple[str, bytes]]:
    """People and files without end, no two alike: those there are, then others made of them."""
    people = read_identities(folder)
    for turn in count():
        for person in people:
            for path in person.photographs:
                yield (
                    person.name,
                    path.read_bytes() if turn == 0 and not size else made(path, turn, size),
                )


def made(path: Path, turn: int, size: int | None) -> bytes:
    """A photograph without some pixels at its borders, `size` pixels long if that is given."""
    image = load_image(path)
    left, top = turn % FARTHEST_CUT, turn // FARTHEST_CUT % FARTHEST_CUT
    image = image.crop((left, top, image.width, image.height))
    if size:
        scale = size / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY - turn // FARTHEST_CUT**2)
    return file.getvalue()


def parts(given: Iterator[tuple[str, bytes]], total: int, root: Path) -> Iterator[list[Path]]:
    """Write the files of one part after the other, and clear them away."""
    numbers = count()
    while some := list(islice(given, min(PART, total))):
        total -= len(some)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            paths = [Path(folder) / name / f"{next(numbers):06}.jpg" for name, _ in some]
            for path, (_, content) in zip(paths, some, strict=True):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            yield sorted(paths)


def networks_alone(engine: Engine, paths: Sequence[Path]) -> Spent:
    """Detection and embedding of photographs that are decoded already."""
    images = [load_image(path) for path in paths]
    began = Spent.now()
    for start in range(0, len(images), MOST_IMAGES):
        engine.pipeline.faces(images[start : start + MOST_IMAGES])
    return Spent.now().since(began)


def bulk(service: RecognitionService, folder: Path) -> tuple[Spent, int]:
    """An enrolment, and how many photographs were enrolled."""
    began = Spent.now()
    enrolment = service.enroll_folder(folder)
    spent = Spent.now().since(began)
    return spent, sum(one.photographs for one in enrolment.enrolled)


def compare(given: argparse.Namespace, root: Path, workers: int) -> Comparison:
    """Enrol part by part, and run the networks alone on each of them."""
    engine = Engine(Choice(home=root), lambda: None)
    service = RecognitionService(home=root / "home", pipeline=engine.pipeline)
    times: list[tuple[Spent, Spent]] = []
    enrolled = pixels = seen = 0
    for number, paths in enumerate(
        parts(photographs(given.images, given.size), given.photographs, root)
    ):
        if number == 0:
            networks_alone(engine, paths[:MOST_IMAGES])  # warms up
        folder = paths[0].parents[1]
        alone = networks_alone(engine, paths) if number % 2 else None
        spent, some = bulk(service, folder)
        times.append((spent, alone or networks_alone(engine, paths)))
        enrolled, seen = enrolled + some, seen + len(paths)
        with Image.open(paths[0]) as image:
            pixels += image.width * image.height
    in_bulk, networks = (sum(one.clock for one in column) for column in zip(*times, strict=True))
    busy = [sum(one.processor for one in column) for column in zip(*times, strict=True)]
    ratios = [alone.clock / whole.clock for whole, alone in times]
    low, middle, high = statistics.quantiles(ratios) if len(ratios) > 1 else ratios * 3
    people = len(service.people.summaries())
    service.close()
    return Comparison(
        photographs=seen,
        enrolled=enrolled,
        people=people,
        pixels=round(pixels / len(times)),
        threads=torch.get_num_threads(),
        workers=workers,
        bulk_per_second=round(seen / in_bulk, 2),
        networks_per_second=round(seen / networks, 2),
        ratio=round(networks / in_bulk, 3),
        ratio_of_parts=(round(low, 3), round(middle, 3), round(high, 3)),
        processor_ratio=round(busy[1] / busy[0], 3),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="a folder for each person")
    parser.add_argument("--photographs", type=int, default=5000, help="how many to enrol")
    parser.add_argument("--size", type=int, help="pixels of the longer side; else as they are")
    parser.add_argument("--workers", type=int, help="processes that decode; else one a core")
    parser.add_argument("--threads", type=int, help="of the networks; else torch's own choice")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as root, decoding_apart(given.workers) as pool:
        result = compare(given, Path(root), pool.workers)
    if given.json:
        print(json.dumps(asdict(result), indent=2))
        return
    low, middle, high = result.ratio_of_parts
    print(
        f"{result.photographs:,} photographs of about {result.pixels:,} pixels, "
        f"{result.enrolled:,} of {result.people:,} people enrolled"
    )
    print(f"bulk enrolment {result.bulk_per_second:8.2f} photographs a second")
    print(f"networks alone {result.networks_per_second:8.2f} photographs a second")
    print(f"ratio {result.ratio} (parts: {low}, {middle}, {high})")
    print(f"of processor time {result.processor_ratio}")
    print(f"{result.threads} threads, {result.workers} decoding processes")


if __name__ == "__main__":
    main()
