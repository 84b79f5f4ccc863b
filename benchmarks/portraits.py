"""Whether painted people are still recognised, without and with `--keep-identity`.

    python benchmarks/portraits.py --lfw lfw --lists ../shared/datasets/lfw --styles STYLES \
        --weights vgg19-quarter-width-distilled.safetensors --backbone vgg19_quarter \
        --verifier ../shared/weights/mobilefacenet-casia.safetensors \
        --judge ../shared/weights/squeezenet1_0-imagenet.safetensors --work portraits

One photograph each of so many people of test-identities.txt, drawn with a seed, is painted twice in
the manner of a style picture, which take turns. A recogniser that took no part verifies both
paintings against the photograph, at the threshold that decides most pairs of folds 1 to 8 rightly;
a network that took no part tells how far from the style they are, as `style.evaluation` measures
it. What is done is kept in the work folder: a run that was stopped goes on, and one with other
settings needs another folder.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbones.weights import load_backbone
from data.datasets import Identity, only_listed, read_identities
from data.errors import DatasetError
from data.files import write_atomic
from data.images import load_image, save_image, to_tensor
from data.lfw import photograph_path, read_lfw_pairs
from recognition.evaluation.embeddings import Finder, embed_photographs
from recognition.evaluation.metrics import best_threshold
from recognition.models import Choice, Engine
from style.config import StyleConfig
from style.evaluation.judge import Judge
from style.service import StyleService, Terms
from ui.portraits import PortraitFinder
from ui.settings import Settings

FOLDS = tuple(range(1, 9))  # of whose pairs the threshold comes; the people painted are fold 9's
WAYS = ("without", "with")


def main() -> None:
    given = _parser().parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    find = Engine(Choice(home=Path("none"), weights=given.verifier), lambda: None).finder(
        aligned=False
    )
    threshold = given.threshold or threshold_of(find, given)
    rows = list(painted(find, threshold, given))
    figures = {"settings": _settings(given), "threshold": threshold, **summary(rows), "faces": rows}
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for row in rows:
        print(f"{row['photograph']:34} {row['style']:18}", *(_words(row[way]) for way in WAYS))
    for name, value in summary(rows).items():
        print(f"{name:42} {value:.3f}" if isinstance(value, float) else f"{name:42} {value}")


def threshold_of(find: Finder, given: argparse.Namespace) -> float:
    """The verifier's threshold, measured once and kept in the work folder."""
    kept = given.work / "threshold.json"
    if kept.exists():
        return float(json.loads(kept.read_text()))
    protocol = read_lfw_pairs(given.lists / "pairs.txt").select(FOLDS)
    keys = protocol.photographs()
    paths = [photograph_path(given.lfw, *key) for key in keys]
    vectors = dict(zip(keys, embed_photographs(paths, find, root=given.lfw).vectors, strict=True))
    pairs = [pair for fold in protocol.folds for pair in fold]
    both = [(vectors[pair.first], vectors[pair.second]) for pair in pairs]
    similarities = [-np.inf if a is None or b is None else float(a @ b) for a, b in both]
    threshold = best_threshold(np.array(similarities), np.array([pair.same for pair in pairs]))
    write_atomic(kept, json.dumps(threshold).encode())
    return threshold


def drawn(given: argparse.Namespace, find: Finder) -> Iterator[Path]:
    """A photograph each of people drawn at random; one without a face is passed over."""
    people: list[Identity] = only_listed(read_identities(given.lfw), given.lists / given.people)
    source = random.Random(given.seed)
    source.shuffle(people)
    count = 0
    for person in people:
        photograph = source.choice(sorted(person.photographs))
        if count < given.faces and find([load_image(photograph)])[0]:
            count += 1
            yield photograph


