"""Compressed weights beside those they were made of: bytes, speed, likeness, people told apart.

    python benchmarks/compression.py --faces lfw-112 --pairs pairs.txt --model NAME --out FOLDER
        [--fold 9] [--people test-identities.txt] [--rows 'svd;hash'] [--steps 40] [--json]

`lfw-112` holds LFW's faces aligned at 112 px. Each row of `ROWS` compresses the network's weights
into FOLDER, which keeps them, so that an interrupted run goes on. Those of them that are trained
are so by photographs of people who are in neither of folds 8 and 9, with the network as it was as
teacher. Then both embed the same photographs: the cosine of a photograph's two answers,
verification of the fold's pairs, and, with `--people`, how often someone enrolled is missed at
FPIR 10 %. A network for style has maps in the place of embeddings, and no people to tell apart.

Speed is images a second of processor time, both in turn, which other work on the machine disturbs
less than the clock.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from backbones.compression.file import Compression, Method
from backbones.compression.retraining import Retraining
from backbones.places import WeightsFile, every_weights, weights_file
from backbones.spec import Alignment
from backbones.weights import compress_weights, load_backbone
from data.errors import ArgumentError
from data.files import write_atomic
from data.lfw import photograph_path, read_lfw_pairs
from recognition.evaluation.embeddings import already_aligned
from recognition.evaluation.identification import IdentificationResult, evaluate_identification
from recognition.evaluation.pairs import differences
from recognition.evaluation.verification import LfwResult, evaluate_lfw
from recognition.faces.alignment import by_template
from recognition.faces.embedding import load_recogniser

FPIR = 0.1
KEPT_OUT = (8, 9)
"""Folds whose people teach nothing: settings are chosen on the one, figures stated on the other."""
TIMED = 32
ROUNDS = 5

_SHARED = frozenset({Method.QUANTIZE, Method.HUFFMAN})
_DEEP = _SHARED | {Method.PRUNE}
ROWS: dict[str, tuple[Compression, bool]] = {
    "quantize,huffman, 8 bits": (Compression(methods=_SHARED, bits=8), False),
    "int8": (Compression(methods=frozenset({Method.INT8})), False),
    "quantize,huffman, 5 bits": (Compression(methods=_SHARED, bits=5), True),
    "prune,quantize,huffman": (Compression(methods=_DEEP, bits=6, sparsity=0.4), True),
    "svd": (Compression(methods=frozenset({Method.SVD}), energy=0.9), True),
    "pq,huffman": (Compression(methods=frozenset({Method.PQ, Method.HUFFMAN}), length=3), True),
    "hash": (Compression(methods=frozenset({Method.HASH}), ratio=0.5), True),
}
"""What is tried: how, and whether it is trained."""

Embed = Callable[[Sequence[Image.Image]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--pairs", type=Path, required=True, help="LFW's pairs.txt")
    parser.add_argument("--people", type=Path, help="whom FNIR is measured with, a name a line")
    parser.add_argument("--fold", type=int, default=9)
    parser.add_argument("--model", default="dlib_resnet", help="one of `likeness models list`")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps what is made")
    parser.add_argument("--rows", help="of ROWS, parted by semicolons; else all")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--teaching", type=int, default=600, help="photographs that teach")
    parser.add_argument("--likeness-only", action="store_true", help="cosines, and no people")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    whole = [file for file in every_weights(given.model) if "compression" not in file.metadata]
    if not whole:
        parser.error(f"--model {given.model}: all of its weights at hand are compressed already")
    original = whole[0]
    measured = Measured(given, original)
    rows = {"as it is": measured.row(original, None)}
    for label in given.rows.split(";") if given.rows else ROWS:
        compression, trained = ROWS[label]
        path = given.out / f"{given.model}-{label.replace(', ', '-').replace(',', '-')}.safetensors"
        cosines = path.with_suffix(".json")
        if not cosines.is_file():
            lessons = measured.lessons(given.steps if trained else 0)
            try:
                made = compress_weights(original, path, compression, lessons)
            except ArgumentError as error:  # a way that does not fit this network
                print(f"| {label} | {error} |", flush=True)
                continue
            told = {"untrained": made.untrained, "trained": made.trained if trained else None}
            write_atomic(cosines, json.dumps(told).encode())
        rows[label] = measured.row(weights_file(path, None), compression)
        rows[label] |= json.loads(cosines.read_text())
        print(shown(label, rows[label]), flush=True)
        write_atomic(given.out / f"{given.model}-fold{given.fold}.json", json.dumps(rows).encode())
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("| method | MB | × smaller | a second, × | cosine: median, 5 % | verification | FNIR |")
    for label, row in rows.items():
        print(shown(label, row))


def shown(label: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = [label, f"{row['bytes'] / 1e6:.2f}", f"{row['times_smaller']:.1f}"]
    untrained = "" if row.get("trained") is None else f" (untrained {row['untrained']:.4f})"
    cells += [f"{row['images_a_second']:.0f}, {row['speed']:.2f}"]
    cells += [f"{row['median']:.4f}, {row['low']:.4f}{untrained}"]
    if (lost := row.get("accuracy_difference")) is not None:
        low, high = (100 * end for end in lost["interval"])
        cells.append(
            f"{100 * row['accuracy']:.2f} % ({100 * lost['value']:+.2f} [{low:+.2f}, {high:+.2f}])"
        )
    elif "accuracy" in row:
        cells.append(f"{100 * row['accuracy']:.2f} %")
    if "fnir" in row:
        cells.append("–" if row["fnir"] is None else f"{100 * row['fnir']:.1f} %")
    return "| " + " | ".join(cells) + " |"


class Measured:
    """One network's figures, its own first, with which the others' are compared."""

    def __init__(self, given: argparse.Namespace, original: WeightsFile) -> None:
        self._given = given
        self._original = original
        protocol = read_lfw_pairs(given.pairs)
        self._protocol = protocol.select([given.fold])
        names = set(given.people.read_text(encoding="utf-8").split()) if given.people else set()
        self._people = {
            name: sorted((given.faces / name).glob("*.jpg"))
            for name in sorted(names)
            if (given.faces / name).is_dir()
        }
        kept_out = {name for name, _ in protocol.select(KEPT_OUT).photographs()} | names
        paths = [
            path for path in sorted(given.faces.glob("*/*.jpg")) if path.parent.name not in kept_out
        ]
        self._teaching = paths[:: max(1, len(paths) // given.teaching)][: given.teaching]
        self._loaded = load_backbone(given.model, weights=original.path)
        self._first: dict[str, Any] = {}
        self._pictures: torch.Tensor | None = None

    def lessons(self, steps: int) -> Retraining:
        """What compressed networks are taught by."""
        given = self._given
        if self._pictures is None:
            self._pictures = self._read()
        return Retraining(pictures=self._pictures, steps=steps, batch=given.batch, rate=given.rate)

    def _read(self) -> torch.Tensor:
        spec = self._loaded.backbone.spec
        parts = []
        for at in range(0, len(self._teaching), 64):
            images = [Image.open(p).convert("RGB") for p in self._teaching[at : at + 64]]
            parts.append(_fitted(images, spec.alignment, spec.input_size))
        return (torch.cat(parts) * 255).round().to(torch.uint8)

    def row(self, file: WeightsFile, compression: Compression | None) -> dict[str, Any]:
        """Everything about one file."""
        sizes = [one.path.stat().st_size for one in (self._original, file)]
        row: dict[str, Any] = {"bytes": sizes[1], "times_smaller": sizes[0] / sizes[1]}
        if compression is not None:
            row["settings"] = compression.settings()
        faces = self._loaded.backbone.spec.alignment is not Alignment.NONE
        keys = self._protocol.photographs()
        paths = {key: photograph_path(self._given.faces, *key) for key in keys}
        shown_first = list(paths.values())[:96]
        if faces:
            embed = already_aligned(load_recogniser(None, weights=(file.path,), device="cpu"))
            wanted = shown_first if self._given.likeness_only else self._every(paths)
            vectors = dict(zip(wanted, _all(embed, wanted), strict=True))
            answers = np.stack([vectors[path] for path in shown_first])
        else:
            embed, vectors = _maps(file), {}
            answers = np.stack(_all(embed, shown_first[:32]))
        first = self._first or {"answers": answers, "embed": embed}
        alike = (first["answers"] * answers).sum(1)
        row |= {"median": float(np.median(alike)), "low": float(np.quantile(alike, 0.05))}
        row |= _speeds(first["embed"], embed, shown_first[:TIMED])
        if faces and not self._given.likeness_only:
            row |= self._told_apart(first, vectors, {key: paths[key] for key in keys})
        self._first = first
        return row

    def _every(self, paths: dict[tuple[str, int], Path]) -> list[Path]:
        return sorted({*paths.values(), *(p for own in self._people.values() for p in own)})

    def _told_apart(
        self,
        first: dict[str, Any],
        vectors: dict[Path, Any],
        paths: dict[tuple[str, int], Path],
    ) -> dict[str, Any]:
        """Verification and identification, and by how much they are above the first file's."""
        pairs = evaluate_lfw(self._protocol, {key: vectors[path] for key, path in paths.items()})
        row: dict[str, Any] = {"accuracy": pairs.mean, "interval": pairs.intervals["mean"]}
        if isinstance(before := first.get("pairs"), LfwResult):
            lost = differences(pairs.pairs, before.pairs)["mean"]
            row["accuracy_difference"] = lost.to_json()
        first.setdefault("pairs", pairs)
        if self._people:
            people = {name: [vectors[p] for p in own] for name, own in self._people.items()}
            found = evaluate_identification(people)
            row |= {"fnir": found.fnir_at_fpir[FPIR], "rank_1": found.rank_1}
            row["strangers"] = found.stranger_probes
            if isinstance(ranked := first.get("found"), IdentificationResult):
                name = f"fnir_at_fpir_{FPIR:g}"
                row["fnir_difference"] = found.differences(ranked)[name].to_json()
            first.setdefault("found", found)
        return row


