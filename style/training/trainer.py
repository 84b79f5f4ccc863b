"""One run: steps, validation, checkpoints, its model card; `train` is the one call."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from backbones.training.model_card import write_model_card
from backbones.training.run_folder import RunFolder, fingerprint
from backbones.training.schedule import ScheduleConfig, ScheduleName, rate_factor
from backbones.training.steps import Lesson, StepReport, StepResult, StepRun
from backbones.weights import load_backbone, resolve_device
from data.errors import ArgumentError
from data.files import printable
from data.progress import Progress
from data.tensors import read_metadata

from ..draft import NAME, TAPS
from .config import StyleOptimizerConfig, StyleTrainingConfig, Task
from .dataset import ContentPhotographs, drawn_styles, read_photographs
from .decoder import Drafting
from .distillation import Distillation

# What a run reports.


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(StepReport):
    """What was found at one checkpoint.

    Attributes:
        held_out: Figures on photographs kept out of training; `distance` decides what is best.
        pictures_per_second: In the steps alone.
    """

    held_out: Mapping[str, float]
    pictures_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleTrainingResult(StepResult):
    """What came of a run.

    Attributes:
        distance: Of the best weights on photographs kept out.
        missed: Photographs that could not be used, with the reason.
    """

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
    run = StepRun(
        lesson,
        folder,
        _digest(config, photographs),
        part="module",
        steps=config.steps,
        every=config.every,
        rate=lambda step: rate_at(config.optimizer, step, config.steps),
        weight_decay=config.optimizer.weight_decay,
        clip=config.optimizer.clip,
        averaging=config.averaging,
        metric="distance",
        larger=False,
        report=lambda facts, figures, steps_per_second: Report(
            **facts,
            held_out=figures,
            pictures_per_second=steps_per_second * config.data.batch,
        ),
    )
    position = run.load()
    # Nothing is written before it is known that the folder holds this run, or none.
    folder.write_config(config)
    position = run.go(position, report or (lambda _: None), progress or (lambda *_: None))
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


def _digest(config: StyleTrainingConfig, photographs: ContentPhotographs) -> str:
    """Of what decides a run's result: settings that matter, and the photographs."""
    contents = [each.numpy().tobytes() for each in photographs.training]
    return fingerprint(config, _OUTWARD, contents)
