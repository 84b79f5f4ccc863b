"""The families of detectors on one table, and single ideas put in and taken away.

python benchmarks/detector_methods.py table --images faces-boxed/images \
    --annotations faces-boxed/annotations --skip 400 --at-most 100 --runs var/runs/detectors \
    --rows table.jsonl [--one-stage best.safetensors] [--yunet yunet_n.safetensors]
python benchmarks/detector_methods.py ablations … --runs var/runs/ablations --rows ablations.jsonl \
    --steps 400
python benchmarks/detector_methods.py misses … --photographs crowd.jpg street.jpg --sheet misses.png
python benchmarks/detector_methods.py proposals …

`table` measures whatever has been trained by `likeness train-detector recipes/detectors/NAME.toml`
into the runs' folder; `ablations` trains its runs itself; `misses` draws what each of the table's
rows finds and misses in some of the photographs, on blank paper, so that nobody is shown;
`proposals` tells how many faces selective search gives R-CNN and Fast R-CNN a box for at all.

A row is measured once: it is written to the file of rows at once, and left as it is where the same
weights have one on the same photographs. Photographs a second are comparable only within one run on
one machine. What was learnt is told in pictures seen and in minutes, which depend on what else the
machine did.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectors import YUNET_SCORE, yunet_detector
from PIL import Image, ImageDraw
from torchvision.ops import box_iou

from data.config import read, read_recipe
from data.files import sha256_of
from data.images import load_image, save_image
from data.tensors import read_tensors
from recognition.detection.annotations import BoxedPhotograph, read_boxed
from recognition.detection.average_precision import match
from recognition.detection.detector import (
    DetectorOptions,
    FaceDetector,
    detector_of_file,
    detector_spec,
    make_detector,
)
from recognition.detection.methods.config import DetectorMethod
from recognition.detection.methods.selective_search import selective_search
from recognition.detection.training.config import DetectorTrainingConfig, configure
from recognition.detection.training.trainer import train
from recognition.evaluation.detection import SIZES, evaluate_detector

LEAST_SCORE = 0.05
RECIPES = Path(__file__).resolve().parents[1] / "recipes" / "detectors"

ABLATIONS: tuple[tuple[str, DetectorMethod, tuple[str, ...]], ...] = (
    ("v2, anchors from clusters", DetectorMethod.YOLO_V2, ()),
    ("v2, anchors by hand", DetectorMethod.YOLO_V2, ("yolo.anchors=hand",)),
    ("v3, three maps", DetectorMethod.YOLO_V3, ()),
    ("v3, one map", DetectorMethod.YOLO_V3, ("yolo.scales=one",)),
    ("v4, complete IoU, four in one", DetectorMethod.YOLO_V4, ()),
    ("v4, squared errors", DetectorMethod.YOLO_V4, ("yolo.box_loss=squared",)),
    ("v4, pictures as they are", DetectorMethod.YOLO_V4, ("yolo.mosaic=false",)),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A detector to be measured."""

    name: str
    weights: Path | None
    detector: FaceDetector
    score: float


def trained_row(name: str, weights: Path) -> Row:
    options = DetectorOptions(minimum_score=LEAST_SCORE)
    spec = detector_of_file(weights)
    return Row(name, weights, make_detector("cpu", str(weights), options), spec.minimum_score)


def usual_rows(options: argparse.Namespace) -> Iterator[Row]:
    """Those that are not trained here, and the one-stage detector."""
    at = DetectorOptions(minimum_score=LEAST_SCORE)
    yield Row(
        "mtcnn", None, make_detector("cpu", "mtcnn", at), detector_spec("mtcnn").minimum_score
    )
    if options.yunet is not None:
        detector = yunet_detector(options.yunet, LEAST_SCORE)
        yield Row("yunet", options.yunet, detector, YUNET_SCORE)
    if options.one_stage is not None:
        yield trained_row("one_stage", options.one_stage)


