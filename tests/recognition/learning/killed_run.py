"""A run in a process of its own, for the kill test: prints a line as each step is done."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import conftest

from recognition.learning import plots
from recognition.learning.config import configure
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train


def tell(now: TrainingProgress) -> None:
    print(now.stage, now.done, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    plots.png = lambda figure: b""  # as in the process that kills this one
    assert conftest.SPEC.name == "tiny"
    train(configure(Path(sys.argv[1])), progress=tell)
    print("finished", flush=True)
