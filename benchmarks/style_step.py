"""Time of one style step against a textbook loop of the same losses.

    python benchmarks/style_step.py [--size 512] [--steps 15] [--json]

Both sides paint the same picture with the same network in the same run, turn by turn, so that
whatever else the machine does meets both; the figure is the median of the ratios of neighbouring
steps. Weights are random: time does not depend on them. That the losses are the same is checked
at the first step.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.registry import create
from style.config import PaintingPrecision, StyleConfig, StyleLossKind
from style.network import StyleNetwork
from style.stylize import stylize

NETWORKS = ("vgg19", "vgg_slim", "squeezenet1_0")
CONTENT, STYLE, VARIATION = 1 / 60, 1 / 30, 0.15  # as in style.objective, for Gram matrices


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of one network: milliseconds a step, and ours over the textbook's."""

    network: str
    ours_ms: float
    textbook_ms: float
    ratio: float
    quartiles: tuple[float, float]


def picture(size: int, seed: int) -> Tensor:
    """A smooth random picture (1, 3, 3/4 size, size) in [0, 1]."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 16, generator=source)
    return F.interpolate(coarse, (size * 3 // 4, size), mode="bilinear")


def gram(features: Tensor) -> Tensor:
    """Gram matrix (C, C) of features (1, C, H, W)."""
    _, c, h, w = features.shape
    flat = features.view(c, h * w)
    return torch.mm(flat, flat.t()) / (c * h * w)


def textbook(
    backbone: Backbone, content: Tensor, style: Tensor, learning_rate: float
) -> Generator[float, None, None]:
    """The loop as tutorials have it: frozen network, Adam, clamp; yields the loss of each step."""
    spec = backbone.spec
    taps = [*spec.content_taps, *spec.style_taps]

    features = FeatureExtractor(backbone, taps, continued=True)

    def centred(target: Tensor) -> Tensor:
        return target - target.mean(dim=(2, 3), keepdim=True)

    with torch.no_grad():
        contents = {tap: features(content)[tap] for tap in spec.content_taps}
        looks = features(style)
        grams = {tap: gram(looks[tap]) for tap in spec.style_taps}
        # Content and style are measured by the energy of what varies, and 1e-5 of the whole.
        content_units = {
            tap: float(centred(t).square().sum() + 1e-5 * t.square().sum())
            for tap, t in contents.items()
        }
        style_units = {
            tap: float(gram(centred(looks[tap])).square().sum() + 1e-5 * g.square().sum())
            for tap, g in grams.items()
        }

    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=learning_rate, betas=(0.9, 0.99))
    while True:
        optimizer.zero_grad()
        seen = features(image)
        loss = torch.zeros(())
        for tap, target in contents.items():
            mse = F.mse_loss(seen[tap], target, reduction="sum") / content_units[tap]
            loss = loss + CONTENT * mse / len(contents)
        for tap, weight in zip(spec.style_taps, spec.style_tap_weights, strict=True):
            mse = F.mse_loss(gram(seen[tap]), grams[tap], reduction="sum") / style_units[tap]
            loss = loss + STYLE * weight * mse
        loss = loss + VARIATION * F.mse_loss(image[..., 1:], image[..., :-1])
        loss = loss + VARIATION * F.mse_loss(image[..., 1:, :], image[..., :-1, :])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        yield loss.item()


def ours(
    backbone: Backbone, content: Tensor, style: Tensor, config: StyleConfig
) -> Generator[float, None, None]:
    """The loss of each step of `stylize`."""
    for progress in stylize(content, [style], config, StyleNetwork.of(backbone, config)):
        yield progress.losses["total"]


def compare(name: str, size: int, steps: int, precision: PaintingPrecision) -> Comparison:
    """Both loops, turn by turn.

    Raises:
        SystemExit: They do not minimise the same loss.
    """
    config = StyleConfig(
        size=size,
        first_scale=size,
        steps=steps + 1,
        style_loss=StyleLossKind.GRAM,
        precision=precision,
    )
    content, style = picture(size, 0), picture(size, 1)
    sides = {
        "ours": ours(create(name, seed=0), content, style, config),
        "textbook": textbook(
            create(name, seed=0).requires_grad_(False), content, style, config.learning_rate
        ),
    }
    first = [next(side) for side in sides.values()]  # targets are computed here: not timed
    if not math.isclose(*first, rel_tol=1e-3 if precision is PaintingPrecision.FLOAT32 else 2e-2):
        raise SystemExit(f"{name}: the losses differ, {first[0]} and {first[1]}")
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(steps):
        for side, loop in sides.items():
            began = time.perf_counter()
            next(loop)
            seconds[side].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["textbook"], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return Comparison(
        network=name,
        ours_ms=1000 * statistics.median(seconds["ours"]),
        textbook_ms=1000 * statistics.median(seconds["textbook"]),
        ratio=ratio,
        quartiles=(low, high),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each side")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument(
        "--precision", type=PaintingPrecision, default=PaintingPrecision.AUTO, help="of ours"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = [
        compare(name, options.size, options.steps, options.precision) for name in options.networks
    ]
    if options.json:
        conditions = {"size": options.size, "steps": options.steps, "precision": options.precision}
        conditions |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
        print(json.dumps({**conditions, "networks": [asdict(row) for row in rows]}, indent=2))
        return
    print(f"{options.size} px, {options.steps} steps, {torch.get_num_threads()} threads")
    for row in rows:
        low, high = row.quartiles
        print(
            f"{row.network:<14} ours {row.ours_ms:7.1f} ms   textbook {row.textbook_ms:7.1f} ms   "
            f"ratio {row.ratio:.3f} ({low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