def run_of(weights: Path) -> dict[str, object]:
    """How long the run that has made some weights learnt; nothing where its folder is not there."""
    folder = weights.parent
    if not (folder / "metrics.jsonl").is_file():
        return {}
    reports = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    config = read(DetectorTrainingConfig, read_recipe(folder / "config.toml"), folder)
    return {
        "steps": reports[-1]["step"],
        "pictures": reports[-1]["step"] * config.batch,
        "minutes": sum(each["seconds"] for each in reports) / 60,
    }


def measured(row: Row, boxed: list[BoxedPhotograph], where: str) -> dict[str, Any]:
    row.detector.detect([Image.new("RGB", (400, 300))])  # warm
    result = evaluate_detector(row.detector, boxed, score=row.score)
    numbers: dict[str, object] = {}
    if row.weights is not None:
        tensors = read_tensors(row.weights).tensors
        numbers = {"parameters": sum(tensor.numel() for tensor in tensors.values())}
        numbers |= run_of(row.weights)
    return {"key": key_of(row, where), "name": row.name, **numbers, **result.to_json()}


def key_of(row: Row, where: str) -> str:
    """Of the weights and the photographs: a row of both is measured once."""
    return f"{row.name} {sha256_of(row.weights)[:12] if row.weights else '-'} {where}"


def line_of(row: dict[str, Any]) -> str:
    """A row of the table in Markdown."""
    ap = [f"{row['average_precision'][at]['value']:.3f}" for at in ("0.4", "0.5")]
    sizes = ["–" if size["recall"] is None else f"{size['recall']:.2f}" for size in row["sizes"]]
    learnt = f"{row['pictures']:,} / {row['minutes']:.0f}" if "pictures" in row else "–"
    numbers = f"{row['parameters']:,}" if "parameters" in row else "–"
    there = row["recall_at_precision"]["value"]
    cells = [row["name"], *ap]
    cells.append(f"{row['recall']['value']:.2f} / {row['precision']['value'] or 0:.2f}")
    cells += ["–" if there is None else f"{there:.2f}", " ".join(sizes)]
    cells += [f"{row['images_per_second']:.1f}", numbers, learnt]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| detector | AP at 0.4 | AP at 0.5 | recall / precision | recall at precision 0.82 "
    "| recall by size | photographs/s | numbers | pictures / minutes |\n" + "|---" * 9 + "|"
)


def table_rows(options: argparse.Namespace) -> Iterator[Row]:
    """All detectors of the table: those of before, and what has been trained."""
    yield from usual_rows(options)
    for method in DetectorMethod:
        weights = options.runs / method / "best.safetensors"
        if weights.is_file() and method != DetectorMethod.ONE_STAGE:
            yield trained_row(method, weights)


_FOUND, _MISSED, _WRONG = (0, 150, 60), (215, 30, 30), (240, 150, 0)
_PAPER, _SHEET, _INK = (246, 246, 243), (255, 255, 255), (40, 40, 40)
_OVERLAP, _WIDTH, _HEAD, _GAP = 0.4, 400, 20, 8


def drawn(row: Row, photograph: BoxedPhotograph) -> Image.Image:
    """The boxes of a photograph on blank paper: found, missed, and wrong."""
    image = load_image(photograph.path)
    [faces] = row.detector.detect([image])
    kept = [face for face in faces if face.detection_score >= row.score]
    boxes, scores = [face.box for face in kept], [face.detection_score for face in kept]
    found = match(boxes, scores, photograph.boxes, photograph.difficult, _OVERLAP)
    paper = Image.new("RGB", (_WIDTH, round(_WIDTH * image.height / image.width)), _PAPER)
    pen, scale = ImageDraw.Draw(paper), _WIDTH / image.width
    for box in boxes:
        alone = match([box], [1.0], photograph.boxes, photograph.difficult, _OVERLAP)
        if not all(alone.right):
            pen.rectangle([scale * edge for edge in box], outline=_WRONG, width=2)
    for box, hard, score in zip(photograph.boxes, photograph.difficult, found.found, strict=True):
        if score is not None or not hard:
            colour = _MISSED if score is None else _FOUND
            pen.rectangle([scale * edge for edge in box], outline=colour, width=2)
    return paper


