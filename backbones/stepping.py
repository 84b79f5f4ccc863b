"""An optimiser's state as named tensors and plain values, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_PREFIX = "optimizer."


def flatten(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimiser remembers of each parameter.

    Args:
        optimizer: Its groups, which are made from a configuration, are not looked at.

    Returns:
        Tensors and plain values, both by `optimizer.<number of the parameter>.<key>`.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            target = tensors if isinstance(value, Tensor) else plain
            target[f"{_PREFIX}{index}.{key}"] = value
    return tensors, plain


def restore(optimizer: Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Give an optimiser what `flatten` found; names that are not its own are passed over."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    saved: dict[str, Any] = {**under(_PREFIX, tensors), **under(_PREFIX, plain)}
    for name, value in saved.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            # In the parameter's own memory order: another order may round differently.
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value


def under(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """What is named with a prefix, named without it."""
    return {
        name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
    }
