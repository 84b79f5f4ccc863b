"""Training what a compressed network is made of; the network that it was made of is the teacher.

S. Han et al. (2016) train again what pruning has left, and then the shared values, each by the sum
of its weights' gradients. Here the answers of the network as it was take the place of names: a
recogniser's embedding, or the feature maps that style is taken from. So any pictures serve, and
what is asked for is the very thing that compression must not change.

Zeros stay zeros and shared weights stay shared, since the numbers of each tensor's form are what is
trained. Beside them biases, slopes and the factors of norms are; running statistics stay.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ArgumentError, TrainingError
from data.progress import Progress

from ..network import Backbone
from ..spec import Alignment
from .forms import Form, detached, moved

_LEAST_SIZE = 1e-3
"""What the size of numbers that are nearly zero counts as, by which their steps are measured."""
_HELD_OUT = 10
_MOST_HELD_OUT = 128
LEAST_PICTURES = 20
"""Fewer cannot be parted into those that teach and those that judge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retraining:
    """What a compressed network is taught by.

    Attributes:
        pictures: (N, 3, H, W) uint8, as the network wants its faces aligned; every tenth, at most
            128, judges and teaches nothing.
        steps: Of the optimiser; with 0 the pictures only judge.
        batch: Pictures a step.
        rate: Of a step at first, of the size of the numbers; it falls to 0 along a cosine.
        seed: Of the order of the pictures, and of which are mirrored.

    Raises:
        ArgumentError: A number is out of its range, or there are too few pictures.
    """

    pictures: Tensor
    steps: int = 200
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.pictures) < LEAST_PICTURES:
            raise ArgumentError(
                f"{len(self.pictures)} usable photographs are too few to train by; expected at "
                f"least {LEAST_PICTURES}"
            )
        if self.steps < 0 or self.batch < 1:
            raise ArgumentError("steps and batch are counts; expected 0 or more, and 1 or more")
        if not 0 < self.rate <= 1:
            raise ArgumentError(f"rate is {self.rate}; expected above 0 and at most 1")

    def summary(self) -> str:
        """How long, and by what, for a file's header."""
        return (
            f"{self.steps} steps a stage of {self.batch} out of {len(self.pictures)} pictures, "
            f"rate {self.rate:g}, seed {self.seed}; the original was the teacher"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuned:
    """What came of training.

    Attributes:
        tensors: By their names in the file, those without a form too.
        forms: By name.
        before: Median cosine to the original's answers, of the pictures that judge, untrained.
        after: The same of what is returned; never lower.
    """

    tensors: dict[str, Tensor]
    forms: dict[str, Form]
    before: float
    after: float


def tune(
    original: Backbone,
    tensors: Mapping[str, Tensor],
    forms: Mapping[str, Form],
    retraining: Retraining,
    *,
    trained: frozenset[str],
    pupil: Backbone | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Train the numbers of forms, and the plain tensors beside them.

    Args:
        original: The network as it was, frozen and in eval mode; it teaches, lends its layers, and
            computes where it lies.
        tensors: By name in the file, as they were, on the CPU; perhaps more than the network has.
        forms: By name in the file; what the compressed network computes with instead.
        retraining: The pictures, and how long.
        trained: The network's names of the parameters that training may change.
        pupil: What computes with the compressed tensors; None: layers as the original's.
        progress: Told how many steps of how many are done.

    Returns:
        The trained numbers, on the CPU; those given where training made the answers no better, and
        of tensors that the network does not use.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    own = original.state_dict()  # a file may hold more: what its publisher had, or a pair unit
    keys = {name: key for name in tensors if (key := original.own_key(name)) in own if key}
    device = next(original.parameters()).device
    used = {name: moved(form, device) for name, form in forms.items() if name in keys}
    leaves = {name: detached(form) for name, form in used.items()}
    plain = {
        name: tensors[name].detach().float().to(device).clone().requires_grad_(True)
        for name, key in keys.items()
        if name not in forms and key in trained
    }
    teacher, student = _Answers(original), _Answers(pupil or original)

    def replaced() -> dict[str, Tensor]:
        made = {name: used[name].with_numbers(parts).tensor() for name, parts in leaves.items()}
        return {f"backbone.{keys[name]}": tensor for name, tensor in (made | plain).items()}

    judging = retraining.pictures[::_HELD_OUT][:_MOST_HELD_OUT]
    rest = torch.ones(len(retraining.pictures), dtype=torch.bool)
    rest[torch.arange(0, len(rest), _HELD_OUT)[:_MOST_HELD_OUT]] = False
    teaching = retraining.pictures[rest]

    def judged() -> tuple[float, float]:
        with torch.no_grad():
            return _judge(teacher, student, replaced(), judging, retraining.batch, device)

    loss_before, before = judged()
    if retraining.steps == 0:
        return Tuned(tensors=dict(tensors), forms=dict(forms), before=before, after=before)
    numbers = [*(part for parts in leaves.values() for part in parts), *plain.values()]
    sizes = [float(part.detach().square().mean().sqrt()) for part in numbers]
    optimiser = torch.optim.Adam(
        [
            {"params": [part], "lr": retraining.rate * max(size, _LEAST_SIZE)}
            for part, size in zip(numbers, sizes, strict=True)
        ]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, retraining.steps)
    # A pupil whose answers training has spoilt is not kept, so what is returned is never worse.
    draw = torch.Generator().manual_seed(retraining.seed)
    for step in range(retraining.steps):
        drawn = torch.randint(len(teaching), (retraining.batch,), generator=draw)
        mirrored = torch.rand(retraining.batch, 1, 1, 1, generator=draw) < 0.5
        pictures = _floats(teaching[drawn])
        pictures = torch.where(mirrored, pictures.flip(3), pictures).to(device)
        with torch.no_grad():
            wanted = teacher(pictures)
        given = torch.func.functional_call(student, replaced(), (pictures,))
        loss = _distance(given, wanted)
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"the loss is no longer finite at step {step + 1}: take a lower rate"
            )
        optimiser.zero_grad()
        torch.autograd.backward(loss, inputs=numbers)
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, retraining.steps)
    loss_after, after = judged()
    if not loss_after < loss_before:
        return Tuned(tensors=dict(tensors), forms=dict(forms), before=before, after=before)
    new = {
        name: form.with_numbers([part.detach().cpu() for part in leaves[name]])
        if name in leaves
        else form
        for name, form in forms.items()
    }
    kept = {name: tensor.detach().cpu() for name, tensor in plain.items()}
    return Tuned(tensors=dict(tensors) | kept, forms=new, before=before, after=after)


