"""Beginning with what another network has learnt, and letting go of it stage by stage."""

from pathlib import Path

from backbones.network import Backbone
from backbones.registry import available
from backbones.weights import find_weights, initialise, none_at_hand, weights_file
from data.errors import ArgumentError

from .config import TrainingConfig


def initial_weights(config: TrainingConfig) -> Path | None:
    """The file that a run begins with; None: random weights.

    Raises:
        ArgumentError: There is no such file, or a network of another name is meant.
        WeightsError: It is of another backbone; or no weights of that name are at hand, and the
            message says how to get them.
    """
    if config.init is None:
        return None
    named = not config.init.exists() and config.init.name in available()
    if named and config.init.name != config.backbone:
        raise ArgumentError(
            f"init names the network {config.init.name}, and the backbone is {config.backbone}: "
            "name the same one, or a file of weights"
        )
    if not named:
        return weights_file(config.init, config.backbone).path
    found = find_weights(config.backbone)
    if found is None:
        raise none_at_hand(config.backbone, option="--init FILE")
    return found.path


def begin(network: Backbone, weights: Path | None) -> None:
    """Give a network with random weights those that a run begins with, if any.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: The file is damaged, or does not fit before the head.
    """
    if weights is not None:
        initialise(network, weights)


def freeze_stages(network: Backbone, epoch: int, *, every: int) -> int:
    """Let the stages learn that may, in this epoch, and keep the others as they are.

    Gradual unfreezing from the output on (Howard and Ruder 2018, ULMFiT, section 3.3). A frozen
    stage's norms keep their statistics too.

    Args:
        network: In training mode.
        epoch: Counted from 1.
        every: Epochs between two stages; 0 freezes nothing.

    Returns:
        How many stages are frozen.
    """
    taps = [tap.name for tap in network.spec.taps]
    frozen = max(0, len(taps) - (epoch - 1) // every) if every else 0
    network.freeze(up_to=taps[frozen - 1] if frozen else None)
    return frozen