def _all(embed: Embed, paths: Sequence[Path]) -> list[Any]:
    """The answers for photographs, a few at a time."""
    found = []
    for at in range(0, len(paths), TIMED):
        images = [Image.open(path).convert("RGB") for path in paths[at : at + TIMED]]
        found += [one[0] for one in embed(images)]
    return found


def _fitted(
    images: Sequence[Image.Image], alignment: Alignment, size: tuple[int, int]
) -> torch.Tensor:
    """Aligned faces as a network wants them, (n, 3, H, W), 0 … 1."""
    if alignment is Alignment.DLIB:
        return by_template(images, alignment)
    pixels = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in images])
    height, width = size
    scaled = pixels.float() / 255
    if scaled.shape[2] != height:
        scaled = F.interpolate(scaled, (height, height), mode="bilinear", antialias=True)
    first = (height - width) // 2
    return scaled[:, :, :, first : first + width].clamp(0, 1)


def _maps(file: WeightsFile) -> Embed:
    """The maps that a style is taken from, as one unit vector a picture."""
    backbone = load_backbone(None, weights=file.path).backbone
    taps = backbone.spec.style_taps

    @torch.inference_mode()
    def embed(images: Sequence[Image.Image]) -> list[list[Any]]:
        pixels = _fitted(images, Alignment.NONE, (112, 112))
        maps = backbone.features(pixels, taps)
        units = [F.normalize(maps[tap].flatten(1)) / len(taps) ** 0.5 for tap in taps]
        return [[vector] for vector in torch.cat(units, 1).numpy()]

    return embed


def _speeds(before: Embed, after: Embed, paths: Sequence[Path]) -> dict[str, float]:
    """Images a second of processor time of both, in turn."""
    images = [Image.open(path).convert("RGB") for path in paths]
    rates: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for embed, rate in zip((before, after), rates, strict=True):
            start = time.process_time()
            embed(images)
            rate.append(len(images) / (time.process_time() - start))
    one, other = (statistics.median(rate) for rate in rates)
    return {"images_a_second": other, "speed": other / one}


if __name__ == "__main__":
    main()
