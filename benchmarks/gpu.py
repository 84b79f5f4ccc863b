"""Every path that can run on a GPU, timed there and held to a CPU's numbers, in four minutes.

    python benchmarks/gpu.py [--images FOLDER] [--detector-weights FILE] [--json]
    python benchmarks/gpu.py --rehearse      # the same code on a CPU, at small sizes, in seconds

Embedding, both detectors, a training step, a style step and FAISS's search are each warmed up and
then repeated for a share of the time. Everything is counted that a user waits for: pixels go to the
GPU and results come back. What each gives is compared with what a CPU gives of the same input, in
a small part where that would take long; where they differ by more than is said beside it, the
exit code is 1. Without --images the photographs are made up, and hold no faces; without
--detector-weights the one-stage detector's are random. What does not fit into the four minutes
is left out, and that is said.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from backbones.registry import create
from backbones.weights import load_backbone
from data.images import find_images, load_image
from recognition.detection.methods.registry import load
from recognition.detection.mtcnn import MtcnnDetector
from recognition.detection.one_stage import OneStageDetector
from recognition.detection.one_stage_network import OneStageNetwork, flattened
from recognition.faces.alignment import crop_size
from recognition.faces.embedding import FaceEmbedder
from recognition.gallery.search.index import TemplateIndex
from recognition.learning.batches import BatchStream, build_sampler
from recognition.learning.choices import Precision
from recognition.learning.config import BatchConfig, DataConfig, TrainingConfig
from recognition.learning.dataset import Photographs, alignment_for
from recognition.learning.distillation import Lessons
from recognition.learning.epoch import EpochLoop, build_network, build_parts
from style.config import StyleConfig, StyleLossKind
from style.network import StyleNetwork
from style.stylize import stylize

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much each path gets to do at once."""

    limit: float  # seconds of the whole
    seconds: float  # of repeating a path
    repeats: int  # at least
    faces: int
    photographs: int
    side: int
    people: int  # of a training batch, four photographs each
    trained: str
    painted: int
    painter: str
    templates: int
    queries: int


FULL = Sizes(
    limit=240,
    seconds=12,
    repeats=3,
    faces=1024,
    photographs=64,
    side=640,
    people=64,
    trained="mobilefacenet",
    painted=512,
    painter="vgg19",
    templates=500_000,
    queries=256,
)
SMALL = Sizes(
    limit=3600,
    seconds=0,
    repeats=1,
    faces=4,
    photographs=2,
    side=96,
    people=2,
    trained="iresnet_se",
    painted=64,
    painter="vgg_slim",
    templates=500,
    queries=4,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One path, ready to be run.

    Attributes:
        name: What it is.
        unit: Of what `work` does `count`.
        count: How many of them.
        work: Does them once, to the end.
        difference: How far its numbers are from a CPU's.
        tolerance: How far they may be.
    """

    name: str
    unit: str
    count: int
    work: Callable[[], object]
    difference: Callable[[], float]
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured of one path."""

    name: str
    unit: str
    per_second: float
    repeats: int
    difference: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether its numbers are a CPU's; NaN is none."""
        return self.difference <= self.tolerance


def measured(path: Task, sizes: Sizes) -> Row:
    """Warm up, then repeat for so long; the median counts."""
    path.work()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < sizes.repeats or time.perf_counter() - began < sizes.seconds:
        start = time.perf_counter()
        path.work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return Row(
        name=path.name,
        unit=path.unit,
        per_second=round(path.count / statistics.median(times), 1),
        repeats=len(times),
        difference=path.difference(),
        tolerance=path.tolerance,
    )


def smooth(count: int, side: int, seed: int) -> Tensor:
    """Random pictures (count, 3, side, side) in [0, 1] that vary slowly."""
    coarse = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (side, side), mode="bilinear")


def embedding(name: str, device: torch.device, sizes: Sizes) -> Task:
    """Crops in the processor's memory → unit vectors there."""
    here, there = (FaceEmbedder(load_backbone(name, device=each)) for each in (CPU, device))
    crops = smooth(sizes.faces, crop_size(here.alignment), seed=1)

    def difference() -> float:
        some = crops[:8]
        return float(1 - (here.embed(some) * there.embed(some)).sum(1).min())

    return Task(
        name=f"embedding, {name}",
        unit="faces",
        count=len(crops),
        work=lambda: there.embed(crops),
        difference=difference,
        tolerance=0.005,
    )


