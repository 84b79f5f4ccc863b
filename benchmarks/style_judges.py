"""Do judges of painted pictures agree?

    python benchmarks/style_judges.py --shared ../shared --out var/style_judges
        [--judge iresnet_se] [--size 160] [--steps 40] [--json]

Twenty pictures: five pairs, each as a draft and painted, at two strengths. Each judge's distances
are compared by rank with those of the others: over all pictures, and within each pair, where only
the way of painting differs (four pictures, the mean over the pairs). Besides the bundled judge and
two networks of the shared folder there is one of random weights: what any network agrees on.
"""

import argparse
import json
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from style_pairs import PAIRS
from torch import Tensor

from backbones.registry import create
from backbones.weights import load_backbone
from data.images import load_image, save_image, to_image, to_tensor
from style.config import StyleConfig
from style.draft import Drafter, draft
from style.evaluation.judge import Judge
from style.network import StyleNetwork
from style.stylize import stylize

FIVE = PAIRS[256][:5]
DRAFTED, PAINTED = (0.2, 0.5), (0.3, 0.8)  # strengths
FIGURES = ("style_distance", "content_distance", "self_similarity")


def read(path: Path) -> Tensor:
    """A picture (1, 3, H, W) in [0, 1]."""
    return to_tensor(load_image(path)).unsqueeze(0)


def pictures(pair: tuple[str, str], options: argparse.Namespace) -> tuple[list[Tensor], list[Path]]:
    """Photograph and style of a pair, and the files of its pictures, painted where not kept."""
    content, style = pair
    given = [
        read(options.shared / "images" / "content" / f"{content}.jpg"),
        read(options.shared / "images" / "style" / f"{style}.jpg"),
    ]
    paths = []
    for drafted, strengths in ((True, DRAFTED), (False, PAINTED)):
        for strength in strengths:
            kind = "draft" if drafted else f"{options.steps}"
            path = options.out / f"{content}-{style}-{options.size}-{kind}-{strength}.png"
            paths.append(path)
            if path.is_file():
                continue
            config = StyleConfig(size=options.size, steps=options.steps, strength=strength)
            if drafted:
                drafter = Drafter.load(device=torch.device("cpu"))
                found = draft(given[0], given[1:], config, drafter).picture
            else:
                network = StyleNetwork.of(load_backbone(config.backbone).backbone, config)
                *_, last = stylize(given[0], given[1:], config, network)
                found = last.render_tensor()
            save_image(to_image(found), path)
    return given, paths


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = Path(os.environ.get("LIKENESS_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keeps pictures")
    parser.add_argument("--judge", default="iresnet_se", metavar="NAME")
    parser.add_argument("--judge-weights", type=Path, metavar="FILE")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--paint-only", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def judges(options: argparse.Namespace) -> dict[str, Judge]:
    """The judges by name."""
    weights = options.shared / "weights"
    files = {
        options.judge: options.judge_weights,
        "squeezenet1_0": weights / "squeezenet1_0-imagenet.safetensors",
        "vgg19_quarter": weights / "vgg19-quarter-width-distilled.safetensors",
    }
    found = {
        name: Judge.of(load_backbone(name, weights=file).backbone) for name, file in files.items()
    }
    return found | {"random": Judge.of(create("squeezenet1_0", seed=0))}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    painted = [pictures(pair, options) for pair in FIVE]
    if options.paint_only:
        return
    told: dict[str, np.ndarray] = {}  # by judge: (pairs, pictures, figures)
    for name, judge in judges(options).items():
        rows = []
        for (content, style), paths in painted:
            case = judge.case(content, [style], size=options.size)
            verdicts = [case(read(path)).to_json() for path in paths]
            rows.append([[verdict[figure] for figure in FIGURES] for verdict in verdicts])
        told[name] = np.array(rows)
    agreements = {}
    for one, other in combinations(told, 2):
        for number, figure in enumerate(FIGURES):
            a, b = told[one][..., number], told[other][..., number]
            within = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
            agreements[f"{one} / {other} / {figure}"] = {
                "all": float(spearmanr(a.ravel(), b.ravel()).statistic),
                "within_pairs": float(np.mean(within)),
            }
    if options.json:
        print(json.dumps(agreements, indent=2))
        return
    for name, each in agreements.items():
        print(f"{name:<55} all {each['all']:+.2f}  within pairs {each['within_pairs']:+.2f}")


if __name__ == "__main__":
    main()
