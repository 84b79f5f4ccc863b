"""Detect, align and embed: this application against facenet-pytorch, side by side in one run.

    python benchmarks/pipeline.py --images FOLDER [--weights FILE | --model NAME] [--count 96]
        [--detector one_stage [--detector-weights FILE]] [--json]

The baseline is used as its documentation says: `MTCNN` called with the list of photographs, then
`InceptionResnetV1` on the stacked faces, one a photograph; its weights are random, since only time
counts. Ours embeds every face it finds, and its mirror image where the weights ask for that;
without `--weights` and `--model` its weights are random too. MTCNN has the same thresholds and
smallest face on both sides, and both have the same number of threads, take turns, and are timed on
photographs that are decoded already. The first turn of each warms up and is not counted. Our
detector and our embedder are timed alone in the same turns: their share of the whole says what lies
between them. Processor time is told beside the clock's: a busy machine disturbs it less.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image

from backbones.registry import create
from backbones.weights import LoadedBackbone, WeightsFile, load_backbone
from data.images import find_images, load_image
from recognition.detection.detector import DetectorOptions, make_detector
from recognition.detection.mtcnn import MtcnnDetector
from recognition.faces.alignment import align_faces
from recognition.faces.embedding import FaceEmbedder
from recognition.faces.pipeline import FacePipeline

THRESHOLDS = (0.6, 0.7, 0.7)
MINIMUM_FACE = 20
OURS, BASELINE = "likeness", "facenet-pytorch"
DETECTION, EMBEDDING = "our detection alone", "our embedding alone"

Run = Callable[[], int]
"""Goes once over all photographs and returns how many faces there were."""


def our_runs(given: argparse.Namespace, images: Sequence[Image.Image]) -> dict[str, Run]:
    """This application's way, with trained weights or random ones; and its two networks alone."""
    loaded = (
        _random_network()
        if given.weights is None and given.model is None
        else load_backbone(given.model, weights=given.weights)
    )
    embedder = FaceEmbedder(loaded)
    detector = (
        MtcnnDetector(minimum_face=MINIMUM_FACE, thresholds=THRESHOLDS)
        if given.detector == "mtcnn"
        else make_detector("cpu", given.detector, DetectorOptions(weights=given.detector_weights))
    )
    pipeline = FacePipeline(detector, embedder)
    crops = align_faces(images, detector.detect(images), embedder.alignment)
    return {
        OURS: lambda: sum(map(len, pipeline.faces(images))),
        DETECTION: lambda: sum(map(len, detector.detect(images))),
        EMBEDDING: lambda: len(embedder.embed(crops)),
    }


def facenet_run(images: Sequence[Image.Image]) -> Run:
    """facenet-pytorch's way."""
    detector = MTCNN(min_face_size=MINIMUM_FACE, thresholds=list(THRESHOLDS))
    network = InceptionResnetV1().eval()

    @torch.no_grad()
    def run() -> int:
        faces = [face for face in detector(list(images)) if face is not None]
        return len(network(torch.stack(faces)))

    return run


def _random_network() -> LoadedBackbone:
    backbone = create("mobilefacenet", seed=0, input_size=(112, 96)).requires_grad_(False)
    return LoadedBackbone(
        backbone=backbone,
        weights=WeightsFile(
            path=Path("random"), sha256="", metadata={}, architecture=backbone.spec.name
        ),
        threshold=None,
        threshold_provenance=None,
        mirror=True,
        input_size=backbone.spec.input_size,
        alignment=backbone.spec.alignment,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured; by name where each contestant has its own."""

    photographs: int
    threads: int
    faces: dict[str, int]
    seconds: dict[str, list[float]]
    processor_seconds: dict[str, list[float]]
    images_per_second: dict[str, float]
    ratio: float
    processor_ratio: float
    share_of_networks: float
    processor_share_of_networks: float


def compare(runs: dict[str, Run], photographs: int, turns: int) -> Comparison:
    """Let all take turns; medians, so that a neighbour's noise in one turn does not count."""
    clock: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    faces = {name: run() for name, run in runs.items()}
    for _ in range(turns):
        for name, run in runs.items():
            began, busy = time.perf_counter(), time.process_time()
            run()
            clock[name].append(round(time.perf_counter() - began, 3))
            processor[name].append(round(time.process_time() - busy, 3))
    medians, of_processor = (
        {name: statistics.median(each) for name, each in side.items()}
        for side in (clock, processor)
    )
    return Comparison(
        photographs=photographs,
        threads=torch.get_num_threads(),
        faces=faces,
        seconds=clock,
        processor_seconds=processor,
        images_per_second={name: round(photographs / each, 2) for name, each in medians.items()},
        ratio=round(medians[BASELINE] / medians[OURS], 2),
        processor_ratio=round(of_processor[BASELINE] / of_processor[OURS], 2),
        share_of_networks=round((medians[DETECTION] + medians[EMBEDDING]) / medians[OURS], 3),
        processor_share_of_networks=round(
            (of_processor[DETECTION] + of_processor[EMBEDDING]) / of_processor[OURS], 3
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of photographs, one size"
    )
    parser.add_argument("--weights", type=Path, help="weights of the embedding network")
    parser.add_argument("--model", help="the embedding network's name")
    parser.add_argument("--detector", default="mtcnn", help="which one of ours")
    parser.add_argument("--detector-weights", type=Path, help="of the one-stage detector")
    parser.add_argument("--count", type=int, default=96, help="how many photographs to take")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    paths = find_images([arguments.images])
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    images = [load_image(path) for path in paths]
    runs = our_runs(arguments, images) | {BASELINE: facenet_run(images)}
    result = compare(runs, len(images), arguments.turns)
    if arguments.json:
        print(json.dumps(asdict(result), indent=2))
        return
    for name, rate in result.images_per_second.items():
        print(f"{name:<20} {rate:7.2f} images a second, {result.faces[name]} faces")
    print(f"ratio {result.ratio}, of processor time {result.processor_ratio}")
    print(
        f"our two networks alone take {result.share_of_networks} of the whole, "
        f"{result.processor_share_of_networks} of its processor time"
    )
    print(f"threads {result.threads}, medians of {arguments.turns} turns")


if __name__ == "__main__":
    main()
