"""Several programs on one machine: how bounded spinning keeps them from slowing each other down.

    python benchmarks/contention.py --images FOLDER [--json]

Two kinds of work, each alone and beside one, two and four more of itself: the recognition pipeline
(detect, align, embed), and painting steps at 256 px. Every process warms up, waits until all have,
and then works for a fixed time; a figure is the work done in that time by one of them, with the
processor's time that it took. `before` sets what libgomp does by itself (300,000 rounds of
spinning, a thread a processor); `after` lets `data.threads` choose.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.threads import bound_spinning, processors, share_processors

NEIGHBOURS = (0, 1, 2, 4)
DEFAULT_SPIN = "300000"
SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "OMP_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--seconds", type=float, default=15, help="how long each is measured")
    parser.add_argument("--neighbours", type=int, nargs="+", default=NEIGHBOURS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--work", choices=("pipeline", "painting"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given)
        return
    rows = [
        measure(given, kind, neighbours)
        for kind in ("pipeline", "painting")
        for neighbours in given.neighbours
    ]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("                          units a second         processor seconds a unit")
    print("work      beside       before   after   ratio       before   after")
    for row in rows:
        before, after = row["before"], row["after"]
        print(
            f"{row['work']:<10}{row['beside']:>6}   {before['rate']:9.3f}{after['rate']:8.3f}"
            f"{after['rate'] / before['rate']:8.2f}    {before['cpu']:9.3f}{after['cpu']:8.3f}"
        )


def measure(given: argparse.Namespace, kind: str, neighbours: int) -> dict[str, Any]:
    """Before and after in turn, so that both meet the same machine."""
    row: dict[str, Any] = {"work": kind, "beside": neighbours}
    for name in ("before", "after"):
        row[name] = _together(given, kind, neighbours + 1, name)
    return row


def _together(given: argparse.Namespace, kind: str, count: int, name: str) -> dict[str, float]:
    """Start so many at once; the median of what each of them did."""
    command = [
        *(sys.executable, __file__, "--work", kind, "--seconds", str(given.seconds)),
        *("--images", str(given.images)),
    ]
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    if name == "before":
        environment |= {"GOMP_SPINCOUNT": DEFAULT_SPIN, "OMP_NUM_THREADS": str(processors())}
    started = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # it is warm
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate()[0]) for process in started]
    return {key: round(statistics.median(each[key] for each in found), 4) for key in found[0]}


def work(given: argparse.Namespace) -> None:
    """One of the processes: warm up, wait for the others, work for a while, say how much."""
    bound_spinning()
    if given.work == "pipeline":  # painting keeps its number of threads
        share_processors()
    unit = _pipeline(given.images) if given.work == "pipeline" else _painting()
    unit()
    print("warm", flush=True)
    sys.stdin.readline()
    start, processor, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < given.seconds:
        unit()
        done += 1
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(json.dumps({"rate": done / seconds, "cpu": processor / done}))


def _pipeline(folder: Path) -> Callable[[], object]:
    """Units of eight photographs, detected, aligned and embedded."""
    from pipeline import our_pipeline

    from data.images import find_images, load_image

    paths = find_images([folder])
    images = [load_image(path) for path in paths[:: max(1, len(paths) // 8)][:8]]
    run = our_pipeline(None)
    return lambda: run(images)


def _painting() -> Callable[[], object]:
    """Units of one step of painting at 256 px, with random weights."""
    from style_step import picture

    from backbones.registry import create
    from style.config import StyleConfig
    from style.network import StyleNetwork
    from style.stylize import stylize

    config = StyleConfig(size=256, first_scale=256, steps=100_000)
    network = StyleNetwork.of(create("vgg_slim", seed=0), config)
    steps = stylize(picture(256, 0), [picture(256, 1)], config, network)
    return lambda: next(steps)


if __name__ == "__main__":
    main()
