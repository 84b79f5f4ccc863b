r"""Whether quality tells which embeddings can be trusted: over degraded copies of photographs.

    python benchmarks/quality.py --people lfw --identities test-identities.txt --seed fold9

One photograph of each person is embedded as it is, and in copies that are dithered, noisy, blurred,
packed as JPEG, darkened or made small, down to a face of 20 pixels; how much is drawn at random,
the same each time. A copy's similarity is that of its embedding to the photograph's own. Reported
are Spearman's correlation of `quality` with it, how many copies below 0.3 have no shortcoming, and
how many photographs as they are have one. People should be kept out of the network's training.

`--fit FILE` fits the weights that are bundled, instead, on people who measure nothing afterwards:

    python benchmarks/quality.py --people cfp --identities train-identities.txt --seed cfp \
        --each 3 --around --upright --fit data/assets/face_trust.safetensors
"""

import argparse
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from safetensors.numpy import save_file
from scipy.stats import spearmanr

from backbones.weights import load_backbone
from data.images import load_image
from recognition.detection.detector import distance_from_centre
from recognition.detection.mtcnn import Detections, MtcnnDetector
from recognition.faces.embedding import FaceEmbedder
from recognition.faces.pipeline import DetectedFace, FacePipeline
from recognition.faces.quality import MEASURES, measure, measures, shortcomings, terms
from recognition.results import Quality

CLEAN, FAR = "as it is", 0.3
_AROUND, _WIDEST = (1.2, 1.3), 250  # faces' widths and heights beside the middle; px
_RIDGE, _CLEAN_WEIGHT = 20.0, 3.0

