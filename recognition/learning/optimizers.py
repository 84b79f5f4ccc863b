"""Step rules, learning rates, and which layers learn when."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from backbones.network import Backbone
from backbones.registry import available
from backbones.weights import find_weights, initialise, none_at_hand, weights_file
from data.errors import ArgumentError

from .choices import OptimizerName, ScheduleName
from .config import OptimizerConfig, ScheduleConfig, TrainingConfig

# The step rules, with weight decay where it belongs.


def build_optimizer(config: OptimizerConfig, modules: Iterable[nn.Module]) -> Optimizer:
    """Build the optimiser over all parameters of some modules.

    Args:
        config: The rule and its numbers.
        modules: Whose parameters are trained.

    Returns:
        An optimiser with two groups; only the first, of weight matrices and kernels, decays.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        # Biases, slopes and the scales of norms have one dimension.
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = config.peak_rate
    match config.name:
        case OptimizerName.SGD:
            return torch.optim.SGD(groups, rate)
        case OptimizerName.MOMENTUM:
            return torch.optim.SGD(groups, rate, momentum=config.momentum)
        case OptimizerName.NESTEROV:
            return torch.optim.SGD(groups, rate, momentum=config.momentum, nesterov=True)
        case OptimizerName.ADAGRAD:
            return torch.optim.Adagrad(groups, rate)
        case OptimizerName.ADADELTA:
            return torch.optim.Adadelta(groups, rate)
        case OptimizerName.RMSPROP:
            return torch.optim.RMSprop(groups, rate)
        case OptimizerName.ADAM:
            return torch.optim.Adam(groups, rate)
        case OptimizerName.ADAMW:
            return torch.optim.AdamW(groups, rate)


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Change how much of the last steps the next one keeps, where a rule keeps any.

    Args:
        group: One of an optimiser's `param_groups`: SGD's momentum, where it has one, or Adam's β₁.
        momentum: 0 … 1.
    """
    if group.get("momentum"):
        group["momentum"] = momentum
    elif "betas" in group:
        group["betas"] = (momentum, group["betas"][1])


# The learning rate as a pure function of the step: nothing to save, nothing to resume.

_WARMUP_START = 0.04
_CYCLE_END = 1e-3
_MOST_MOMENTUM, _LEAST_MOMENTUM = 0.95, 0.85


def rate_factor(config: ScheduleConfig, step: int, *, epochs: int, steps_per_epoch: int) -> float:
    """The factor on the largest learning rate at one optimiser step.

    Args:
        config: The curve.
        step: Steps done so far, 0 … epochs * steps_per_epoch - 1.
        epochs: Length of the run.
        steps_per_epoch: Length of an epoch.

    Returns:
        A number in (0, 1].
    """
    total = epochs * steps_per_epoch
    warmup = round(config.warmup * total)
    if step < warmup and config.name is ScheduleName.ONE_CYCLE:
        return _cosine(1 - (step + 1) / warmup, _WARMUP_START)
    if step < warmup:
        return _WARMUP_START + (1 - _WARMUP_START) * (step + 1) / warmup
    epoch = step // steps_per_epoch
    progress = (step - warmup) / max(1, total - warmup)
    match config.name:
        case ScheduleName.CONSTANT:
            return 1.0
        case ScheduleName.INVERSE:
            return 1 / (1 + config.factor * epoch)
        case ScheduleName.EXPONENTIAL:
            return float(config.factor**epoch)
        case ScheduleName.STEP:
            return float(config.factor ** (epoch // config.every))
        case ScheduleName.COSINE:
            return _cosine(progress, 0.0)
        case ScheduleName.ONE_CYCLE:
            return _cosine(progress, _CYCLE_END)


def momentum_at(config: ScheduleConfig, factor: float) -> float | None:
    """The momentum that goes with a rate; None where it stays as it is.

    One-cycle (Smith 2018, *A disciplined approach to neural network hyper-parameters*, section 4.2)
    lets momentum fall where the rate rises, and rise where it falls: long steps need no run-up.

    Args:
        config: The curve.
        factor: As `rate_factor` gives it.
    """
    if config.name is not ScheduleName.ONE_CYCLE:
        return None
    return _MOST_MOMENTUM - (_MOST_MOMENTUM - _LEAST_MOMENTUM) * factor


def _cosine(progress: float, end: float) -> float:
    """Half a cosine wave from 1 to `end` (Loshchilov and Hutter 2017, SGDR, without restarts)."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * progress))


# Beginning with what another network has learnt, and letting go of it stage by stage.


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
