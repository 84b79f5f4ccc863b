"""Whether a training run that is killed and resumed ends as one that nobody disturbed.

A small run of MobileFaceNet is done once without interruption. Then, again and again, the same run
begins in a folder of its own, is killed (SIGKILL) at a random moment between its first step and its
end, and the same command goes on with it. Best and last weights and the state must have the same
SHA-256, and `metrics.jsonl` the same figures but for the times.

    python benchmarks/training_kills.py [--kills 20] [--seed 0]
"""

import argparse
import contextlib
import json
import multiprocessing
import random
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data.files import sha256_of
from recognition.learning.config import configure
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train

FILES = ("best.safetensors", "last.safetensors", "state.safetensors", "state.json")
TIMES = ("seconds", "images_per_second")
RECIPE = """
out = "run"
epochs = 3
averaging = 0.9
device = "cpu"
[data]
folder = "people"
cache = "aligned"
[batch]
people = 4
photographs = 2
"""
PROCESSES = multiprocessing.get_context("forkserver")
"""Each begins as it would from a shell, but for the libraries, which are imported once."""


def make_people(root: Path, people: int = 14, photographs: int = 4) -> None:
    """Each person a smooth pattern, each photograph that pattern with noise."""
    rng = np.random.default_rng(0)
    for person in range(people):
        folder = root / f"person_{person:02}"
        folder.mkdir(parents=True)
        pattern = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        base = np.array(pattern.resize((112, 112), Image.Resampling.BICUBIC), dtype=float)
        for number in range(photographs):
            noisy = (base + rng.normal(0, 30, base.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{number}.png")


def train_in_child(recipe: Path, run: Path, sender: Connection) -> None:
    """What each process does; it says when its first step is done."""
    torch.set_num_threads(1)

    def tell(now: TrainingProgress) -> None:
        if now.stage.startswith("epoch 1 ") and now.done == 1:
            sender.send(None)

    train(configure(recipe, out=run), progress=tell)


def start(recipe: Path, run: Path) -> tuple[BaseProcess, Connection]:
    """The run in a process of its own, and what tells of its first step."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=train_in_child, args=(recipe, run, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    return process, receiver


def finish(recipe: Path, run: Path) -> float:
    """Let the run come to its end; the seconds from its first step on, if it was not resumed."""
    process, receiver = start(recipe, run)
    with contextlib.suppress(EOFError):
        receiver.recv()
    began = time.monotonic()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"the run in {run} failed with exit code {process.exitcode}")
    return time.monotonic() - began


def kill(recipe: Path, run: Path, seconds: float) -> bool:
    """Kill a run so long after its first step; whether it was still going on."""
    process, receiver = start(recipe, run)
    receiver.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def outcome(run: Path) -> dict[str, str]:
    """What must not differ: digests of the files, of the metrics without their times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figures = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
    digests = {name: sha256_of(run / name) for name in FILES}
    return digests | {"metrics.jsonl": sha256_of(json.dumps(figures).encode())}


def epochs_done(run: Path) -> int:
    state = run / "state.json"
    return int(json.loads(state.read_text())["epoch"]) if state.is_file() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    PROCESSES.set_forkserver_preload(["recognition.learning.trainer", "sklearn.manifold"])
    moments = random.Random(given.seed)
    kills = equal = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_people(root / "people")
        recipe = root / "recipe.toml"
        recipe.write_text(RECIPE)
        length = finish(recipe, root / "whole")
        expected = outcome(root / "whole")
        for attempt in range(1000):
            if kills == given.kills:
                break
            run, moment = root / f"run-{attempt}", moments.uniform(0, length)
            if not kill(recipe, run, moment):
                continue  # it had ended before
            kills += 1
            done = epochs_done(run)
            finish(recipe, run)
            equal += outcome(run) == expected
            print(f"killed after {moment:.2f} s, {done} epochs: {equal}/{kills} equal", flush=True)
    print(json.dumps({"kills": kills, "equal": equal, "run_seconds": round(length, 2)}))


if __name__ == "__main__":
    main()
