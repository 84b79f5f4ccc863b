"""Making sure that tensors are the weights of a network, all of them and nothing else."""

from collections.abc import Mapping

import torch
from torch import Tensor

from data.errors import WeightsError
from data.files import printable

from .network import Backbone


def fit_tensors(
    backbone: Backbone, tensors: Mapping[str, Tensor], origin: str
) -> dict[str, Tensor]:
    """Bring a file's tensors to a network's names and types, after checking each.

    Args:
        backbone: The network; its own weights are not looked at (they may be on the meta device).
        tensors: By the file's names, the publisher's or the network's own.
        origin: What to call the file in messages.

    Returns:
        A state for `load_state_dict`, floating-point numbers as float32.

    Raises:
        WeightsError: A tensor is missing, unknown, of another shape, or holds NaN or infinity.
    """
    wanted = backbone.state_dict()
    given = {
        key: tensor
        for name, tensor in tensors.items()
        if (key := backbone.own_key(name)) is not None
    }
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked") and key not in given:
            # Files older than PyTorch 0.4.1 lack this count, which only training looks at.
            given[key] = torch.zeros((), dtype=tensor.dtype)
    if wrong := _difference(wanted, given):
        raise WeightsError(
            f"{origin} does not fit {backbone.spec.name}: {wrong}; "
            "take a file made for this network"
        )
    for key, tensor in given.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{origin} is damaged: {key} holds NaN or infinity; fetch it again")
    return {key: tensor.to(wanted[key].dtype) for key, tensor in given.items()}


def _difference(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """What keeps one set of tensors from taking another's place; None where nothing does."""
    found = []
    if missing := sorted(wanted.keys() - given.keys()):
        found.append(f"{missing[0]} is missing" + _and_more(missing))
    if unknown := sorted(given.keys() - wanted.keys()):
        found.append(f"{printable(unknown[0])} is unknown" + _and_more(unknown))
    shared = [key for key in given if key in wanted]
    if reshaped := [key for key in shared if given[key].shape != wanted[key].shape]:
        shape, expected = (tuple(each[reshaped[0]].shape) for each in (given, wanted))
        found.append(
            f"{reshaped[0]} has the shape {shape}, expected {expected}" + _and_more(reshaped)
        )
    for key in shared:
        if given[key].is_floating_point() != wanted[key].is_floating_point():
            found.append(f"{key} is {given[key].dtype}, expected {wanted[key].dtype}")
            break
    return "; ".join(found) or None


def _and_more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
