"""One run: mosaics, steps, validation, checkpoints, a model card; `train` is the one call."""

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from backbones.training.averaging import WeightAverage
from backbones.training.checkpoint import Position, TrainingState
from backbones.training.optimizers import check_finite, parameter_groups
from backbones.training.run_folder import RunFolder
from backbones.weights import resolve_device
from data.config import to_toml
from data.errors import DatasetError, TrainingError
from data.files import printable, sha256_of
from data.images import load_image

from ..annotations import BoxedPhotograph, read_boxed
from ..average_precision import PrecisionCurve, match, precision_curve
from ..detector import FaceDetector
from ..methods.config import AS_ITS_VERSION
from ..methods.method import DetectorFamily, MosaicBatch, SearchOptions
from ..methods.registry import method_of
from ..one_stage import metadata_of
from .config import DetectorTrainingConfig
from .model_card import write_card
from .mosaics import Mosaics, Progress, selected
from .teacher import Yunet

OVERLAP = 0.4
"""Intersection over union from which on a found box is right: masks hide where a face ends."""

_RATE_BEGIN, _RATE_END = 0.04, 1e-3  # of the largest learning rate
_OUTWARD = {"out", "device", "teacher", "photographs", "annotations", "only", "excluded", "every"}
_OUTWARD |= {"steps", "mosaic_folder", "method"}  # the digest begins with the method's name
"""Settings that say where something is, how often it is looked at, or when it ends: until the rate
falls, a run does not depend on its length, and `_check_length` refuses another one from then on."""
_LEAST_SCORE = 0.05  # of the boxes that the curve of validation is made of


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorReport:
    """What was found at one checkpoint.

    Attributes:
        step: Steps done.
        steps: Length of the run.
        losses: Means since the checkpoint before, by name.
        average_precision: On the validation photographs, at an overlap of 0.4.
        recall: There, at a precision of 0.82.
        rate: The last learning rate.
        seconds: Since the checkpoint before.
        mosaics_per_second: In the steps alone.
        best: Whether these weights are the best so far.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    average_precision: float
    recall: float
    rate: float
    seconds: float
    mosaics_per_second: float
    best: bool

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTrainingResult:
    """What came of a run.

    Attributes:
        out: Its folder.
        weights: The best weights.
        best_step: After which step.
        average_precision: Theirs on the validation photographs.
    """

    out: Path
    weights: Path
    best_step: int
    average_precision: float


def train(
    config: DetectorTrainingConfig,
    report: Callable[[DetectorReport], None] | None = None,
    *,
    making: Progress | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> DetectorTrainingResult:
    """Train a detector, or go on with a run that was interrupted.

    Args:
        config: All settings.
        report: Told about each checkpoint.
        making: Told how many mosaics of how many there are, while any are made.
        progress: Told how many steps of how many are done.
        command: What the weights' header gives as the command that made them.

    Raises:
        ArgumentError: A folder, a list or a device is missing, or the run's folder not writable.
        DatasetError: Photographs or annotations cannot be used, or none of those for validation
            has a face that must be found.
        WeightsError: The teacher's weights are damaged.
        TrainingError: A loss is no finite number, the last checkpoint is untouched; or the folder
            holds a run with other settings, or one whose length can no longer be changed: it is
            left as it is.
    """
    device = resolve_device(config.device)
    teacher = Yunet(config.teacher)
    validation = _validation(config)
    mosaics = Mosaics(config, teacher)
    folder = RunFolder(config.out, DetectorReport, unit="step")
    method = method_of(config)
    run = _Run(config, method, folder, mosaics, validation, device, command)
    position = run.load()
    # Nothing is written before it is known that the folder holds this run, or none.
    folder.write_config(config)
    if position.done < config.steps:
        mosaics.make(making)
        position = run.go(position, report or (lambda _: None), progress or (lambda *_: None))
    reports = folder.reports(position.done)
    write_card(config, method, mosaics, teacher, folder.best, reports, position.best_at)
    return DetectorTrainingResult(
        out=config.out,
        weights=folder.best,
        best_step=position.best_at,
        average_precision=position.best or 0.0,
    )


def rate_factor(step: int, steps: int, warmup: int, cooldown: float) -> float:
    """The factor on the largest learning rate: up in a line, level, down half a cosine wave.

    Args:
        step: Steps done so far, 0 … steps - 1.
        steps: Length of the run.
        warmup: Steps in which it rises.
        cooldown: Share of the steps, the last ones, in which it falls.
    """
    if step < warmup:
        return _RATE_BEGIN + (1 - _RATE_BEGIN) * (step + 1) / warmup
    level = _level_until(steps, cooldown)
    along = max(0, step - level) / max(1, steps - level)
    return _RATE_END + (1 - _RATE_END) * 0.5 * (1 + math.cos(math.pi * along))


def _level_until(steps: int, cooldown: float) -> int:
    """How many steps a run of this length takes before its rate falls."""
    return steps - round(cooldown * steps)


def _check_length(config: DetectorTrainingConfig, before: int, done: int) -> None:
    """Refuse another length where the steps done were not those of a run of that length.

    Args:
        config: With the length wanted now.
        before: The length at the last checkpoint.
        done: Steps done.

    Raises:
        TrainingError: The rate has begun to fall, or would have with the length wanted now.
    """
    level = min(_level_until(steps, config.cooldown) for steps in (before, config.steps))
    if before != config.steps and done > level:
        raise TrainingError(
            f"{printable(config.out)} has done {done:,} of {before:,} steps, and its length can be "
            f"changed to {config.steps:,} only up to step {level:,}, where the rate falls: keep "
            f"--steps {before}, or give another folder for this run"
        )


def _validation(config: DetectorTrainingConfig) -> list[BoxedPhotograph]:
    """The photographs that choose the best checkpoint.

    Raises:
        ArgumentError: A folder or a list is missing.
        DatasetError: None is left, an annotation is damaged, or no face in them must be found.
    """
    source = config.validation
    assert source.annotations is not None  # the config has looked
    boxed = selected(read_boxed(source.photographs, source.annotations), source)
    if all(all(each.difficult) for each in boxed):
        raise DatasetError(
            f"the {len(boxed):,} photographs for validation from {printable(source.photographs)} "
            "have no box of a face that must be found: expected at least one"
        )
    return boxed


def curve_of(detector: FaceDetector, photographs: list[BoxedPhotograph]) -> PrecisionCurve:
    """Precision over recall of a detector on boxed photographs, one at a time."""
    matches, faces = [], 0
    for photograph in photographs:
        [found] = detector.detect([load_image(photograph.path)])
        boxes, scores = [face.box for face in found], [face.detection_score for face in found]
        matches.append(match(boxes, scores, photograph.boxes, photograph.difficult, OVERLAP))
        faces += len(photograph.boxes) - sum(photograph.difficult)
    return precision_curve(matches, faces)


class _Run:
    """Step after step.

    What is drawn at random follows from the seed and the step's number, so no generator has a
    state to keep, and a run that goes on ends with the same bytes.
    """

    def __init__(
        self,
        config: DetectorTrainingConfig,
        method: DetectorFamily,
        folder: RunFolder[DetectorReport],
        mosaics: Mosaics,
        validation: list[BoxedPhotograph],
        device: torch.device,
        command: str,
    ) -> None:
        self._config, self._mosaics, self._validation = config, mosaics, validation
        self._folder, self._device, self._command = folder, device, command
        self._method = method
        torch.manual_seed(config.seed)
        self._network = method.network().to(device).to(memory_format=torch.channels_last)
        self._optimizer = torch.optim.AdamW(
            parameter_groups([self._network], config.weight_decay), lr=config.rate
        )
        self._average = WeightAverage(self._network, config.averaging)
        self._state = TrainingState({"network": self._network}, self._optimizer, self._average)
        self._checkpoint = folder.checkpoint(_digest(config, mosaics))

    def load(self) -> Position:
        """Go back to the last checkpoint, and write nothing.

        Raises:
            TrainingError: It is another run's, or one whose length can no longer be changed.
        """
        position = self._checkpoint.load(self._state)
        if position.done:
            [*_, last] = self._folder.reports(position.done)
            _check_length(self._config, last.steps, position.done)
        return position

    def go(
        self, position: Position, report: Callable[[DetectorReport], None], progress: Progress
    ) -> Position:
        """Take the steps that are left."""
        steps, every = self._config.steps, self._config.every
        if position.done == 0:
            self._method.prepare(self._network, self._mosaics)
        while position.done < steps:
            until = min(steps, (position.done // every + 1) * every)
            started = time.perf_counter()
            sums: dict[str, float] = {}
            for step in range(position.done, until):
                for name, value in self._step(step).items():
                    sums[name] = sums.get(name, 0.0) + value
                progress(step + 1, steps)
            means = {name: value / (until - position.done) for name, value in sums.items()}
            position, done = self._complete(position, until, means, started)
            report(done)
        return position

    def _step(self, step: int) -> dict[str, float]:
        config, network = self._config, self._network.train()
        for group in self._optimizer.param_groups:
            group["lr"] = config.rate * rate_factor(
                step, config.steps, config.warmup, config.cooldown
            )
        batch = self._batch(step)
        torch.manual_seed((config.seed << 32) + step)  # and leaves the batch's own draws alone
        parts = self._method.losses(network, batch)
        total = parts["total"]
        values = {name: float(loss.detach()) for name, loss in parts.items()}
        check_finite(values, step)
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        check_finite({"gradient": float(norm)}, step)
        self._optimizer.step()
        self._average.update(network)
        return values

    def _batch(self, step: int) -> MosaicBatch:
        """The mosaics of a step: each is seen once in every round, in another order."""
        count, batch = len(self._mosaics), self._config.batch
        numbers = []
        for place in range(step * batch, (step + 1) * batch):
            order = self._order(place // count)
            numbers.append(order[place % count])
        source = torch.Generator().manual_seed((self._config.seed << 32) + step)
        pictures, told = self._mosaics.batch(numbers)
        return MosaicBatch(numbers, pictures, told, source)

    def _order(self, round_: int) -> list[int]:
        if getattr(self, "_ordered", None) is None or self._ordered[0] != round_:
            source = torch.Generator().manual_seed((self._config.seed << 32) + (1 << 31) + round_)
            order = torch.randperm(len(self._mosaics), generator=source).tolist()
            self._ordered: tuple[int, list[int]] = (round_, order)
        return self._ordered[1]

    def _complete(
        self, before: Position, step: int, means: dict[str, float], started: float
    ) -> tuple[Position, DetectorReport]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        stepped = time.perf_counter() - started
        network = deepcopy(self._network).eval()
        network.load_state_dict(self._average.averaged(self._network))
        self._method.fit(network, self._mosaics)
        tensors = {name: value.clone() for name, value in network.state_dict().items()}
        search = SearchOptions(minimum_score=_LEAST_SCORE, turned=False)
        detector = self._method.detector(network, self._device, self._method.name, search)
        curve = curve_of(detector, self._validation)
        precision, recall = curve.average_precision, curve.at_precision(0.82)
        best = before.best is None or precision > before.best
        metadata = (
            metadata_of(self._config.seed, self._command)
            | self._method.metadata()
            | {
                "architecture": self._method.name,
                "step": str(step),
                "steps": str(self._config.steps),
            }
        )
        self._folder.write_weights(tensors, metadata, best=best)
        done = DetectorReport(
            step=step,
            steps=self._config.steps,
            losses=means,
            average_precision=precision,
            recall=0.0 if recall is None else recall[0],
            rate=self._optimizer.param_groups[0]["lr"],
            seconds=time.perf_counter() - started,
            mosaics_per_second=(step - before.done) * self._config.batch / stepped,
            best=best,
        )
        self._folder.append(done, after=before.done)
        position = Position(step, precision, step) if best else replace(before, done=step)
        self._checkpoint.save(self._state, position)
        return position, done


def _digest(config: DetectorTrainingConfig, mosaics: Mosaics) -> str:
    """Of what decides a run's result: settings that matter, and the mosaics."""
    text = to_toml(config)
    if config.yolo == AS_ITS_VERSION:  # runs from before there was such a table go on
        text = text.removesuffix("\n[yolo]\n")
    settings = [line for line in text.splitlines() if line.partition(" = ")[0] not in _OUTWARD]
    return sha256_of("\n".join([str(config.method), *settings, mosaics.digest]).encode())
