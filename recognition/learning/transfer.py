"""Beginning with what another network has learnt, and letting go of it stage by stage."""

from pathlib import Path

from backbones.network import Backbone
from backbones.weights import find_weights, initialise

from .config import TrainingConfig


def initial_weights(config: TrainingConfig) -> Path | None:
    """The file that a run begins with; None: random weights.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is of another backbone.
    """
    if config.init is None:
        return None
    by_name = config.init.name == config.backbone and not config.init.exists()
    found = find_weights(config.backbone, explicit=None if by_name else config.init)
    return config.init if found is None else found.path


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
    for number, (_, layers) in enumerate(network.stages_through(taps[-1])):
        for layer in layers:
            layer.requires_grad_(number >= frozen)
            if number < frozen:
                layer.eval()
    return frozen
