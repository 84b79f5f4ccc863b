"""What there is to choose from: every network, whether or not its weights are here."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import AppError

from .places import WeightsFile, cached_weights, find_weights
from .registry import build, spec_of
from .spec import BackboneSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneDescription:
    """A network, and the state of its weights on this machine.

    Attributes:
        spec: What the network says about itself.
        parameters: How many trained numbers it has.
        weights: The file that would be used; None where there is none.
        problem: Why the file that is there cannot be used, in one line; None where it can.
        expected_at: Where a file may be put by hand, and where a download is kept.
    """

    spec: BackboneSpec
    parameters: int
    weights: WeightsFile | None
    problem: str | None
    expected_at: Path


def describe(name: str, home: Path | None = None) -> BackboneDescription:
    """Describe a network without building its weights.

    Args:
        name: One of `registry.available()`.
        home: The application's data folder; None takes the user's.

    Returns:
        The description. A weights file's header is read and its digest taken; whether its tensors
        fit is only seen by loading them.

    Raises:
        ArgumentError: There is no network of that name.
    """
    spec = spec_of(name)
    parameters = _count(spec) if spec.parameters is None else spec.parameters
    weights, problem = None, None
    try:
        weights = find_weights(name, home=home)
    except AppError as error:
        problem = str(error)
    return BackboneDescription(
        spec=spec,
        parameters=parameters,
        weights=weights,
        problem=problem,
        expected_at=cached_weights(name, home),
    )


def _count(spec: BackboneSpec) -> int:
    """How many trained numbers a network has whose spec does not say it."""
    import torch

    with torch.device("meta"):  # shapes alone, no memory
        return sum(parameter.numel() for parameter in build(spec).parameters())
