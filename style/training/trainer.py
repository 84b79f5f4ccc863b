"""One run: steps, validation, checkpoints, its model card; `train` is the one call."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from backbones.averaging import WeightAverage
from backbones.stepping import flatten, restore, under
from backbones.weights import load_backbone, resolve_device
from data.config import to_toml
from data.errors import ArgumentError, TrainingError
from data.files import printable, private_folder, sha256_of, write_atomic
from data.tensors import read_metadata, read_tensors, write_tensors

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


# Where a run stands, in one file that is whole or absent.
#
# `state.safetensors` holds the tensors and, in its header, the rest as JSON; replacing it is the
# one step that completes a checkpoint. What is drawn at random follows from the seed and the
# step's number, so no generator has a state to keep, and a run that goes on ends with the same
# bytes.

STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """Where a run stands between two steps.

    Attributes:
        step: Steps done.
        best: The least distance so far; None before the first validation.
        best_step: After which step that was.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """What changes from step to step."""

    module: nn.Module
    optimizer: Optimizer
    average: WeightAverage


def save_state(folder: Path, parts: TrainingState, position: TrainingPosition, digest: str) -> None:
    """Write the state; a kill at any moment leaves the old one or the new one.

    Args:
        folder: The run's.
        parts: What to save.
        position: After which step.
        digest: Tells whether a run found later has the same settings.
    """
    tensors, numbers = flatten(parts.optimizer)
    tensors |= {f"module.{name}": value for name, value in parts.module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in parts.average.sums.items()}
    document = asdict(position) | {
        "config": digest,
        "average_steps": parts.average.steps,
        "optimizer": numbers,
    }
    text = json.dumps(document, indent=1, sort_keys=True)
    write_tensors(folder / STATE, tensors, {"state": text})


def load_state(folder: Path, parts: TrainingState, digest: str) -> TrainingPosition:
    """Bring a run back to where its last checkpoint left it.

    Returns:
        That position; step 0 where the folder holds no state.

    Raises:
        TrainingError: The state is that of a run with other settings.
        WeightsError: The file is damaged.
    """
    if not (folder / STATE).is_file():
        return TrainingPosition()
    file = read_tensors(folder / STATE)
    document = json.loads(file.metadata["state"])
    if document["config"] != digest:
        raise TrainingError(
            f"{folder} holds a run with other settings or photographs: give another folder for "
            "this run, or repeat that one's settings to go on with it"
        )
    parts.module.load_state_dict(under("module.", file.tensors))
    restore(parts.optimizer, file.tensors, document["optimizer"])
    parts.average.steps = document["average_steps"]
    for name, value in under("average.", file.tensors).items():
        parts.average.sums[name].copy_(value)
    return TrainingPosition(document["step"], document["best"], document["best_step"])


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
    text = _TEMPLATE.format(
        title=_TITLES[config.task],
        file=result.weights.name,
        size=result.weights.stat().st_size / 1e6,
        digest=sha256_of(result.weights),
        origin="\n".join(f"| {key} | {says[key]} |" for key in _ORIGINS if key in says),
        **{key: says.get(key, "not recorded") for key in ("architecture", "training_data", "seed")},
        command=f"`{says['command']}`" if says.get("command") else "not recorded",
        held_out=config.data.held_out,
        crop=config.data.crop,
        batch=config.data.batch,
        done=reports[-1].step,
        steps=config.steps,
        best_step=result.best_step,
        figures="\n".join(f"| {name} | {value:.4f} |" for name, value in best.held_out.items()),
    )
    write_atomic(config.out / "model-card.md", text.encode())


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

_RATE_BEGIN, _RATE_END = 0.04, 1e-3  # of the largest learning rate
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
    private_folder(config.out)  # nothing is written before everything has been checked
    write_atomic(config.out / "config.toml", to_toml(config).encode())
    run = _Run(config, lesson, _digest(config, photographs))
    position = run.go(report or (lambda _: None), progress or (lambda *_: None))
    result = StyleTrainingResult(
        out=config.out,
        weights=config.out / "best.safetensors",
        best_step=position.best_step,
        distance=math.inf if position.best is None else position.best,
        missed=photographs.missed,
    )
    write_card(config, result, run.reports(position.step))
    return result


