"""The step rules, with weight decay where it belongs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from .choices import OptimizerName
from .config import OptimizerConfig


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
