"""Where a run stands, in one file that is whole or absent.

`state.safetensors` holds the tensors and, in its header, the rest as JSON; replacing it is the one
step that completes a checkpoint. What is drawn at random follows from the seed and the step's
number, so no generator has a state to keep, and a run that goes on ends with the same bytes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from backbones.averaging import WeightAverage
from backbones.stepping import flatten, restore, under
from data.errors import TrainingError
from data.tensors import read_tensors, write_tensors

STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands between two steps.

    Attributes:
        step: Steps done.
        best: The least distance so far; None before the first validation.
        best_step: After which step that was.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What changes from step to step."""

    module: nn.Module
    optimizer: Optimizer
    average: WeightAverage


def save_state(folder: Path, parts: Parts, position: Position, digest: str) -> None:
    """Write the state; a kill at any moment leaves the old one or the new one.

    Args:
        folder: The run's.
        parts: What to save.
        position: After which step.
        digest: Tells whether a run found later has the same settings.
    """
    tensors, numbers = flatten(parts.optimizer)
    tensors |= {f"module.{name}": value for name, value in parts.module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in parts.average.sums.items()}
    document = asdict(position) | {
        "config": digest,
        "average_steps": parts.average.steps,
        "optimizer": numbers,
    }
    text = json.dumps(document, indent=1, sort_keys=True)
    write_tensors(folder / STATE, tensors, {"state": text})


def load_state(folder: Path, parts: Parts, digest: str) -> Position:
    """Bring a run back to where its last checkpoint left it.

    Returns:
        That position; step 0 where the folder holds no state.

    Raises:
        TrainingError: The state is that of a run with other settings.
        WeightsError: The file is damaged.
    """
    if not (folder / STATE).is_file():
        return Position()
    file = read_tensors(folder / STATE)
    document = json.loads(file.metadata["state"])
    if document["config"] != digest:
        raise TrainingError(
            f"{folder} holds a run with other settings or photographs: give another folder for "
            "this run, or repeat that one's settings to go on with it"
        )
    parts.module.load_state_dict(under("module.", file.tensors))
    restore(parts.optimizer, file.tensors, document["optimizer"])
    parts.average.steps = document["average_steps"]
    for name, value in under("average.", file.tensors).items():
        parts.average.sums[name].copy_(value)
    return Position(document["step"], document["best"], document["best_step"])
