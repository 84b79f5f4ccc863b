"""Everything a run needs to go on as if it had never stopped, in one file that is whole or absent.

`state.safetensors` holds the tensors and, in its header, the rest as JSON; replacing it is the one
step that completes a checkpoint. `state.json` repeats the header for readers. What is drawn at
random follows from the seed and the number of the epoch or step, so no generator has a state to
keep, and a run that goes on ends with the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from data.errors import TrainingError
from data.files import write_atomic
from data.tensors import read_names, read_tensors, write_tensors

from .averaging import WeightAverage

STATE = "state.safetensors"
_OPTIMIZER, _AVERAGE = "optimizer.", "average."


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands between two epochs, or between two steps.

    Attributes:
        done: Epochs or steps done.
        best: The best value of the run's metric so far; None before the first one.
        best_at: After which epoch or step that was.
    """

    done: int = 0
    best: float | None = None
    best_at: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """What changes from step to step.

    Attributes:
        modules: What learns, by name.
        optimizer: Over their parameters.
        average: Of the weights of one of them; None: none is kept.
    """

    modules: Mapping[str, nn.Module]
    optimizer: Optimizer
    average: WeightAverage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A run's place for its state.

    Attributes:
        folder: The run's.
        digest: Of what decides the run's result; a state with another one is another run's.
        unit: What is counted: `epoch` or `step`.
    """

    folder: Path
    digest: str
    unit: str

    def save(self, state: TrainingState, position: Position) -> None:
        """Write the state; a kill at any moment leaves the old one or the new one."""
        tensors, numbers = _flatten(state.optimizer)
        for part, module in state.modules.items():
            tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        if state.average is not None:
            tensors |= {f"{_AVERAGE}{name}": value for name, value in state.average.sums.items()}
        document = {
            self.unit: position.done,
            "best": position.best,
            f"best_{self.unit}": position.best_at,
            "config": self.digest,
            "average_steps": 0 if state.average is None else state.average.steps,
            "optimizer": numbers,
        }
        self._write(tensors, document)

    def load(self, state: TrainingState) -> Position:
        """Bring a run back to where its last checkpoint left it.

        Returns:
            That position; the beginning where the folder holds no state.

        Raises:
            TrainingError: The state is that of a run with other settings.
            WeightsError: The file is damaged.
        """
        if not (self.folder / STATE).is_file():
            return Position()
        file = read_tensors(self.folder / STATE)
        document = json.loads(file.metadata["state"])
        if document["config"] != self.digest:
            raise TrainingError(
                f"{self.folder} holds a run with other settings or photographs, or one of an "
                "earlier version: give another folder for this run, or repeat that one's settings "
                "to go on with it"
            )
        for part, module in state.modules.items():
            module.load_state_dict(_under(f"{part}.", file.tensors))
        _restore(state.optimizer, file.tensors, document["optimizer"])
        if state.average is not None:
            state.average.steps = document["average_steps"]
            for name, value in _under(_AVERAGE, file.tensors).items():
                state.average.sums[name].copy_(value)
        return Position(document[self.unit], document["best"], document[f"best_{self.unit}"])

    def copy(self, source: Path) -> None:
        """Take over the state of another run, whose settings may have been others.

        Args:
            source: That run's folder.

        Raises:
            WeightsError: The file is damaged.
        """
        file = read_tensors(source / STATE)
        document = json.loads(file.metadata["state"]) | {"config": self.digest}
        self._write(file.tensors, document)

    def _write(self, tensors: Mapping[str, Tensor], document: Mapping[str, object]) -> None:
        text = json.dumps(document, indent=1, sort_keys=True)
        write_tensors(self.folder / STATE, tensors, {"state": text})
        write_atomic(self.folder / "state.json", text.encode() + b"\n")


def names_in(folder: Path, part: str) -> frozenset[str]:
    """The names of the tensors that a run's state holds of one of its modules.

    Args:
        folder: The run's.
        part: What the state calls the module.

    Returns:
        As the module's own `state_dict` has them; none where there is no state.

    Raises:
        WeightsError: The file is damaged.
    """
    if not (folder / STATE).is_file():
        return frozenset()
    names = read_names(folder / STATE)
    return frozenset(_under(f"{part}.", dict.fromkeys(names)))


# An optimiser's state as named tensors and plain values, and back.


def _flatten(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimiser remembers of each parameter, by `optimizer.<number>.<key>`.

    Its groups, which are made from a configuration, are not looked at.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            target = tensors if isinstance(value, Tensor) else plain
            target[f"{_OPTIMIZER}{index}.{key}"] = value
    return tensors, plain


def _restore(optimizer: Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Give an optimiser what `_flatten` found; names that are not its own are passed over."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    saved: dict[str, Any] = {**_under(_OPTIMIZER, tensors), **_under(_OPTIMIZER, plain)}
    for name, value in saved.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            # In the parameter's own memory order: another order may round differently.
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value


def _under(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """What is named with a prefix, named without it."""
    return {
        name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
    }
