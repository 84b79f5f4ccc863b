"""Step rules: how a gradient becomes a step, with weight decay where it belongs.

Help names the rules without torch, which is imported when one is built.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from data.config import Configuration, Within
from data.errors import TrainingError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class OptimizerName(StrEnum):
    """How a gradient becomes a step."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    NESTEROV = "nesterov"
    ADAGRAD = "adagrad"
    ADADELTA = "adadelta"
    RMSPROP = "rmsprop"
    ADAM = "adam"
    ADAMW = "adamw"


DEFAULT_RATES = {
    OptimizerName.SGD: 0.1,
    OptimizerName.MOMENTUM: 0.02,
    OptimizerName.NESTEROV: 0.02,
    OptimizerName.ADAGRAD: 0.01,
    OptimizerName.ADADELTA: 1.0,
    OptimizerName.RMSPROP: 1e-3,
    OptimizerName.ADAM: 1e-3,
    OptimizerName.ADAMW: 1e-3,
}
"""The largest learning rate by rule. A step of SGD is the gradient times the rate; with momentum
0.9 ten such steps add up; AdaGrad's steps shrink from the rate on; AdaDelta finds its own length,
and the rate is a factor on it; the others move each number by about the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig(Configuration):
    """How a gradient becomes a step.

    Attributes:
        name: The rule.
        rate: The largest learning rate of the run; the schedule scales it. None: `DEFAULT_RATES`,
            for what is small for one rule does not move another.
        weight_decay: Applied to weight matrices alone, never to biases and norms.
        momentum: Of SGD with momentum, and Nesterov.
        clip: Largest norm of the whole gradient; None: as it is.
    """

    name: OptimizerName = OptimizerName.ADAMW
    rate: Annotated[float, Within(0, 100, above=True)] | None = None
    weight_decay: Annotated[float, Within(0, 10)] = 0.05
    momentum: Annotated[float, Within(0, 0.9999)] = 0.9
    clip: Annotated[float, Within(0, 10**9, above=True)] | None = 5.0

    @property
    def peak_rate(self) -> float:
        """The largest learning rate of the run, by the rule's default where none is given."""
        return DEFAULT_RATES[self.name] if self.rate is None else self.rate


def parameter_groups(modules: "Iterable[nn.Module]", weight_decay: float) -> list[dict[str, Any]]:
    """What is trained of some modules: weight matrices and kernels, which decay, and the rest."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 1]
    # Biases, slopes and the scales of norms have one dimension.
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(config: OptimizerConfig, modules: "Iterable[nn.Module]") -> "Optimizer":
    """Build the optimiser over all parameters of some modules.

    Args:
        config: The rule and its numbers.
        modules: Whose parameters are trained.

    Returns:
        An optimiser with two groups; only the first, of weight matrices and kernels, decays.
    """
    import torch

    groups = parameter_groups(modules, config.weight_decay)
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


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Stop a run whose losses or gradient have become infinite or not a number.

    Args:
        values: By their names.
        step: Counted from 0.

    Raises:
        TrainingError: One of them is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} became {value} in step {step + 1}: lower the learning rate; the "
                "weights of the last checkpoint are kept"
            )