def draw_misses(rows: Iterator[Row], photographs: list[BoxedPhotograph], sheet: Path) -> None:
    """A line of pictures for each detector, its name above."""
    lines = [(row.name, [drawn(row, each) for each in photographs]) for row in rows]
    height = max(each.height for _, pictures in lines for each in pictures)
    across = len(photographs) * (_WIDTH + _GAP) + _GAP
    page = Image.new("RGB", (across, len(lines) * (height + _HEAD + _GAP)), _SHEET)
    pen = ImageDraw.Draw(page)
    for number, (name, pictures) in enumerate(lines):
        top = number * (height + _HEAD + _GAP)
        pen.text((_GAP, top + 4), name, fill=_INK, font_size=14)
        for column, picture in enumerate(pictures):
            page.paste(picture, (_GAP + column * (_WIDTH + _GAP), top + _HEAD))
    save_image(page, sheet)


def print_proposed(boxed: list[BoxedPhotograph]) -> None:
    """Which share of the faces has a proposal that overlaps it so much, by the faces' sizes."""
    faces: list[tuple[float, float]] = []
    for photograph in boxed:
        pixels = np.array(load_image(photograph.path))
        proposals = torch.from_numpy(selective_search(pixels))
        wanted = [
            box
            for box, hard in zip(photograph.boxes, photograph.difficult, strict=True)
            if not hard
        ]
        nowhere = proposals.new_zeros(1, 4)  # overlaps nothing, where nothing is proposed
        overlaps = box_iou(torch.tensor(wanted).reshape(-1, 4), torch.cat([nowhere, proposals]))
        best = overlaps.amax(dim=1).tolist()
        sides = [((x2 - x1) * (y2 - y1)) ** 0.5 for x1, y1, x2, y2 in wanted]
        faces += zip(sides, best, strict=True)
    for least, most in zip(SIZES, (*SIZES[1:], float("inf")), strict=True):
        own = [best for side, best in faces if least <= side < most]
        shares = [f"{sum(b >= at for b in own) / max(1, len(own)):.2f}" for at in (0.4, 0.5, 0.7)]
        print(f"{least:g} to {most:g} pixels, {len(own)} faces: {' '.join(shares)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["table", "ablations", "misses", "proposals"])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--at-most", type=int)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--photographs", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--sheet", type=Path, metavar="FILE")
    parser.add_argument("--one-stage", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    boxed = read_boxed(options.images, options.annotations)[options.skip :][: options.at_most]
    if options.what == "proposals":
        print_proposed(boxed)
        return
    if options.runs is None:
        parser.error(f"{options.what} needs --runs")
    if options.what == "misses":
        if options.sheet is None or not options.photographs:
            parser.error("misses needs --photographs and --sheet")
        named = {each.path.name: each for each in boxed}
        if unknown := set(options.photographs) - named.keys():
            parser.error(f"no photograph {min(unknown)} among those that are searched")
        draw_misses(table_rows(options), [named[one] for one in options.photographs], options.sheet)
        return
    if options.rows is None:
        parser.error(f"{options.what} needs --rows")
    where = f"{boxed[0].path.name} {len(boxed)}"
    rows = options.rows.read_text().splitlines() if options.rows.is_file() else []
    known = {each["key"]: each for each in map(json.loads, rows)}
    print(HEAD)
    if options.what == "table":
        for row in table_rows(options):
            show(row, known, boxed, where, options.rows)
        return
    for name, method, settings in ABLATIONS:
        out = options.runs / name.replace(", ", "-").replace(" ", "-")
        recipe = RECIPES / f"{method}.toml"
        done = train(configure(recipe, settings=settings, out=out, steps=options.steps))
        show(trained_row(name, done.weights), known, boxed, where, options.rows)


def show(
    row: Row, known: dict[str, dict[str, Any]], boxed: list[BoxedPhotograph], where: str, rows: Path
) -> None:
    """Measure a row that is not known yet, keep it, and print it."""
    key = key_of(row, where)
    if key not in known:
        known[key] = measured(row, boxed, where)
        with rows.open("a") as file:
            file.write(json.dumps(known[key]) + "\n")
    print(line_of(known[key]), flush=True)


if __name__ == "__main__":
    main()
