"""Detect, align and embed: this application against facenet-pytorch, side by side in one run.

    python benchmarks/pipeline.py --images FOLDER [--weights FILE] [--count 96] [--json]

The baseline is used as its documentation says: `MTCNN` called with the list of photographs, then
`InceptionResnetV1` on the stacked faces, one a photograph; its weights are random, since only time
counts. Ours embeds every face it finds, and its mirror image; without `--weights` its weights are
random too. Both have the same thresholds, smallest face and number of threads, take turns, and are
timed on photographs that are decoded already. The first turn of each warms up and is not counted.
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
from recognition.detection.mtcnn import MtcnnDetector
from recognition.faces.embedding import FaceEmbedder
from recognition.faces.pipeline import FacePipeline

THRESHOLDS = (0.6, 0.7, 0.7)
MINIMUM_FACE = 20

Run = Callable[[Sequence[Image.Image]], int]
"""Embeds the faces of photographs and returns how many there were."""


def our_pipeline(weights: Path | None) -> Run:
    """This application's way, with trained weights or random ones."""
    loaded = _random_network() if weights is None else load_backbone(None, weights=weights)
    detector = MtcnnDetector(minimum_face=MINIMUM_FACE, thresholds=THRESHOLDS)
    pipeline = FacePipeline(detector, FaceEmbedder(loaded))
    return lambda images: sum(map(len, pipeline.faces(images)))


def facenet_pipeline() -> Run:
    """facenet-pytorch's way."""
    detector = MTCNN(min_face_size=MINIMUM_FACE, thresholds=list(THRESHOLDS))
    network = InceptionResnetV1().eval()

    @torch.no_grad()
    def run(images: Sequence[Image.Image]) -> int:
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
    images_per_second: dict[str, float]
    ratio: float


def compare(runs: dict[str, Run], images: Sequence[Image.Image], turns: int) -> Comparison:
    """Let both take turns; medians, so that a neighbour's noise in one turn does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    faces = {name: run(images) for name, run in runs.items()}
    for _ in range(turns):
        for name, run in runs.items():
            start = time.perf_counter()
            run(images)
            seconds[name].append(round(time.perf_counter() - start, 3))
    rates = {name: len(images) / statistics.median(each) for name, each in seconds.items()}
    ours, baseline = rates.values()
    return Comparison(
        photographs=len(images),
        threads=torch.get_num_threads(),
        faces=faces,
        seconds=seconds,
        images_per_second={name: round(rate, 2) for name, rate in rates.items()},
        ratio=round(ours / baseline, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of photographs, one size"
    )
    parser.add_argument("--weights", type=Path, help="weights of the embedding network")
    parser.add_argument("--count", type=int, default=96, help="how many photographs to take")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    paths = find_images([arguments.images])
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    images = [load_image(path) for path in paths]
    runs = {"likeness": our_pipeline(arguments.weights), "facenet-pytorch": facenet_pipeline()}
    result = compare(runs, images, arguments.turns)
    if arguments.json:
        print(json.dumps(asdict(result), indent=2))
        return
    for name, rate in result.images_per_second.items():
        print(f"{name:<16} {rate:7.2f} images a second, {result.faces[name]} faces")
    print(f"ratio {result.ratio}, threads {result.threads}, medians of {arguments.turns} turns")


if __name__ == "__main__":
    main()
