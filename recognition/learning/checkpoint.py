"""Everything a run needs to go on as if it had never stopped, in one file that is whole or absent.

`state.safetensors` holds the tensors and, in its header, the rest as JSON; replacing it is the one
step that completes an epoch. `state.json` repeats the header for readers. The random draws of an
epoch follow from the seed and the epoch's number, so no generator has a state to keep.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer

from backbones.averaging import WeightAverage
from backbones.network import Backbone
from backbones.stepping import flatten, restore, under
from data.errors import TrainingError
from data.files import write_atomic
from data.tensors import read_tensors, write_tensors

from .losses import Objective

STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands between two epochs.

    Attributes:
        epoch: Epochs done.
        best: The best value of the run's metric so far; None before the first epoch.
        best_epoch: When that was.
    """

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What changes from step to step."""

    network: Backbone
    objective: Objective
    optimizer: Optimizer
    average: WeightAverage | None


def save_state(folder: Path, parts: Parts, position: Position, config_digest: str) -> None:
    """Write the state after an epoch; a kill at any moment leaves the old one or the new one.

    Args:
        folder: The run's.
        parts: What to save.
        position: After which epoch.
        config_digest: Tells whether a run found later has the same settings.
    """
    tensors, numbers = flatten(parts.optimizer)
    tensors |= {f"network.{name}": value for name, value in parts.network.state_dict().items()}
    tensors |= {f"objective.{name}": value for name, value in parts.objective.state_dict().items()}
    if parts.average is not None:
        tensors |= {f"average.{name}": value for name, value in parts.average.sums.items()}
    document = {
        **asdict(position),
        "config": config_digest,
        "average_steps": 0 if parts.average is None else parts.average.steps,
        "optimizer": numbers,
    }
    _write_state(folder, tensors, document)


def copy_state(source: Path, folder: Path, config_digest: str) -> None:
    """Give a run's state to another run, whose settings may differ from now on.

    Args:
        source: The folder of the run that has it.
        folder: Of the one that gets it.
        config_digest: Of the latter's settings.

    Raises:
        WeightsError: The file is damaged.
    """
    file = read_tensors(source / STATE)
    document = json.loads(file.metadata["state"]) | {"config": config_digest}
    _write_state(folder, file.tensors, document)


def _write_state(
    folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, object]
) -> None:
    text = json.dumps(document, indent=1, sort_keys=True)
    write_tensors(folder / STATE, tensors, {"state": text})
    write_atomic(folder / "state.json", text.encode() + b"\n")


def load_state(folder: Path, parts: Parts, config_digest: str) -> Position:
    """Bring a run back to where its last whole epoch left it.

    Returns:
        That position; epoch 0 where the folder holds no state.

    Raises:
        TrainingError: The state is that of a run with other settings.
        WeightsError: The file is damaged.
    """
    if not (folder / STATE).is_file():
        return Position()
    file = read_tensors(folder / STATE)
    document = json.loads(file.metadata["state"])
    if document["config"] != config_digest:
        raise TrainingError(
            f"{folder} holds a run with other settings or photographs: give another folder for "
            "this run, or repeat that one's settings to go on with it"
        )
    parts.network.load_state_dict(under("network.", file.tensors))
    parts.objective.load_state_dict(under("objective.", file.tensors))
    restore(parts.optimizer, file.tensors, document["optimizer"])
    if parts.average is not None:
        parts.average.steps = document["average_steps"]
        for name, value in under("average.", file.tensors).items():
            parts.average.sums[name].copy_(value)
    return Position(document["epoch"], document["best"], document["best_epoch"])
