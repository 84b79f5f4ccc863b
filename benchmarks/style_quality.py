"""Style transfer against today's best scheme: as near to the style and the photograph, how fast?

    python benchmarks/style_quality.py --shared ../shared --out var/style_quality
        [--sizes 256 512] [--set steps=300] [--baseline-only] [--smoke] [--json]

The baseline is `style_baseline.py`; both engines look at the pictures with the same network. Six
pairs of photograph and style are painted at 256 px and two at 512, and judged by a network that
neither has seen. A baseline takes minutes: its pictures stay in --out, by a hash of everything
that they depend on, and are painted anew only where that changes. Its time is measured in every
run, by steps at each of its scales before and after ours: other work on the machine meets both.
CPU time of all threads counts; OMP_NUM_THREADS sets their number.

Besides, the bundled network in our engine against VGG-19 (random weights: time does not depend on
them) in the baseline, and a step of each in our engine at 512 px, turn by turn.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from style_pairs import PAIRS, Bench, Row

from backbones.registry import available, create
from backbones.weights import find_weights, load_backbone
from style.config import StyleConfig
from style.network import StyleNetwork
from style.stylize import stylize

BUNDLED = "vgg_slim"
TARGETS = 0.25, 0.1  # of the time of the baseline, with the same network and with VGG-19
STEP_TARGET = 0.2


def step_ratio(name: str, steps: int, size: int = 512) -> float:
    """A step of a network in our engine over one of VGG-19, turn by turn, random weights."""
    source = torch.Generator().manual_seed(0)
    content, style = (torch.rand(1, 3, size * 3 // 4, size, generator=source) for _ in range(2))
    config = StyleConfig(size=size, first_scale=size, steps=steps + 1)
    loops = [
        stylize(content, [style], config, StyleNetwork.of(create(network, seed=0), config))
        for network in (name, "vgg19")
    ]
    ratios = []
    for step in range(steps + 1):
        seconds = []
        for loop in loops:
            began = time.process_time()
            next(loop)
            seconds.append(time.process_time() - began)
        if step:  # the first one looks at the targets too
            ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


def say(line: str, really: bool = True) -> None:
    """A line on stderr."""
    if really:
        print(line, file=sys.stderr, flush=True)


def shown(row: Row) -> str:
    """A row of the table."""
    mine, other = row.ours.verdict, row.theirs.verdict
    return (
        f"{row.pair:<30} {row.size:>4} {row.network:<14} "
        f"style {mine.style_distance:.4f} ({other.style_distance:.4f})  "
        f"content {mine.content_distance:.4f} ({other.content_distance:.4f})  "
        f"self-similarity {mine.self_similarity:.2f} ({other.self_similarity:.2f})  "
        f"CPU {row.ours.cpu_seconds:6.1f} s ({row.theirs.cpu_seconds:6.1f} s)  "
        f"ratio {row.ratio:.3f}  {'as good' if row.as_good else 'worse'}"
    )


def override(text: str) -> tuple[str, Any]:
    """A setting of `StyleConfig` from NAME=VALUE."""
    name, _, value = text.partition("=")
    if name not in {field.name for field in fields(StyleConfig)}:
        raise argparse.ArgumentTypeError(f"{name!r} is no setting of a picture")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a word


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = Path(os.environ.get("LIKENESS_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keeps pictures")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--only", metavar="TEXT", default="", help="pairs whose names hold it")
    parser.add_argument("--set", type=override, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of vgg19_quarter")
    parser.add_argument("--judge", default="squeezenet1_0", metavar="NAME")
    parser.add_argument("--judge-weights", type=Path, metavar="FILE")
    parser.add_argument("--probe", type=int, default=12, help="timed steps of each scale")
    parser.add_argument("--vgg-steps", type=int, default=5, help="timed at 512 px; 0 for none")
    parser.add_argument("--baseline-only", action="store_true", help="paint what is not kept yet")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    weights = options.shared / "weights"
    options.weights = options.weights or weights / "vgg19-quarter-width-distilled.safetensors"
    if options.judge == "squeezenet1_0" and options.judge_weights is None:
        options.judge_weights = weights / "squeezenet1_0-imagenet.safetensors"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    bench = Bench(options)
    cases = [
        (content, style, size)
        for size in options.sizes
        for content, style in PAIRS[size]
        if options.only in f"{content} {style}"
    ]
    if options.baseline_only:
        for case in cases:
            bench.baseline(*case)
        return
    networks = [bench.loaded.backbone]
    if BUNDLED in available() and find_weights(BUNDLED):
        networks.append(load_backbone(BUNDLED).backbone)
    rows = []
    for network in networks:
        for case in cases:
            rows.append(bench.compare(network, *case))
            say(shown(rows[-1]), really=options.json)
            if not options.json:
                print(shown(rows[-1]), flush=True)
    name = networks[-1].spec.name
    step = step_ratio(name, options.vgg_steps) if options.vgg_steps else None
    conditions = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    conditions |= {"settings": bench.overrides, "judge": options.judge}
    if options.json:
        figures = {
            "rows": [row.to_json() for row in rows],
            "step": {"network": name, "ratio": step},
        }
        print(json.dumps(conditions | figures, indent=2))
        return
    for network, target in zip([n.spec.name for n in networks], TARGETS, strict=False):
        mine = [row for row in rows if row.network == network]
        held = sum(row.as_good and row.ratio <= target for row in mine)
        other = "the baseline" if target == TARGETS[0] else "the baseline with VGG-19"
        print(
            f"{network}: as good as the baseline in at most {target:g} of the time of {other}: "
            f"{held} of {len(mine)}; median ratio {statistics.median(r.ratio for r in mine):.3f}"
        )
    if step is not None:
        print(f"a step at 512 px, {name} ÷ VGG-19: {step:.3f} (at most {STEP_TARGET:g} is wanted)")


if __name__ == "__main__":
    main()
