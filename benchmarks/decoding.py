"""What it costs to decode pictures in another process: the pool beside the same decoder here.

    python benchmarks/decoding.py [--sides 250 1000 2000 4000] [--turns 20] [--json]

A made-up photograph of each size, as JPEG, is decoded in this process and by one worker of
`data.decoder_sandbox`, by turns. Medians by the clock, and the processor time of both processes
together. `start` is the first picture of a new worker.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import psutil
from PIL import Image

from data import decoding
from data.decoder_sandbox import DecodingPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds a picture."""

    side: int
    here: float
    apart: float
    ratio: float
    processor_ratio: float


def photograph(side: int) -> bytes:
    """A JPEG of soft shapes with some noise, as large as a camera's of that size."""
    rng = np.random.default_rng(side)
    soft = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((side, side))
    pixels = np.asarray(soft).astype(np.int16) + rng.integers(-6, 7, (side, side, 3), np.int16)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds by the clock, and of processor time of this process and its children."""
    before, began = processor_time(), time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began), 1000 * (processor_time() - before)


def processor_time() -> float:
    """Seconds of this process and its living children."""
    mine = psutil.Process()
    times = [process.cpu_times() for process in (mine, *mine.children())]
    return float(sum(one.user + one.system for one in times))


def compare(pool: DecodingPool, side: int, turns: int) -> Cost:
    """Let both decode one picture by turns."""
    content = photograph(side)
    ways = (lambda: decoding.decode(content), lambda: pool.decode(content))
    for way in ways:
        way()
    each = [[timed(way) for way in ways] for _ in range(turns)]
    here, apart = (statistics.median(turn[way][0] for turn in each) for way in range(2))
    busy = [sum(turn[way][1] for turn in each) for way in range(2)]
    return Cost(
        side=side,
        here=round(here, 2),
        apart=round(apart, 2),
        ratio=round(apart / here, 2),
        processor_ratio=round(busy[1] / max(busy[0], 1e-9), 2),
    )


def first_picture() -> float:
    """Milliseconds until a new pool has decoded one."""
    pool, content = DecodingPool(1), photograph(250)
    milliseconds, _ = timed(lambda: pool.decode(content))
    pool.close()
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[250, 1000, 2000, 4000])
    parser.add_argument("--turns", type=int, default=20, help="how often each is timed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    starts = [first_picture() for _ in range(3)]
    pool = DecodingPool(1)
    costs = [compare(pool, side, given.turns) for side in given.sides]
    pool.close()
    start = round(statistics.median(starts))
    if given.json:
        print(json.dumps({"start": start, "costs": [asdict(cost) for cost in costs]}, indent=2))
        return
    print(f"start of a worker {start} ms")
    for cost in costs:
        print(
            f"{cost.side:>5} px: here {cost.here:8.2f} ms, apart {cost.apart:8.2f} ms, "
            f"ratio {cost.ratio}, of processor time {cost.processor_ratio}"
        )


if __name__ == "__main__":
    main()
