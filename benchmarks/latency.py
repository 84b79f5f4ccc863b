"""How long a user waits: for `likeness --help`, and for an answer about one photograph.

    python benchmarks/latency.py --photograph 250x250.jpg --weights mobilefacenet.safetensors

The command line is timed as whole processes, beside a bare `python -c pass` and an import of torch
in the same run. The photograph is enrolled and identified in a process that is warm, in a gallery
of its own that is thrown away.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recognition.service import RecognitionService


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photograph", type=Path, required=True, help="a picture of one face")
    parser.add_argument("--weights", type=Path, help="weights that carry a threshold")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    figures = start_up(given.runs) | one_photograph(given.photograph, given.weights, given.runs)
    if given.json:
        print(json.dumps(figures))
        return
    for name, seconds in figures.items():
        print(f"{name:28} {seconds * 1000:8.1f} ms (median of {given.runs})")


def start_up(runs: int) -> dict[str, float]:
    """Median seconds of whole processes, taken in turn."""
    likeness = str(Path(sys.executable).with_name("likeness"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        "likeness --help": [likeness, "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(_seconds(lambda c=command: subprocess.run(c, capture_output=True)))
    return {name: statistics.median(values) for name, values in times.items()}


def one_photograph(photograph: Path, weights: Path | None, runs: int) -> dict[str, float]:
    """Median seconds from a file to an answer, once everything is loaded."""
    with (
        tempfile.TemporaryDirectory() as home,
        RecognitionService(home=Path(home), weights=weights) as service,
    ):
        service.enroll("somebody", [photograph])
        service.identify([photograph])  # warm
        identify = [_seconds(lambda: service.identify([photograph])) for _ in range(runs)]
        verify = [_seconds(lambda: service.verify(photograph, photograph)) for _ in range(runs)]
    return {"identify": statistics.median(identify), "verify": statistics.median(verify)}


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
