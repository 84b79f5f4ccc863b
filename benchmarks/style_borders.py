"""Are painted pictures at their borders as they are inside?

    python benchmarks/style_borders.py --shared ../shared --out var/style_borders
        [--network vgg_slim] [--weights FILE] [--styles preset:mosaic starry_night …]
        [--size 192] [--steps 60] [--json]

A part of a photograph is painted, and the whole photograph, in which that part's borders are no
borders. The outer 8 px of the part are compared with the same places of the whole, side by side,
so that what the photograph shows there counts in both. Twice: with every map continued beyond its
borders, as pictures are painted, and with maps padded by zeros, as the networks were trained.

Figures are binary logarithms of part over whole, as the root mean square of all four sides; 0 is
no difference. Of the grey picture:

    across    energy of differences across the border (from row to row at the upper one)
    along     energy of differences along the border
    stripes   share of the energy across that is alike in 24 neighbours: 1 are perfect stripes

Two paintings are never alike. How far the strips differ where there is no border in either, 32 px
further in, is the floor, which the figures are to be read against.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backbones.network import Backbone
from backbones.weights import load_backbone
from data.images import load_image, save_image, to_image, to_tensor
from style.config import StyleConfig
from style.network import StyleNetwork
from style.presets.registry import PREFIX, PRESETS, find_preset
from style.scales import fit, resize, size_of
from style.stylize import stylize

DEPTH, LENGTH = 8, 24  # px of a strip at the border, and of a piece of it along the border
BEYOND = 32  # px of the photograph beyond the part on every side
CONTENTS = ("tubingen", "golden_gate", "lion", "hoovertowernight")
FIGURES = ("across", "along", "stripes")
_FLOOR = 1e-7  # of energy: a plain strip


@dataclass(frozen=True, slots=True, kw_only=True)
class Borders:
    """One pair of photograph and style.

    Attributes:
        pair: What was painted.
        zeros: By figure, at the borders with maps padded by zeros.
        continued: The same with maps continued.
        floor: The same of `continued`, where there is no border.
    """

    pair: str
    zeros: dict[str, float]
    continued: dict[str, float]
    floor: dict[str, float]


def strips(picture: Tensor, inset: int = 0) -> np.ndarray:
    """What the strips along all four sides show: (4, 3), energies across and along, stripes.

    Args:
        picture: (1, 3, H, W).
        inset: How far from the border the strips begin, px.
    """
    grey = picture[0].double().mean(dim=0).numpy()
    rows = []
    for turns in range(4):
        turned = np.rot90(grey, turns)
        strip = turned[inset : inset + DEPTH, inset : turned.shape[1] - inset]
        pieces = max(1, strip.shape[1] // LENGTH)
        length = min(LENGTH, strip.shape[1])
        parts = strip[:, : pieces * length].reshape(DEPTH, pieces, length)
        steps = np.diff(parts, axis=0)
        across = np.square(steps).mean() + _FLOOR
        along = np.square(np.diff(parts, axis=2)).mean() + _FLOOR
        stripes = (np.square(steps.mean(axis=2)).mean() + _FLOOR) / across
        rows.append((across, along, stripes))
    return np.array(rows)


def apart(part: Tensor, whole: Tensor, inset: int = 0) -> dict[str, float]:
    """The figures of a part (1, 3, H, W) beside the same places of the whole."""
    ratios = np.log2(strips(part, inset) / strips(whole, inset))
    found = np.sqrt(np.square(ratios).mean(axis=0))
    return dict(zip(FIGURES, map(float, found), strict=True))


def padded_by_zeros(network: StyleNetwork) -> StyleNetwork:
    """The network, whose maps are padded by zeros where they were trained so."""
    assert isinstance(network.extract, nn.Module)
    for layer in network.extract.modules():
        if isinstance(layer, nn.Conv2d) and layer.padding_mode == "replicate":
            layer.padding_mode = "zeros"  # type: ignore[assignment]
    return network


def painted(content: Tensor, style: Tensor, config: StyleConfig, network: StyleNetwork) -> Tensor:
    """The picture (1, 3, H, W)."""
    *_, last = stylize(content, [style], config, network)
    return last.render_tensor()


def compare(
    pair: str, content: Tensor, style: Tensor, backbone: Backbone, config: StyleConfig, out: Path
) -> Borders:
    """Paint the part twice and the whole once."""
    height, width = fit(size_of(content), config.size)
    whole = resize(content, (height + 2 * BEYOND, width + 2 * BEYOND))
    part = whole[..., BEYOND:-BEYOND, BEYOND:-BEYOND]
    larger = config.size + 2 * BEYOND
    wider = StyleConfig(
        size=larger,
        steps=config.steps,
        backbone=config.backbone,
        style_scale=config.size / larger,
        first_scale=round(config.first_scale * larger / config.size),
    )
    continued = StyleNetwork.of(backbone, config)
    pictures = {
        "continued": painted(part, style, config, continued),
        "whole": painted(whole, style, wider, continued)[..., BEYOND:-BEYOND, BEYOND:-BEYOND],
        "zeros": painted(part, style, config, padded_by_zeros(StyleNetwork.of(backbone, config))),
    }
    for name, picture in pictures.items():
        save_image(to_image(picture), out / f"{config.backbone}-{pair}-{name}.png")
    inside = (min(height, width) - DEPTH) // 2
    return Borders(
        pair=pair,
        zeros=apart(pictures["zeros"], pictures["whole"]),
        continued=apart(pictures["continued"], pictures["whole"]),
        floor=apart(pictures["continued"], pictures["whole"], min(BEYOND, inside)),
    )


def pairs(options: argparse.Namespace) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, photograph and style of each pair."""
    for number, name in enumerate(options.styles):
        content = CONTENTS[number % len(CONTENTS)]
        photograph = read(options.shared / "images" / "content" / f"{content}.jpg")
        if name.startswith(PREFIX):
            style = to_tensor(find_preset(name).draw(512)).unsqueeze(0)
        else:
            style = read(options.shared / "images" / "style" / f"{name}.jpg")
        yield f"{content}-{name.removeprefix(PREFIX)}", photograph, style


