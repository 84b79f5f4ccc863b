"""Detectors on the same boxed photographs in one run: accuracy, and photographs a second.

python benchmarks/detectors.py --images faces-boxed/images --annotations faces-boxed/annotations \
    --skip 500 [--detector mtcnn] [--weights best.safetensors] [--yunet yunet_n.safetensors]

YuNet is run as the training's teacher is, from its weights as safetensors, with the same search
around it as the one-stage detector has; of OpenCV's own the maps are the same to rounding. With
`--middle DIR` it is counted, too, in how many photographs of single people no face was found over
the middle; `--identities` says whose.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from data.datasets import listed_names
from data.images import find_images, load_image
from recognition.detection.annotations import read_boxed
from recognition.detection.detector import (
    DetectorOptions,
    FaceDetector,
    detector_spec,
    make_detector,
)
from recognition.detection.one_stage import OneStageDetector
from recognition.detection.training.teacher import Yunet
from recognition.evaluation.detection import evaluate_detector

LEAST_SCORE = 0.05
YUNET_SCORE = 0.6  # what OpenCV's own examples take


class _AsStudent(nn.Module):
    """YuNet's maps as the one-stage detector reads them: with a logit for the score."""

    def __init__(self, teacher: Yunet) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [
            torch.cat([each[:, :1].clamp(1e-6, 1 - 1e-6).logit(), each[:, 1:]], 1)
            for each in self.teacher(pictures)
        ]


def overlooked(detector: FaceDetector, paths: Sequence[Path], score: float) -> tuple[int, float]:
    """In how many photographs no box covers the middle, and how many boxes others have."""
    missed = others = 0
    for path in paths:
        image = load_image(path)
        [faces] = detector.detect([image])
        kept = [face.box for face in faces if face.detection_score >= score]
        x, y = image.width / 2, image.height / 2
        over = [box for box in kept if box[0] <= x <= box[2] and box[1] <= y <= box[3]]
        missed += not over
        others += len(kept) - len(over)
    return missed, others / max(1, len(paths))


def yunet_detector(weights: Path, least: float) -> FaceDetector:
    """YuNet with the search of the one-stage detector around it."""
    network: nn.Module = _AsStudent(Yunet(weights))
    return OneStageDetector(network, "cpu", identity="yunet/1", minimum_score=least)  # type: ignore[arg-type]


def chosen_detectors(options: argparse.Namespace, least: float) -> dict[str, FaceDetector]:
    """The detectors asked for, by name."""
    found: dict[str, FaceDetector] = {}
    for name in options.detector or ["mtcnn"]:
        found[name] = make_detector("cpu", name, DetectorOptions(minimum_score=least))
    if options.weights is not None:
        found["one_stage"] = make_detector(
            "cpu", "one_stage", DetectorOptions(minimum_score=least, weights=options.weights)
        )
    if options.yunet is not None:
        found["yunet"] = yunet_detector(options.yunet, least)
    return found


def score_of(name: str, options: argparse.Namespace) -> float:
    if options.score is not None and name != "mtcnn":
        return float(options.score)
    return YUNET_SCORE if name == "yunet" else detector_spec(name).minimum_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--at-most", type=int)
    parser.add_argument("--detector", action="append")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--score", type=float)
    parser.add_argument("--middle", type=Path)
    parser.add_argument("--identities", type=Path)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    boxed = read_boxed(options.images, options.annotations)[options.skip :][: options.at_most]
    for name, detector in chosen_detectors(options, LEAST_SCORE).items():
        detector.detect([Image.new("RGB", (400, 300))])  # warm
        result = evaluate_detector(detector, boxed, score=score_of(name, options))
        print(json.dumps({"name": name, **result.to_json()}), flush=True)
    if options.middle is None:
        return
    paths = find_images([options.middle])
    if options.identities is not None:
        names = listed_names([options.identities])
        paths = [path for path in paths if path.parent.name in names]
    paths = paths[:: options.every]
    for name in chosen_detectors(options, LEAST_SCORE):
        score = score_of(name, options)
        detector = chosen_detectors(options, score)[name]
        missed, others = overlooked(detector, paths, score)
        print(
            json.dumps(
                {
                    "name": name,
                    "score": score,
                    "photographs": len(paths),
                    "no_box_over_the_middle": missed,
                    "other_boxes_a_photograph": others,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