def photographs(folder: Path | None, sizes: Sizes) -> list[Image.Image]:
    """Those of a folder, or made-up ones."""
    if folder is not None:
        return [load_image(path) for path in find_images([folder])[: sizes.photographs]]
    pixels = (smooth(sizes.photographs, sizes.side, seed=2) * 255).byte().permute(0, 2, 3, 1)
    return [Image.fromarray(each.numpy()) for each in pixels.contiguous()]


def cascade(device: torch.device, images: Sequence[Image.Image]) -> Task:
    """MTCNN; numbers of faces are compared, by their share."""
    there = MtcnnDetector(device)

    def difference() -> float:
        some = images[:8]
        expected, found = (
            [len(faces) for faces in each.detect(some)] for each in (MtcnnDetector(CPU), there)
        )
        apart = sum(abs(a - b) for a, b in zip(expected, found, strict=True))
        return apart / max(1, sum(expected))

    return Task(
        name="detection, mtcnn",
        unit="photographs",
        count=len(images),
        work=lambda: there.detect(images),
        difference=difference,
        tolerance=0.02,
    )


def one_stage(device: torch.device, images: Sequence[Image.Image], weights: Path | None) -> Task:
    """The one-stage detector; the maps of its network are compared."""

    def network() -> OneStageNetwork:
        if weights is not None:
            _, read = load(weights)
            if not isinstance(read, OneStageNetwork):
                raise SystemExit(f"{weights} holds another detector than the one-stage one")
            return read.fold()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return OneStageNetwork().fold().requires_grad_(False)

    there = OneStageDetector(network(), device)

    @torch.inference_mode()
    def difference() -> float:
        picture = smooth(1, 64, seed=3)
        expected = flattened(network()(picture))
        found = flattened(network().to(device)(picture.to(device))).cpu()
        return float((found - expected).abs().max())

    return Task(
        name="detection, one_stage",
        unit="photographs",
        count=len(images),
        work=lambda: there.detect(images),
        difference=difference,
        tolerance=0.05,
    )