Draws = np.random.Generator
Picture = Image.Image


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A copy of a photograph in which a face was found.

    Attributes:
        kind: How it was degraded.
        similarity: Its embedding's cosine similarity to that of the photograph as it is.
        quality: Of the face in it.
        crop: The face, (112, 112, 3).
    """

    kind: str
    similarity: float
    quality: Quality
    crop: npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=Path, required=True, help="a folder for each person")
    parser.add_argument("--identities", type=Path, required=True, help="whom of them to take")
    parser.add_argument("--at-most", type=int, default=10_000, help="so many people, by name")
    parser.add_argument("--each", type=int, default=2, help="copies of each kind")
    parser.add_argument("--seed", default="", help="any word")
    parser.add_argument("--model", default="mobilefacenet")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--around", action="store_true", help="cut out the faces' surroundings")
    parser.add_argument("--upright", action="store_true", help="search no turned pictures")
    parser.add_argument("--fit", type=Path, metavar="FILE", help="fit the weights into this file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector = MtcnnDetector("cpu")
    if given.upright:
        detector._search_turned = lambda images: [Detections.none() for _ in images]
    loaded = load_backbone(given.model, weights=given.weights, home=None, device="cpu")
    pipeline = FacePipeline(detector, FaceEmbedder(loaded))
    photographs = list(_photographs(given.people, given.identities))[: given.at_most]
    copies: list[Copy] = []
    missed: dict[str, int] = {}
    for path in photographs:
        copies += _copies(path, pipeline, given, missed)
    if given.fit:
        _fit(copies, given.fit)
        return
    figures = _figures(copies) | {"photographs": len(photographs), "no face found": missed}
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:36} {value}")


def _photographs(people: Path, identities: Path) -> Iterator[Path]:
    """The first photograph of each person."""
    for name in identities.read_text().split():
        found = sorted((people / name).glob("*.jpg"))
        yield from found[:1]


def _copies(
    path: Path, pipeline: FacePipeline, given: argparse.Namespace, missed: dict[str, int]
) -> Iterator[Copy]:
    image = load_image(path)
    faces = pipeline.faces([image])[0]
    if faces and given.around:
        image = _surroundings(image, _nearest(faces, image))
        faces = pipeline.faces([image])[0] or faces
    if not faces:
        missed[CLEAN] = missed.get(CLEAN, 0) + 1
        return
    own = _nearest(faces, image)
    yield _copy(CLEAN, 1.0, own)
    width = own.face.box[2] - own.face.box[0]
    made = []
    for kind, degrade in KINDS.items():
        for number in range(given.each):
            key = f"{given.seed}{path.name}{kind}{number}".encode()
            draws = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:4]))
            made.append((kind, degrade(image, width, draws)))
    found = pipeline.faces([picture for _, picture in made])
    for (kind, picture), there in zip(made, found, strict=True):
        if not there:
            missed[kind] = missed.get(kind, 0) + 1
            continue
        scale = picture.width / image.width
        x, y = own.face.centre
        near = min(
            there,
            key=lambda one: np.hypot(  # type: ignore[misc]
                one.face.centre[0] - x * scale, one.face.centre[1] - y * scale
            ),
        )
        yield _copy(kind, float(near.embedding @ own.embedding), near)


def _copy(kind: str, similarity: float, found: DetectedFace) -> Copy:
    quality = measure(found.face, found.crop)
    return Copy(kind=kind, similarity=similarity, quality=quality, crop=found.crop)


def _nearest(faces: list[DetectedFace], image: Picture) -> DetectedFace:
    return min(faces, key=lambda one: distance_from_centre(one.face, image.size))


def _surroundings(image: Picture, found: DetectedFace) -> Picture:
    left, _, right, _ = found.face.box
    (x, y), width = found.face.centre, right - left
    across, down = (share * width for share in _AROUND)
    box = max(0, x - across), max(0, y - down), min(image.width, x + across), y + down
    cut = image.crop((int(box[0]), int(box[1]), int(box[2]), min(image.height, int(box[3]))))
    if cut.width <= _WIDEST:
        return cut
    return cut.resize((_WIDEST, round(cut.height * _WIDEST / cut.width)), Image.Resampling.LANCZOS)


def _figures(copies: list[Copy]) -> dict[str, object]:
    worse = [copy for copy in copies if copy.kind != CLEAN]
    clean = [copy for copy in copies if copy.kind == CLEAN]
    far = [copy for copy in worse if copy.similarity < FAR]
    trust = [copy.quality.trust or 0.0 for copy in worse]
    figures: dict[str, object] = {
        "copies": len(worse),
        "Spearman": round(float(spearmanr(trust, [c.similarity for c in worse])[0]), 3),
        f"below {FAR} and good": f"{sum(map(_is_good, far))} of {len(far)}",
        "as they are and poor": f"{sum(not _is_good(copy) for copy in clean)} of {len(clean)}",
        "copies that are poor": f"{sum(not _is_good(copy) for copy in worse)} of {len(worse)}",
    }
    for kind in KINDS:
        own = [copy for copy in worse if copy.kind == kind]
        poor = [copy for copy in own if copy.similarity < FAR]
        figures[kind] = (
            f"{len(own)} copies, {len(poor)} below {FAR}, {sum(map(_is_good, poor))} of these good"
        )
    return figures


def _is_good(copy: Copy) -> bool:
    return not shortcomings(copy.quality)


def _fit(copies: list[Copy], path: Path) -> None:
    """Ridge regression of the similarity on the terms; photographs as they are count threefold."""
    found = np.stack([measures(copy.crop) for copy in copies])
    mean, spread = found.mean(axis=0), found.std(axis=0)
    weight = np.array([_CLEAN_WEIGHT if copy.kind == CLEAN else 1.0 for copy in copies])
    table = terms(found, mean, spread)
    weighted = (table * weight[:, None]).T
    ridge = _RIDGE * np.eye(table.shape[1])
    ridge[0, 0] = 0  # the mean is not held down
    similarities = np.array([copy.similarity for copy in copies])
    weights = np.linalg.solve(weighted @ table + ridge, weighted @ similarities)
    kept = {"mean": mean, "spread": spread, "weights": weights}
    save_file(kept, path, metadata={"measures": " ".join(MEASURES)})
    print(f"{path}: fitted on {len(copies):,} pictures")


def _evenly(draws: Draws, low: float, high: float) -> float:
    """Drawn evenly in its logarithm."""
    return float(np.exp(draws.uniform(np.log(low), np.log(high))))


def _pixels(values: npt.NDArray[np.floating]) -> Picture:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _dithered(image: Picture, width: float, draws: Draws) -> Picture:
    """Black and white by error diffusion, an ordered screen or a threshold; or very few colours."""
    way, smaller = draws.integers(0, 5), image
    if draws.random() < 0.5:  # scanned at another resolution
        scale = draws.uniform(0.4, 1.5)
        size = round(image.width * scale), round(image.height * scale)
        smaller = image.resize(size, Image.Resampling.LANCZOS)
    grey = smaller.convert("L")
    if way <= 1:
        dotted = grey.convert("1").convert("RGB")
    elif way == 2:
        values, screen = np.asarray(grey) / 255, _screen(int(draws.integers(1, 4)))
        repeats = [side // len(screen) + 1 for side in values.shape]
        limits = np.tile(screen, repeats)[: values.shape[0], : values.shape[1]]
        dotted = Image.fromarray(((values > limits) * 255).astype(np.uint8)).convert("RGB")
    elif way == 3:
        limit = int(draws.integers(60, 190))
        dotted = grey.point(lambda value: 255 * (value > limit)).convert("RGB")
    else:
        few = int(draws.integers(2, 6))
        dotted = smaller.quantize(few, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
    return dotted.resize(image.size, Image.Resampling.BICUBIC) if draws.random() < 0.3 else dotted


def _screen(order: int) -> npt.NDArray[np.float64]:
    """Bayer's thresholds, 0 … 1, in a square of 2^order."""
    matrix = np.array([[0]])
    for _ in range(order):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return (matrix + 0.5) / matrix.size


