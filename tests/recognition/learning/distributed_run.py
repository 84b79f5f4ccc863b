"""One of several processes: trains by each recipe and writes down what became of it, as JSON.

    distributed_run.py RESULTS RECIPE…      → RESULTS/<rank>.json

A run whose folder is called `poisoned` gets a weight that is no number, in the last process, in its
second epoch.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import conftest

from backbones.network import Backbone
from data.errors import AppError
from data.files import sha256_of
from recognition.learning import plots
from recognition.learning.batches import Batch, Mixture
from recognition.learning.config import TrainingConfig, configure
from recognition.learning.epoch import EpochLoop
from recognition.learning.trainer import train


def record(config: TrainingConfig) -> dict[str, Any]:
    """Train; every step's losses, and a digest of all that was trained, in this very process."""
    losses: list[dict[str, float]] = []
    loops: list[EpochLoop] = []
    step = EpochLoop._step
    poisoned = config.out.name == "poisoned" and os.environ["RANK"] != "0"

    def recorded(
        loop: EpochLoop, batch: Batch, mixture: Mixture | None, where: str
    ) -> dict[str, float]:
        if poisoned and where.startswith("epoch 2"):
            _poison(loop._parts.network)
        losses.append(step(loop, batch, mixture, where))
        loops[:] = [loop]
        return losses[-1]

    EpochLoop._step = recorded  # type: ignore[method-assign]
    try:
        train(config, lambda report: print("epoch", report.epoch, flush=True))
        error = None
    except AppError as failure:
        error = f"{type(failure).__name__}: {failure}"
    finally:
        EpochLoop._step = step  # type: ignore[method-assign]
    return {"losses": losses, "weights": _digest(loops), "error": error}


def _poison(network: Backbone) -> None:
    with torch.no_grad():
        next(network.parameters()).fill_(math.nan)


def _digest(loops: list[EpochLoop]) -> str | None:
    if not loops:
        return None
    parts = loops[0]._parts
    states = [parts.network.state_dict(), parts.objective.state_dict()]
    states += [] if parts.average is None else [parts.average.sums]
    names = [f"{name} {sha256_of(t.numpy().tobytes())}" for s in states for name, t in s.items()]
    return sha256_of("\n".join(names).encode())


if __name__ == "__main__":
    torch.set_num_threads(1)
    plots.png = lambda figure: b""  # nobody looks at them
    assert conftest.SPEC.name == "tiny"
    results = [record(configure(Path(recipe))) for recipe in sys.argv[2:]]
    Path(sys.argv[1], f"{os.environ['RANK']}.json").write_text(json.dumps(results))
    if len(results) == 1 and results[0]["error"]:  # of several, each shall write down all
        sys.exit(results[0]["error"])
