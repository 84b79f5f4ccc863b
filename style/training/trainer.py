"""One run: steps, validation, checkpoints, its model card; `train` is the one call."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from backbones.training.averaging import WeightAverage
from backbones.training.checkpoint import Position, TrainingState
from backbones.training.model_card import write_model_card
from backbones.training.optimizers import check_finite, parameter_groups
from backbones.training.run_folder import RunFolder, fingerprint
from backbones.training.schedule import ScheduleConfig, ScheduleName, rate_factor
from backbones.weights import load_backbone, resolve_device
from data.errors import ArgumentError
from data.files import printable
from data.tensors import read_metadata

from ..draft import NAME, TAPS
from .config import StyleOptimizerConfig, StyleTrainingConfig, Task
from .dataset import ContentPhotographs, Progress, drawn_styles, read_photographs
from .decoder import Drafting
from .distillation import Distillation
from .lessons import Lesson

# What a run reports.


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found at one checkpoint.

    Attributes:
        step: Steps done.
        steps: Length of the run.
        losses: Means since the checkpoint before, by name.
        held_out: Figures on photographs kept out of training; `distance` decides what is best.
        rate: The last learning rate.
        seconds: Since the checkpoint before.
        pictures_per_second: In the steps alone.
        best: Whether these weights are the best so far.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    held_out: Mapping[str, float]
    rate: float
    seconds: float
    pictures_per_second: float
    best: bool

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleTrainingResult:
    """What came of a run.

    Attributes:
        out: Its folder.
        weights: The best weights.
        best_step: After which step.
        distance: Theirs on photographs kept out.
        missed: Photographs that could not be used, with the reason.
    """

    out: Path
    weights: Path
    best_step: int
    distance: float
    missed: tuple[tuple[Path, str], ...]


# The model card that a run writes about its best weights.

_TITLES = {Task.NETWORK: "a network for style", Task.DRAFT: "a decoder of drafts"}
_TEMPLATE = """# Model card: {title}

| | |
|---|---|
| file | `{file}`, {size:.1f} MB, SHA-256 `{digest}` |
| network | {architecture} |
{origin}
| trained on | {training_data}; {held_out} more kept out |
| crops | {crop}×{crop} px, {batch} a step |
| seed | {seed} |
| command | {command}, from random weights |
| steps | {done:,} of {steps:,}, the best after {best_step:,} |

## Figures on photographs kept out

0 is the target itself, 1 is as far away as the target varies. Every second batch is recoloured,
blurred, mixed or covered with noise, as in training.