def painted(find: Finder, threshold: float, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each face in both ways, as JSON, from the work folder where it is there."""
    styles = sorted(path for path in given.styles.iterdir() if path.is_file())
    if not styles:
        raise DatasetError(f"no style picture in {given.styles}")
    judge = Judge.of(load_backbone("squeezenet1_0", weights=given.judge).backbone)
    record = given.work / "settings.json"
    settings = json.dumps(_settings(given)).encode()
    if record.exists() and record.read_bytes() != settings:
        raise DatasetError(f"{given.work} holds pictures of other settings: name another --work")
    write_atomic(record, settings)
    for number, photograph in enumerate(drawn(given, find)):
        style = styles[number % len(styles)]
        case = judge.case(*_tensors(photograph, style), size=given.size)
        [[known]] = find([load_image(photograph)])
        row: dict[str, Any] = {"photograph": photograph.stem, "style": style.stem}
        for way in WAYS:
            kept = given.work / f"{photograph.stem}-{style.stem}-{way}.json"
            if not kept.exists():
                picture, measured = paint(photograph, style, way == "with", given)
                save_image(picture, kept.with_suffix(".png"))
                found = find([picture])[0]
                similarity = float(known @ found[0]) if found else None
                measured["similarity"] = similarity
                measured["verified"] = similarity is not None and similarity >= threshold
                verdict = case(to_tensor(picture)[None])
                measured |= verdict.to_json()
                write_atomic(kept, json.dumps(measured).encode())
            row[way] = json.loads(kept.read_text())
        yield row


def paint(
    photograph: Path, style: Path, keep: bool, given: argparse.Namespace
) -> tuple[Image.Image, dict[str, Any]]:
    """The painting, and what the program says of it."""
    config = StyleConfig(
        size=given.size,
        steps=given.steps,
        backbone=given.backbone,
        strength=given.strength,
        keep_identity=keep,
    )
    service = StyleService(home=Path("none"), device="cpu")
    began = time.process_time()
    *_, last = service.stylize(
        photograph,
        [style],
        config,
        weights=given.weights,
        portrait=PortraitFinder(Settings()),
        terms=Terms(weight=given.weight, relief=given.relief),
    )
    measured = {
        "steps": last.total,
        "cpu_seconds": round(time.process_time() - began, 2),
        "own": [[face.similarity, face.same_person] for face in last.faces],
    }
    return last.render(), measured


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Shares verified, and what it costs."""
    figures: dict[str, object] = {"faces painted": len(rows)}
    for way in WAYS:
        figures[f"{way}: verified"] = float(np.mean([row[way]["verified"] for row in rows]))
    for name in ("style_distance", "gram_distance", "content_distance", "cpu_seconds"):
        means = [float(np.mean([row[way][name] for row in rows])) for way in WAYS]
        figures |= {f"{way}: {name}": mean for way, mean in zip(WAYS, means, strict=True)}
        figures[f"{name}: with ÷ without"] = means[1] / means[0]
    figures["with: judged the same person"] = float(
        np.mean([all(same for _, same in row["with"]["own"]) for row in rows])
    )
    figures["with: steps, mean"] = float(np.mean([row["with"]["steps"] for row in rows]))
    return figures


def _words(way: dict[str, Any]) -> str:
    similarity = "no face" if way["similarity"] is None else f"{way['similarity']:7.2f}"
    return f"{similarity} {'yes' if way['verified'] else 'no ':3} {way['style_distance']:6.3f}"


def _tensors(photograph: Path, style: Path) -> tuple[Any, list[Any]]:
    content, manner = (to_tensor(load_image(path))[None] for path in (photograph, style))
    return content, [manner]


def _settings(given: argparse.Namespace) -> dict[str, object]:
    """What a picture depends on."""
    names = ("people", "seed", "size", "steps", "backbone", "strength", "weight", "relief")
    return {name: getattr(given, name) for name in names}


def _parser() -> argparse.ArgumentParser:
    terms, config = Terms(), StyleConfig()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True, help="photographs of 250×250")
    parser.add_argument("--lists", type=Path, required=True, help="holds pairs.txt and the rest")
    parser.add_argument("--people", default="test-identities.txt", help="list of whom to paint")
    parser.add_argument("--styles", type=Path, required=True, help="folder of style pictures")
    parser.add_argument("--backbone", default=config.backbone)
    parser.add_argument("--weights", type=Path, help="of the network that looks at the picture")
    parser.add_argument("--verifier", type=Path, required=True, help="weights of a recogniser")
    parser.add_argument("--threshold", type=float, help="of the verifier; else folds 1 to 8 say")
    parser.add_argument("--judge", type=Path, help="weights of squeezenet1_0")
    parser.add_argument("--work", type=Path, required=True, help="where pictures are kept")
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--strength", type=float, default=config.strength)
    parser.add_argument("--weight", type=float, default=terms.weight, help="of the identity loss")
    parser.add_argument("--relief", type=float, default=terms.relief, help="in the faces")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    main()
