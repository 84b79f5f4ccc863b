"""Faces planted in photographs of 12 megapixels: how many are found, and how long that takes.

    python benchmarks/large_photograph.py --faces FOLDER [--photographs 5] [--smallest 60] [--json]
        [--detector one_stage --weights FILE] [--minimum-face 60]

FOLDER holds portraits with one face in the middle, as LFW's. Each photograph is 4000×3000 pixels of
slowly varying colour, into which twelve portraits are pasted so that their faces are from
`--smallest` to eight times as large, half of them at most twice. What is decoded already is timed,
ours beside facenet-pytorch's MTCNN by its documentation, in turns; that one is asked for no face
below nine tenths of `--smallest`, as its user would who knew the photographs. A planted face is
found where a box overlaps it by 0.4.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from torchvision.ops import box_iou

from data.images import find_images, load_image
from recognition.detection.detector import (
    DetectorOptions,
    FaceDetector,
    make_detector,
    nearest_centre,
)

SIZE = (4000, 3000)
COLUMNS, ROWS = 4, 3
OVERLAP = 0.4

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured."""

    photographs: int
    planted: int
    smallest: float
    found: int
    others: int
    threads: int
    milliseconds: float
    baseline_milliseconds: float
    ratio: float


def planted(
    portraits: Sequence[tuple[Image.Image, Box]], smallest: float, seed: int
) -> tuple[Image.Image, list[Box]]:
    """A photograph and the boxes of the faces in it, a portrait in each of twelve fields."""
    source = np.random.default_rng(seed)
    coarse = source.integers(60, 196, (6, 8, 3), dtype=np.uint8)
    photograph = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    boxes: list[Box] = []
    field = (SIZE[0] // COLUMNS, SIZE[1] // ROWS)
    for number in range(COLUMNS * ROWS):
        portrait, box = portraits[int(source.integers(len(portraits)))]
        side = max(box[2] - box[0], box[3] - box[1])
        growth = source.uniform(0, 1 if number % 2 else 3)  # doublings
        scale = min(smallest * 2**growth / side, 0.95 * min(field) / max(portrait.size))
        made = portrait.resize((round(portrait.width * scale), round(portrait.height * scale)))
        left = number % COLUMNS * field[0] + int(source.integers(field[0] - made.width + 1))
        top = number // COLUMNS * field[1] + int(source.integers(field[1] - made.height + 1))
        photograph.paste(made, (left, top))
        x1, y1, x2, y2 = box
        boxes.append((left + x1 * scale, top + y1 * scale, left + x2 * scale, top + y2 * scale))
    return photograph, boxes


def counted(detector: FaceDetector, image: Image.Image, boxes: Sequence[Box]) -> tuple[int, int]:
    """How many of the planted faces are found, and how many other boxes there are."""
    [faces] = detector.detect([image])
    if not faces:
        return 0, 0
    overlaps = box_iou(torch.tensor(boxes), torch.tensor([face.box for face in faces]))
    hits = overlaps >= OVERLAP
    return int(hits.any(1).sum()), int((~hits.any(0)).sum())


def compare(given: argparse.Namespace) -> Comparison:
    options = DetectorOptions(weights=given.weights, minimum_face=given.minimum_face)
    detector = make_detector("cpu", given.detector, options)
    finder = make_detector("cpu")
    portraits: list[tuple[Image.Image, Box]] = []
    for path in find_images([given.faces])[:: given.every]:
        image = load_image(path)
        [faces] = finder.detect([image])
        if faces and len(portraits) < 24:
            portraits.append((image, nearest_centre(faces, image.size).box))
    if not portraits:
        raise SystemExit(f"no face in the portraits of {given.faces}: give --faces others")
    made = [planted(portraits, given.smallest, seed) for seed in range(given.photographs)]
    baseline = MTCNN(min_face_size=round(0.9 * given.smallest), keep_all=True)
    found = others = 0
    ours: list[float] = []
    theirs: list[float] = []
    detector.detect([made[0][0]])  # warms up
    for image, boxes in made:
        hits, rest = counted(detector, image, boxes)
        found, others = found + hits, others + rest
        began = time.perf_counter()
        detector.detect([image])
        ours.append(time.perf_counter() - began)
        if len(theirs) < given.baselines:
            began = time.perf_counter()
            baseline.detect(image)
            theirs.append(time.perf_counter() - began)
    mine, other = (1000 * statistics.median(each) for each in (ours, theirs))
    return Comparison(
        photographs=len(made),
        planted=sum(len(boxes) for _, boxes in made),
        smallest=given.smallest,
        found=found,
        others=others,
        threads=torch.get_num_threads(),
        milliseconds=round(mine, 1),
        baseline_milliseconds=round(other, 1),
        ratio=round(other / mine, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--every", type=int, default=400, help="take every so manyth portrait")
    parser.add_argument("--photographs", type=int, default=5, help="how many to make")
    parser.add_argument(
        "--baselines",
        type=int,
        default=1,
        choices=range(1, 100),
        help="how often the other is timed",
    )
    parser.add_argument("--smallest", type=float, default=60, help="side of the smallest face")
    parser.add_argument("--detector", default="mtcnn", help="which one of ours")
    parser.add_argument("--weights", type=Path, help="of the one-stage detector")
    parser.add_argument("--minimum-face", type=float, help="as `--min-face` of the commands")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    result = compare(given)
    if given.json:
        print(json.dumps(asdict(result), indent=2))
        return
    print(
        f"{result.found} of {result.planted} faces from {result.smallest:g} px on found in "
        f"{result.photographs} photographs of 12 megapixels, {result.others} other boxes"
    )
    print(
        f"{result.milliseconds} ms a photograph, facenet-pytorch {result.baseline_milliseconds} "
        f"ms: {result.ratio} times as quick, {result.threads} threads"
    )


if __name__ == "__main__":
    main()