def _noisy(image: Picture, width: float, draws: Draws) -> Picture:
    """Noise of each colour or of all alike, pixels struck black or white, or speckle."""
    values, way = np.asarray(image).astype(np.float32), draws.integers(0, 4)
    if way == 0:
        values = values + draws.normal(0, _evenly(draws, 4, 150), values.shape)
    elif way == 1:
        values = values + draws.normal(0, _evenly(draws, 4, 150), (*values.shape[:2], 1))
    elif way == 2:
        share, lots = _evenly(draws, 0.005, 0.5), draws.random(values.shape[:2])
        values[lots < share / 2] = 0
        values[lots > 1 - share / 2] = 255
    else:
        values = values * (1 + draws.normal(0, _evenly(draws, 0.05, 1.2), values.shape))
    return _pixels(values)


def _blurred(image: Picture, width: float, draws: Draws) -> Picture:
    """Out of focus, in two ways, or moved across or down."""
    by, way = _evenly(draws, 0.006, 0.1) * width, draws.integers(0, 3)
    if way == 0:
        return image.filter(ImageFilter.GaussianBlur(by))
    if way == 1:
        return image.filter(ImageFilter.BoxBlur(by * 1.5))
    count, axis = max(1, round(by * 3)), int(draws.integers(0, 2))
    values = np.asarray(image).astype(np.float32)
    moved = sum(np.roll(values, place - count // 2, axis) for place in range(count))
    return _pixels(moved / count)


def _packed(image: Picture, width: float, draws: Draws) -> Picture:
    """JPEG of quality 1 to 40."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(_evenly(draws, 1, 40)))
    return Image.open(file).convert("RGB")


def _darkened(image: Picture, width: float, draws: Draws) -> Picture:
    """Down to a hundredth of the light, half of them with the noise of a sensor."""
    values = np.asarray(image).astype(np.float32) * _evenly(draws, 0.012, 0.5)
    if draws.random() < 0.5:
        values = values + draws.normal(0, draws.uniform(0.2, 4), values.shape)
    return _pixels(values)


def _smaller(image: Picture, width: float, draws: Draws) -> Picture:
    """A face of 20 to 60 pixels, in some made large again."""
    scale = min(1.0, draws.uniform(20, 60) / width)
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    ways = Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.BILINEAR
    reduced = image.resize(size, (*ways, Image.Resampling.NEAREST)[draws.integers(0, 4)])
    return reduced.resize(image.size, Image.Resampling.BICUBIC) if draws.random() < 0.3 else reduced


Degrade = Callable[[Picture, float, Draws], Picture]

KINDS: dict[str, Degrade] = {
    "dither": _dithered,
    "noise": _noisy,
    "blur": _blurred,
    "jpeg": _packed,
    "dark": _darkened,
    "small": _smaller,
}
"""A photograph, its face's width in pixels, and draws → a copy of it."""


if __name__ == "__main__":
    main()
