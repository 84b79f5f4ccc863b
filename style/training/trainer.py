"""One run, from a checked config to weights: steps, validation, checkpoints."""

import json
import math
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from backbones.averaging import WeightAverage
from backbones.weights import resolve_device
from data.errors import TrainingError
from data.files import private_folder, sha256_of, write_atomic
from data.recipes import to_toml
from data.tensors import write_tensors

from .card import write_card
from .config import OptimizerConfig, TrainingConfig
from .lessons import Lesson
from .pictures import Photographs, Progress, read_photographs
from .results import Report, TrainingResult
from .state import Parts, Position, load_state, save_state
from .syllabus import lesson_of

_RATE_BEGIN, _RATE_END = 0.04, 1e-3  # of the largest learning rate
_OUTWARD = {"out", "device", "photographs", "teacher_weights", "encoder_weights", "every"}
"""Settings that say where something is, or how often it is looked at."""


def train(
    config: TrainingConfig,
    report: Callable[[Report], None] | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> TrainingResult:
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
    result = TrainingResult(
        out=config.out,
        weights=config.out / "best.safetensors",
        best_step=position.best_step,
        distance=math.inf if position.best is None else position.best,
        missed=photographs.missed,
    )
    write_card(config, result, run.reports(position.step))
    return result


def rate_factor(config: OptimizerConfig, step: int, steps: int) -> float:
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

    def __init__(self, config: TrainingConfig, lesson: Lesson, digest: str) -> None:
        self._config, self._lesson, self._digest = config, lesson, digest
        self._parameters = [p for p in lesson.module.parameters() if p.requires_grad]
        self._parts = Parts(
            lesson.module,
            torch.optim.AdamW(_groups(self._parameters, config.optimizer.weight_decay)),
            WeightAverage(lesson.module, config.averaging),
        )
        self._metrics = config.out / "metrics.jsonl"
        self._rate = 0.0

    def go(self, report: Callable[[Report], None], progress: Progress) -> Position:
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
        self, before: Position, step: int, losses: dict[str, float], count: int, started: float
    ) -> tuple[Position, Report]:
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
        position = Position(step, distance, step) if best else replace(before, step=step)
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


def _digest(config: TrainingConfig, photographs: Photographs) -> str:
    """Of what decides a run's result: settings that matter, and the photographs."""
    lines = to_toml(config).splitlines()
    settings = "\n".join(line for line in lines if line.partition(" = ")[0] not in _OUTWARD)
    contents = [sha256_of(each.numpy().tobytes()) for each in photographs.training]
    return sha256_of("/".join([settings, *contents]).encode())