class _Answers(nn.Module):
    """What of a network must stay as it was: unit embeddings, or maps that style is taken from."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        spec = backbone.spec
        self._taps = tuple(dict.fromkeys((*spec.content_taps, *spec.style_taps)))
        self._faces = spec.alignment is not Alignment.NONE

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] → [(B, D)], or [(B, C, H', W'), …]."""
        if self._faces:
            return [F.normalize(self.backbone.embedding(pictures))]
        return list(self.backbone.features(pictures, self._taps).values())


def _distance(given: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Squared error in units of what the wanted answers differ among themselves, averaged.

    The embeddings of dlib's network all lie within a narrow cone, where 1 - cosine says little.
    """
    shares = []
    for one, other in zip(given, wanted, strict=True):
        spread = (other - other.mean(0)).square().sum()
        # Of one picture alone, or of equal ones, there is no spread to measure by.
        spread = torch.where(spread > 0, spread, other.square().sum().clamp(min=1e-12))
        shares.append((one - other).square().sum() / spread)
    return torch.stack(shares).mean()


def _judge(
    teacher: nn.Module,
    student: nn.Module,
    replaced: dict[str, Tensor],
    pictures: Tensor,
    batch: int,
    device: torch.device,
) -> tuple[float, float]:
    """The mean loss, and the median cosine of a picture's two answers (averaged over taps)."""
    losses, cosines = [], []
    for part in torch.split(pictures, batch):
        images = _floats(part).to(device)
        wanted = teacher(images)
        given = torch.func.functional_call(student, replaced, (images,))
        losses.append(float(_distance(given, wanted)) * len(part))
        alike = [
            F.cosine_similarity(one.flatten(1), other.flatten(1))
            for one, other in zip(given, wanted, strict=True)
        ]
        cosines.append(torch.stack(alike).mean(0))
    return sum(losses) / len(pictures), float(torch.cat(cosines).median())


def _floats(pictures: Tensor) -> Tensor:
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
