"""Smaller weights beside those that they were made of: bytes, seconds to load, likeness, speed.

    python benchmarks/compression.py --faces FOLDER [--model NAME] [--method METHODS] [--json]

FOLDER holds faces aligned at 112 px, in folders of people or not. For each number of bits the
network's weights are compressed into a temporary file, and both embed the same faces: how like a
face's two embeddings are (cosine similarity; 1 is the same), and images a second of both in turn.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbones.compression.file import Compression, Method
from backbones.places import every_weights
from backbones.weights import compress_weights
from data.images import find_images
from recognition.evaluation.embeddings import already_aligned
from recognition.faces.embedding import load_recogniser

ROUNDS = 3
TOGETHER = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--model", default="dlib_resnet", help="one of `likeness models list`")
    parser.add_argument("--most", type=int, default=320, help="faces, evenly out of the folder")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 5, 6, 7, 8])
    parser.add_argument("--method", default="quantize,huffman")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    paths = find_images([given.faces])
    faces = [
        Image.open(path).convert("RGB") for path in paths[:: max(1, len(paths) // given.most)]
    ][: given.most]
    (original, *_) = [
        file for file in every_weights(given.model) if "compression" not in file.metadata
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for bits in given.bits:
            small = Path(folder) / f"{bits}.safetensors"
            methods = frozenset(map(Method, given.method.split(",")))
            wanted = Compression(methods=methods, bits=bits, sparsity=given.sparsity)
            compress_weights(original, small, wanted)
            rows.append({"bits": bits, **compared(original.path, small, faces)})
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(
        "bits        MB   times smaller   load s (before)   cosine median   5 %      least   speed"
    )
    for row in rows:
        print(
            f"{row['bits']:>4}{row['bytes'] / 1e6:10.2f}{row['times_smaller']:16.1f}"
            f"{row['load']:9.2f} ({row['load_before']:.2f}){row['median']:18.4f}"
            f"{row['low']:9.4f}{row['least']:9.4f}{row['speed_ratio']:8.2f}"
        )


def compared(before: Path, after: Path, faces: list[Image.Image]) -> dict[str, Any]:
    """One compressed file beside its original."""
    loaded, seconds = [], []
    for path in (before, after):
        start = time.process_time()
        loaded.append(already_aligned(load_recogniser(None, weights=(path,)), "cpu"))
        seconds.append(time.process_time() - start)
    vectors, rates = [], [[], []]
    for _ in range(ROUNDS):
        vectors = []
        for find, rate in zip(loaded, rates, strict=True):
            start = time.perf_counter()
            found = [
                one
                for first in range(0, len(faces), TOGETHER)
                for one in find(faces[first : first + TOGETHER])
            ]
            rate.append(len(faces) / (time.perf_counter() - start))
            vectors.append(np.stack([one[0] for one in found if one is not None]))
    alike = (vectors[0] * vectors[1]).sum(1)
    sizes = [path.stat().st_size for path in (before, after)]
    return {
        "bytes_before": sizes[0],
        "bytes": sizes[1],
        "times_smaller": sizes[0] / sizes[1],
        "load_before": seconds[0],
        "load": seconds[1],
        "median": float(np.median(alike)),
        "low": float(np.quantile(alike, 0.05)),
        "least": float(alike.min()),
        "speed_ratio": statistics.median(rates[1]) / statistics.median(rates[0]),
    }


if __name__ == "__main__":
    main()