def training(device: torch.device, sizes: Sizes) -> Task:
    """The inner loop of `likeness train`: its loss is compared after a step."""
    batch = 4 * sizes.people
    side = crop_size(alignment_for(sizes.trained))

    def loop(where: torch.device, people: int, steps: int) -> EpochLoop:
        config = TrainingConfig(
            data=DataConfig(folder=Path("photographs")),
            out=Path("run"),
            backbone=sizes.trained,
            batch=BatchConfig(people=people, photographs=4),
            precision=Precision.BF16 if where.type == "cuda" else Precision.FLOAT32,
            device=where.type,
        )
        count = steps * 4 * people
        made = Photographs(
            (smooth(count, side, seed=4) * 255).byte(),
            torch.arange(people).repeat(count // people),
            tuple(map(str, range(people))),
        )
        stream = BatchStream(made, build_sampler(made, config), None, config, where)
        parts = build_parts(config, build_network(config, where), Lessons(), people=people)
        return EpochLoop(config, parts, stream, where)

    there = loop(device, sizes.people, steps=1)

    def difference() -> float:
        expected, found = (
            loop(where, 2, steps=1).run(1, lambda _: None).total for where in (CPU, device)
        )
        return abs(found - expected) / abs(expected)

    return Task(
        name=f"training, {sizes.trained}",
        unit="images",
        count=batch,
        work=lambda: there.run(1, lambda _: None),
        difference=difference,
        tolerance=0.05,
    )


def painting(device: torch.device, sizes: Sizes) -> Task:
    """A step of `likeness stylize`: its loss is compared at the beginning."""

    def losses(where: torch.device, side: int) -> Iterator[float]:
        config = StyleConfig(
            size=side, first_scale=side, steps=100_000, style_loss=StyleLossKind.GRAM
        )
        network = StyleNetwork.of(create(sizes.painter, seed=0).to(where), config)
        content, style = (smooth(1, side, seed).to(where) for seed in (5, 6))
        for progress in stylize(content, [style], config, network):
            yield progress.losses["total"]

    there = losses(device, sizes.painted)

    def difference() -> float:
        expected, found = (next(losses(where, 64)) for where in (CPU, device))
        return abs(found - expected) / abs(expected)

    return Task(
        name=f"style, {sizes.painter} at {sizes.painted} px",
        unit="steps",
        count=1,
        work=lambda: next(there),
        difference=difference,
        tolerance=0.05,
    )


def search(sizes: Sizes) -> Task:
    """FAISS in an exact gallery: on its GPU where it finds one, against products by NumPy."""
    source = np.random.default_rng(7)
    dimension = 256

    def unit(count: int) -> np.ndarray:
        vectors = source.standard_normal((count, dimension), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    vectors, queries = unit(sizes.templates), unit(sizes.queries)
    index = TemplateIndex(dimension)
    index.add(np.arange(len(vectors)), vectors)

    def difference() -> float:
        similarities, _ = index.search(queries, 1)
        return float(np.abs(similarities[:, 0] - (queries @ vectors.T).max(1)).max())

    return Task(
        name=f"search among {sizes.templates:,}",
        unit="queries",
        count=len(queries),
        work=lambda: index.search(queries, 10),
        difference=difference,
        tolerance=0.001,
    )


def run_all(device: torch.device, sizes: Sizes, given: argparse.Namespace) -> Iterator[Row | str]:
    """Each path's row, or its name where there is no time left for it."""
    images = photographs(given.images, sizes)
    makers: dict[str, Callable[[], Task]] = {
        "embedding, mobilefacenet": partial(embedding, "mobilefacenet", device, sizes),
        "embedding, dlib_resnet": partial(embedding, "dlib_resnet", device, sizes),
        "detection, mtcnn": partial(cascade, device, images),
        "detection, one_stage": partial(one_stage, device, images, given.detector_weights),
        "training": partial(training, device, sizes),
        "style": partial(painting, device, sizes),
        "search": partial(search, sizes),
    }
    began = time.perf_counter()
    share = sizes.limit / len(makers)
    for name, make in makers.items():
        # What is begun is hardly stopped, so it needs its share of the time to be left.
        if time.perf_counter() - began > sizes.limit - share:
            yield name
        else:
            yield measured(make(), sizes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at small sizes")
    parser.add_argument("--images", type=Path, help="folder of photographs with faces")
    parser.add_argument("--detector-weights", type=Path, help="of the one-stage detector")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if not given.rehearse and not torch.cuda.is_available():
        print("error: no NVIDIA GPU that this torch can use; take --rehearse", file=sys.stderr)
        return 2
    device = CPU if given.rehearse else torch.device("cuda")
    named = "CPU" if given.rehearse else torch.cuda.get_device_name(device)
    conditions = {"device": named, "torch": torch.__version__, "faiss_gpus": faiss.get_num_gpus()}
    if not given.json:
        print(f"{named}, torch {torch.__version__}, FAISS sees {conditions['faiss_gpus']} GPUs\n")
        print("| path | a second | from a CPU's numbers |\n|---|---|---|")
    began = time.perf_counter()
    rows: list[Row] = []
    left_out: list[str] = []
    for result in run_all(device, SMALL if given.rehearse else FULL, given):
        if isinstance(result, str):
            left_out.append(result)
        else:
            rows.append(result)
        if not given.json:
            print(line_of(result), flush=True)
    seconds = round(time.perf_counter() - began, 1)
    if given.json:
        table = [{**asdict(row), "agrees": row.agrees} for row in rows]
        print(json.dumps({**conditions, "seconds": seconds, "left_out": left_out, "paths": table}))
    else:
        print(f"\n{seconds} s in all")
    return int(bool(left_out) or not all(row.agrees for row in rows))


def line_of(result: Row | str) -> str:
    """A row of the table."""
    if isinstance(result, str):
        return f"| {result} | no time left | – |"
    mark = "" if result.agrees else " **differs**"
    beside = f"{result.difference:.2g} (may be {result.tolerance:g}){mark}"
    return f"| {result.name} | {result.per_second:,} {result.unit} | {beside} |"


if __name__ == "__main__":
    sys.exit(main())