def read(path: Path) -> Tensor:
    """A picture (1, 3, H, W) in [0, 1]."""
    return to_tensor(load_image(path)).unsqueeze(0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = Path(os.environ.get("LIKENESS_SHARED", "../shared"))
    every = [f"{PREFIX}{preset.name}" for preset in PRESETS]
    parser.add_argument("--shared", type=Path, default=shared, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keeps pictures")
    parser.add_argument("--network", default="vgg_slim", metavar="NAME")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument("--styles", nargs="+", default=[*every, "starry_night"], metavar="STYLE")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def shown(name: str, figures: dict[str, float]) -> str:
    return f"{name} " + " ".join(f"{figure} {value:.2f}" for figure, value in figures.items())


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(options.network, weights=options.weights).backbone
    config = StyleConfig(size=options.size, steps=options.steps, backbone=options.network)
    rows = []
    for pair, content, style in pairs(options):
        rows.append(compare(pair, content, style, backbone, config, options.out))
        if not options.json:
            row = rows[-1]
            parts = [shown(name, getattr(row, name)) for name in ("zeros", "continued", "floor")]
            print(f"{pair:<32} {'   '.join(parts)}", flush=True)
    means = {
        name: {f: float(np.mean([getattr(row, name)[f] for row in rows])) for f in FIGURES}
        for name in ("zeros", "continued", "floor")
    }
    if options.json:
        told = {"network": options.network, "size": options.size, "steps": options.steps}
        told |= {"torch": torch.__version__, "means": means}
        print(json.dumps(told | {"rows": [{s: getattr(r, s) for s in r.__slots__} for r in rows]}))
        return
    print(f"mean of {len(rows)}: " + "   ".join(shown(name, it) for name, it in means.items()))


if __name__ == "__main__":
    main()