def rate_factor(config: StyleOptimizerConfig, step: int, steps: int) -> float:
    """The factor on the largest learning rate at a step: up in a line, down half a cosine wave.

    Args:
        config: Its warm-up.
        step: Steps done so far, 0 … steps - 1.
        steps: Length of the run.
    """
    warmup = round(config.warmup * steps)
    if step < warmup:
        return _RATE_BEGIN + (1 - _RATE_BEGIN) * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return _RATE_END + (1 - _RATE_END) * 0.5 * (1 + math.cos(math.pi * along))


class _Run:
    """Step after step."""

    def __init__(self, config: StyleTrainingConfig, lesson: Lesson, digest: str) -> None:
        self._config, self._lesson, self._digest = config, lesson, digest
        self._parameters = [p for p in lesson.module.parameters() if p.requires_grad]
        self._parts = TrainingState(
            lesson.module,
            torch.optim.AdamW(_groups(self._parameters, config.optimizer.weight_decay)),
            WeightAverage(lesson.module, config.averaging),
        )
        self._metrics = config.out / "metrics.jsonl"
        self._rate = 0.0

    def go(self, report: Callable[[Report], None], progress: Progress) -> TrainingPosition:
        """Take the steps that are left."""
        position = load_state(self._config.out, self._parts, self._digest)
        steps, every = self._config.steps, self._config.every
        while position.step < steps:
            until = min(steps, (position.step // every + 1) * every)
            started = time.perf_counter()
            sums: dict[str, float] = {}
            for step in range(position.step, until):
                for name, value in self._step(step).items():
                    sums[name] = sums.get(name, 0.0) + value
                progress(step + 1, steps)
            count = until - position.step
            means = {name: value / count for name, value in sums.items()}
            position, done = self._complete(position, until, means, count, started)
            report(done)
        return position

    def reports(self, step: int) -> list[Report]:
        """Those of the checkpoints up to a step; a line past it was never completed.

        Raises:
            TrainingError: Lines are missing or damaged.
        """
        if step == 0:
            return []
        try:
            lines = self._metrics.read_text(encoding="utf-8").splitlines()
            found = [Report(**json.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                f"{self._metrics} is damaged: begin the run again in another folder"
            ) from error
        return [each for each in found if each.step <= step]

    def _step(self, step: int) -> dict[str, float]:
        """One step; the losses before it."""
        optimizer = self._parts.optimizer
        self._rate = self._config.optimizer.rate * rate_factor(
            self._config.optimizer, step, self._config.steps
        )
        for group in optimizer.param_groups:
            group["lr"] = self._rate
        optimizer.zero_grad()
        losses = self._lesson.losses(step)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        _check_finite(values, step)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, self._config.optimizer.clip)
        _check_finite({"gradient": float(norm)}, step)
        optimizer.step()
        self._parts.average.update(self._parts.module)
        return values

    def _complete(
        self,
        before: TrainingPosition,
        step: int,
        losses: dict[str, float],
        count: int,
        started: float,
    ) -> tuple[TrainingPosition, Report]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        stepped = time.perf_counter() - started
        module = deepcopy(self._parts.module).eval()
        module.load_state_dict(self._parts.average.averaged(self._parts.module))
        held_out = self._lesson.validate(module)
        distance = held_out["distance"]
        best = before.best is None or distance < before.best
        tensors, metadata = self._lesson.weights(module)
        for name in ("last", *(["best"] if best else [])):
            path = self._config.out / f"{name}.safetensors"
            write_tensors(path, tensors, metadata | {"step": str(step)})
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
        self._append(done, before.step)
        position = TrainingPosition(step, distance, step) if best else replace(before, step=step)
        save_state(self._config.out, self._parts, position, self._digest)
        return position, done

    def _append(self, done: Report, before: int) -> None:
        reports = [*self.reports(before), done]
        lines = "".join(json.dumps(each.as_json(), sort_keys=True) + "\n" for each in reports)
        write_atomic(self._metrics, lines.encode())


def _groups(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, object]]:
    """Kernels, which decay, and biases, which do not."""
    kernels = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _check_finite(values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} became {value} in step {step + 1}: lower the learning rate; the "
                "weights of the last checkpoint are kept"
            )


def _digest(config: StyleTrainingConfig, photographs: ContentPhotographs) -> str:
    """Of what decides a run's result: settings that matter, and the photographs."""
    lines = to_toml(config).splitlines()
    settings = "\n".join(line for line in lines if line.partition(" = ")[0] not in _OUTWARD)
    contents = [sha256_of(each.numpy().tobytes()) for each in photographs.training]
    return sha256_of("/".join([settings, *contents]).encode())
