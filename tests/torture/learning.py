"""Training that is killed, and training whose loss becomes NaN."""

import importlib.util
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from files import fresh
from trial import Outcome

from data.errors import TrainingError
from data.files import sha256_of
from recognition.learning.config import configure
from recognition.learning.epoch import EpochLoop
from recognition.learning.trainer import train

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "training_kills.py"
RECIPE = """
backbone = "iresnet_se"
epochs = 3
device = "cpu"
[data]
folder = "people"
cache = "aligned"
[batch]
people = 4
photographs = 2
"""
EPOCH_STEPS = 4  # 14 people, 8 of them to train on; 4 a batch, twice


def kill_training(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill a small run of the real trainer at random moments, resume it, compare the bytes."""
    run = subprocess.run(
        [sys.executable, BENCHMARK, "--kills", str(trials), "--seed", str(rng.randrange(1000))],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(BENCHMARK.parent.parent)},
    )
    if run.returncode:
        return Outcome(trials=0, broken=[run.stderr.strip().splitlines()[-1]])
    seen = json.loads(run.stdout.splitlines()[-1])
    outcome = Outcome(trials=seen["kills"])
    outcome.expect(seen["kills"] == trials, f"only {seen['kills']} were killed")
    outcome.expect(seen["equal"] == seen["kills"], f"{seen['equal']} of {seen['kills']} equal")
    return outcome


class TurnsBad:
    """An objective that is NaN after so many steps.

    Attributes:
        after: How many steps are good.
        taken: How many there were.
        good: What the run had kept when the first bad one came.
    """

    def __init__(self, run: Path, *, after: int) -> None:
        self._run, self.after, self.taken = run, after, 0
        self.good: dict[str, str] = {}
        self._usual = EpochLoop._compare

    @property
    def compare(self) -> Callable[..., Any]:
        """In the place of `EpochLoop._compare`."""

        def compare(*args: Any, **options: Any) -> Any:
            total, parts = self._usual(*args, **options)
            self.taken += 1
            if self.taken <= self.after:
                return total, parts
            self.good = self.good or digests(self._run)
            return total * math.nan, parts

        return compare


def break_losses(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Let the loss become NaN at some step: it stops there, and the last good weights stay."""
    outcome = Outcome()
    kills = _benchmark()
    kills.make_people(folder / "people")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE)
    torch.set_num_threads(1)
    for trial in range(trials):
        run = fresh(folder / "runs") / "run"
        bad = TurnsBad(run, after=rng.randrange(EPOCH_STEPS, 3 * EPOCH_STEPS))
        with mock.patch.object(EpochLoop, "_compare", bad.compare):
            try:
                train(configure(recipe, out=run))
                outcome.broken.append(f"trial {trial}: it went on")
            except TrainingError as error:
                outcome.expect("nan" in str(error), f"trial {trial}: {error}")
        outcome.expect(bad.taken == bad.after + 1, f"trial {trial}: {bad.taken} steps")
        untouched = bool(bad.good) and digests(run) == bad.good
        outcome.expect(untouched, f"trial {trial}: weights were touched")
        outcome.trials += 1
    return outcome


def digests(run: Path) -> dict[str, str]:
    """Of the weights and the state that a run has kept so far."""
    return {path.name: sha256_of(path) for path in run.glob("*.safetensors")}


def _benchmark() -> ModuleType:
    specification = importlib.util.spec_from_file_location("training_kills", BENCHMARK)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
