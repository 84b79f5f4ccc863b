"""Whether the gradient that a run follows is the derivative of the loss that it reports.

The two-sided difference (L(θ + εv) - L(θ - εv)) / 2ε against gᵀv, in float64, for every parameter
tensor by itself. v joins the gradient's own direction, which shows a wrong length, and a random
one, which shows what the gradient lacks. What is random or changes by itself is off: augmentation,
mixup, dropout, half precision. Weight decay is part of the loss as λ/2 · ‖w‖², as L2
regularisation.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.network import Backbone
from backbones.training.distributed import join_team
from data.augmentation import Augmentation

from .batches import Batch, BatchStream, build_sampler
from .choices import MixupPlace, Precision
from .config import MixupConfig, TrainingConfig
from .distillation import FeatureMaps, Lessons, Tapped, load_teacher, taps_of
from .epoch import Parts, ProgressCallback, build_network, build_parts
from .reports import TrainingProgress
from .trainer import read_data, run_folder, teaching

TOLERANCE = 1e-5
"""Relative error up to which a gradient counts as right: rounding alone gives 1e-10 to 1e-7, a kink
between both sides (of a ReLU, of a margin) up to 1e-5, a mistake 1e-2 and more."""

_STEP = 1e-6
_MOST_PHOTOGRAPHS = 8
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """One parameter tensor.

    Attributes:
        name: As the network's or the objective's state has it.
        error: |analytic - numeric| / (|analytic| + |numeric|) of the derivative, 0 … 1; 0 where
            neither moves the loss.
        reached: Whether the loss depends on it at all on this batch.
    """

    name: str
    error: float
    reached: bool


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """All of them.

    Attributes:
        loss: Of the batch, regularisation included.
        photographs: In the batch.
        tensors: In the order of the network's state, then of the objective's.
    """

    loss: float
    photographs: int
    tensors: tuple[TensorCheck, ...]

    @property
    def worst(self) -> TensorCheck:
        """The tensor with the largest error."""
        return max(self.tensors, key=lambda each: each.error)

    @property
    def right(self) -> bool:
        """Whether every error is within `TOLERANCE`."""
        return self.worst.error <= TOLERANCE


def check_gradient(
    config: TrainingConfig, progress: ProgressCallback | None = None
) -> GradientCheck:
    """Check a run's gradient on one batch, before its first step; nothing is trained.

    The batch is the run's first, of which a few photographs are enough.

    Args:
        config: Of the run. Its folder gets a teacher's answers, as the run itself would write them.
        progress: Told about photographs and tensors as they are done.

    Raises:
        AppError: As `trainer.train`.
    """
    tell = progress or (lambda _: None)
    config = _still(config)
    _, device = join_team(config.device)
    teachers = [load_teacher(told.weights, device) for told in config.taught_by]
    network = build_network(config, device)
    data = read_data(config, device, tell)
    sampler = build_sampler(data.training, config)
    lessons = teaching(config, teachers, data, run_folder(config), tell)
    parts = build_parts(config, network, lessons, people=len(data.training.people))
    stream = BatchStream(data.training, sampler, lessons.targets, config, device)
    batch = next(iter(stream.epoch(1)))
    return measure(parts, batch, lessons, config, tell)


def measure(
    parts: Parts,
    batch: Batch,
    lessons: Lessons,
    config: TrainingConfig,
    tell: ProgressCallback = lambda _: None,
) -> GradientCheck:
    """The same for parts that are built, which stay as they are.

    Args:
        parts: Network and objective.
        batch: Of which the first photographs are taken.
        lessons: Of the teachers.
        config: For the decay of the weights.
        tell: Told about tensors.
    """
    network, objective = deepcopy(parts.network).double(), deepcopy(parts.objective).double()
    network.train()
    for module in (*network.modules(), *objective.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss = _loss_of(network, objective, _few(batch), lessons, config)
    named = [(f"network.{name}", p) for name, p in network.named_parameters()]
    named += [(f"objective.{name}", p) for name, p in objective.named_parameters()]
    named = [(name, p) for name, p in named if p.requires_grad]
    value = loss()
    gradients = torch.autograd.grad(value, [p for _, p in named], allow_unused=True)
    generator = torch.Generator().manual_seed(config.seed)
    checks = []
    for number, ((name, parameter), gradient) in enumerate(
        zip(named, gradients, strict=True), start=1
    ):
        known = torch.zeros_like(parameter) if gradient is None else gradient
        checks.append(_compare(name, parameter, known, loss, generator))
        tell(TrainingProgress("gradient", number, len(named)))
    return GradientCheck(
        float(value.detach()), min(_MOST_PHOTOGRAPHS, len(batch.labels)), tuple(checks)
    )


def _still(config: TrainingConfig) -> TrainingConfig:
    """The same run, with nothing in it that is drawn or rounded."""
    chances: dict[str, Any] = {
        each.name: 0.0
        for each in fields(Augmentation)
        if each.name not in {"blur_sigma", "lowest_resolution", "jpeg_quality", "occlusion_area"}
    }
    return replace(
        config,
        augment=replace(config.augment, **chances),
        mixup=MixupConfig(where=MixupPlace.NONE),
        dropout=0.0,
        precision=Precision.FLOAT32,
        compile=False,
        freeze=0,
    )


def _few(batch: Batch) -> Batch:
    rows = slice(0, _MOST_PHOTOGRAPHS)
    targets = None if batch.targets is None else batch.targets[rows].double()
    return Batch(batch.images[rows].double(), batch.labels[rows], targets)


def _loss_of(
    network: Backbone,
    objective: nn.Module,
    batch: Batch,
    lessons: Lessons,
    config: TrainingConfig,
) -> Callable[[], Tensor]:
    """The whole loss of a batch, as a function of the parameters as they are when it is called."""
    taps = dict.fromkeys((*taps_of(config), *network.spec.auxiliary_taps))
    tapped = Tapped(network, tuple(taps))
    targets, wanted = batch.targets, dict[str, Tensor]()
    if lessons.watching is not None:
        answers, wanted = lessons.watching(batch.images.float())
        before = [] if targets is None else [targets]
        targets = torch.cat([*before, answers.double()], dim=1)
    decay = config.optimizer.weight_decay
    decaying = [p for module in (network, objective) for p in module.parameters() if p.ndim > 1]

    def loss() -> Tensor:
        embeddings, maps = tapped(batch.images)
        total: Tensor = objective(embeddings, batch.labels, targets, FeatureMaps(maps, wanted))[0]
        return total + decay / 2 * sum(p.square().sum() for p in decaying)

    return loss


def _compare(
    name: str,
    parameter: nn.Parameter,
    gradient: Tensor,
    loss: Callable[[], Tensor],
    generator: torch.Generator,
) -> TensorCheck:
    random = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    random = random.to(parameter.device)
    direction = F.normalize(gradient.flatten(), dim=0) + F.normalize(random.flatten(), dim=0)
    direction = direction.view_as(parameter)
    before = parameter.detach().clone()
    sides = []
    with torch.no_grad():
        for side in (_STEP, -_STEP):
            parameter.copy_(before + side * direction)
            sides.append(float(loss()))
        parameter.copy_(before)
    numeric = (sides[0] - sides[1]) / (2 * _STEP)
    analytic = float((gradient * direction).sum())
    size = abs(numeric) + abs(analytic)
    # Below this is what rounding leaves of a difference of two losses.
    floor = max(_NOTHING, 1e-9 * max(1.0, abs(sides[0])))
    if size <= floor:
        return TensorCheck(name, 0.0, reached=False)
    return TensorCheck(name, abs(analytic - numeric) / size, reached=True)