| figure | value |
|---|---|
{figures}
"""


def write_card(
    config: StyleTrainingConfig, result: StyleTrainingResult, reports: Sequence[Report]
) -> None:
    """Write `model-card.md` into the run's folder.

    Args:
        config: Of the run.
        result: With the weights on disk, whose header holds what the card says.
        reports: Of every checkpoint.
    """
    says = read_metadata(result.weights)
    [best] = [each for each in reports if each.step == result.best_step]
    write_model_card(
        config.out,
        result.weights,
        _TEMPLATE,
        header=("architecture", "training_data", "seed"),
        title=_TITLES[config.task],
        origin="\n".join(f"| {key} | {says[key]} |" for key in _ORIGINS if key in says),
        command=f"`{says['command']}`" if says.get("command") else "not recorded",
        held_out=config.data.held_out,
        crop=config.data.crop,
        batch=config.data.batch,
        done=reports[-1].step,
        steps=config.steps,
        best_step=result.best_step,
        figures="\n".join(f"| {name} | {value:.4f} |" for name, value in best.held_out.items()),
    )


_ORIGINS = ("teacher", "encoder")


# Which lesson a config asks for, with what it needs.


def lesson_of(
    config: StyleTrainingConfig, photographs: ContentPhotographs, device: torch.device, command: str
) -> Lesson:
    """Put a lesson together.

    Args:
        config: Names it.
        photographs: What is learnt from.
        device: Where.
        command: That the header of the weights names.

    Raises:
        WeightsError: Weights that it needs are missing or damaged.
        ArgumentError: They are of an unfit network.
    """
    if config.task is Task.DRAFT:
        return _drafting(config, photographs, device, command)
    prose = _prose(config, photographs, command)
    teacher = load_backbone(config.teacher, weights=config.teacher_weights, device=device)
    prose["teacher"] = f"{teacher.weights.architecture}, SHA-256 {teacher.weights.sha256}"
    return Distillation(config, photographs, teacher.backbone, prose, device)


def _drafting(
    config: StyleTrainingConfig, photographs: ContentPhotographs, device: torch.device, command: str
) -> Lesson:
    """The lesson of a decoder."""
    prose = _prose(config, photographs, command)
    encoder = load_backbone(config.backbone, weights=config.encoder_weights, device=device)
    missing = sorted({*TAPS} - {tap.name for tap in encoder.backbone.spec.taps})
    if missing:
        raise ArgumentError(
            f"{config.backbone} has no tap {missing[0]}, which the decoder needs: expected a VGG, "
            "such as vgg_slim"
        )
    drawn = drawn_styles(config)
    prose["training_data"] += f"; {len(drawn)} drawn style pictures"
    prose |= {
        "architecture": NAME,
        "encoder": f"{encoder.weights.architecture}, SHA-256 {encoder.weights.sha256}",
    }
    return Drafting(config, photographs, drawn, encoder.backbone, prose, device)


def _prose(
    config: StyleTrainingConfig, photographs: ContentPhotographs, command: str
) -> dict[str, str]:
    """What the header of the weights says to readers."""
    count, folder = len(photographs.training), printable(config.data.photographs.name)
    return {
        "training_data": f"{count} photographs ({folder})",
        "seed": str(config.seed),
        "command": command,
        "licence": "MIT",
    }


# One run, from a checked config to weights: steps, validation, checkpoints.

_RATE_END = 1e-3  # of the largest learning rate
_OUTWARD = {"out", "device", "photographs", "teacher_weights", "encoder_weights", "every"}
"""Settings that say where something is, or how often it is looked at."""


def train(
    config: StyleTrainingConfig,
    report: Callable[[Report], None] | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> StyleTrainingResult:
    """Train what the config names, or go on with a run that was interrupted.

    Args:
        config: All settings.
        report: Told about each checkpoint.
        progress: Told how many steps of how many are done.
        command: What the weights' header gives as the command that made them.

    Raises:
        DatasetError: The photographs cannot be used.
        ArgumentError: A folder that cannot be written, a missing device, an unfit teacher.
        WeightsError: The teacher's weights are missing or damaged.
        TrainingError: A loss is no finite number, the last good weights are untouched; or the
            folder holds a run with other settings.
    """
    device = resolve_device(config.device)
    photographs = read_photographs(config.data)
    lesson = lesson_of(config, photographs, device, command)
    folder = RunFolder(config.out, Report, unit="step")
    run = _Run(config, lesson, folder, _digest(config, photographs))
    position = run.go(report or (lambda _: None), progress or (lambda *_: None))
    result = StyleTrainingResult(
        out=config.out,
        weights=folder.best,
        best_step=position.best_at,
        distance=math.inf if position.best is None else position.best,
        missed=photographs.missed,
    )
    write_card(config, result, folder.reports(position.done))
    return result


def rate_at(config: StyleOptimizerConfig, step: int, steps: int) -> float:
    """The learning rate of a step: up in a line, down half a cosine wave.

    Args:
        config: The largest rate, and its warm-up.
        step: Steps done so far, 0 … steps - 1.
        steps: Length of the run.
    """
    curve = ScheduleConfig(name=ScheduleName.COSINE, warmup=config.warmup)
    factor = rate_factor(curve, step, epochs=1, steps_per_epoch=steps, end=_RATE_END)
    return config.rate * factor


class _Run:
    """Step after step."""

    def __init__(
        self, config: StyleTrainingConfig, lesson: Lesson, folder: RunFolder[Report], digest: str
    ) -> None:
        self._config, self._lesson, self._folder = config, lesson, folder
        self._parameters = [p for p in lesson.module.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(
            parameter_groups([lesson.module], config.optimizer.weight_decay)
        )
        self._average = WeightAverage(lesson.module, config.averaging)
        self._state = TrainingState({"module": lesson.module}, self._optimizer, self._average)
        self._checkpoint = folder.checkpoint(digest)
        self._rate = 0.0

    def go(self, report: Callable[[Report], None], progress: Progress) -> Position:
        """Take the steps that are left."""
        position = self._checkpoint.load(self._state)
        # Nothing is written before it is known that the folder holds this run, or none.
        self._folder.write_config(self._config)
        steps, every = self._config.steps, self._config.every
        while position.done < steps:
            until = min(steps, (position.done // every + 1) * every)
            started = time.perf_counter()
            sums: dict[str, float] = {}
            for step in range(position.done, until):
                for name, value in self._step(step).items():
                    sums[name] = sums.get(name, 0.0) + value
                progress(step + 1, steps)
            count = until - position.done
            means = {name: value / count for name, value in sums.items()}
            position, done = self._complete(position, until, means, count, started)
            report(done)
        return position

    def _step(self, step: int) -> dict[str, float]:
        """One step; the losses before it."""
        self._rate = rate_at(self._config.optimizer, step, self._config.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate
        self._optimizer.zero_grad()
        losses = self._lesson.losses(step)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        check_finite(values, step)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, self._config.optimizer.clip)
        check_finite({"gradient": float(norm)}, step)
        self._optimizer.step()
        self._average.update(self._lesson.module)
        return values

    def _complete(
        self,
        before: Position,
        step: int,
        losses: dict[str, float],
        count: int,
        started: float,
    ) -> tuple[Position, Report]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        stepped = time.perf_counter() - started
        module = deepcopy(self._lesson.module).eval()
        module.load_state_dict(self._average.averaged(self._lesson.module))
        held_out = self._lesson.validate(module)
        distance = held_out["distance"]
        best = before.best is None or distance < before.best
        tensors, metadata = self._lesson.weights(module)
        self._folder.write_weights(tensors, metadata | {"step": str(step)}, best=best)
        done = Report(
            step=step,
            steps=self._config.steps,
            losses=losses,
            held_out=held_out,
            rate=self._rate,
            seconds=time.perf_counter() - started,
            pictures_per_second=count * self._lesson.seen / stepped,
            best=best,
        )
        self._folder.append(done, after=before.done)
        position = Position(step, distance, step) if best else replace(before, done=step)
        self._checkpoint.save(self._state, position)
        return position, done


def _digest(config: StyleTrainingConfig, photographs: ContentPhotographs) -> str:
    """Of what decides a run's result: settings that matter, and the photographs."""
    contents = [each.numpy().tobytes() for each in photographs.training]
    return fingerprint(config, _OUTWARD, contents)
