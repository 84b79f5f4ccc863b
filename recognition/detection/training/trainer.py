"""One run: mosaics, steps, validation, checkpoints, a model card; `train` is the one call."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backbones.training.model_card import write_model_card
from backbones.training.run_folder import RunFolder
from backbones.training.steps import StepReport, StepResult, StepRun
from backbones.weights import resolve_device
from data.config import to_toml
from data.errors import DatasetError, TrainingError
from data.files import printable, sha256_of
from data.images import load_image
from data.progress import Progress
from data.tensors import read_metadata, read_tensors

from ..annotations import BoxedPhotograph, read_boxed
from ..average_precision import PrecisionCurve, match, precision_curve
from ..detector import FaceDetector
from ..methods.config import AS_ITS_VERSION
from ..methods.method import DetectorFamily, MosaicBatch, SearchOptions
from ..methods.registry import method_of
from ..one_stage import metadata_of
from .config import DetectorTrainingConfig, MosaicSourceConfig
from .mosaics import Mosaics, selected
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
class DetectorReport(StepReport):
    """What was found at one checkpoint.

    Attributes:
        average_precision: On the validation photographs, at an overlap of 0.4.
        recall: There, at a precision of 0.82.
        mosaics_per_second: In the steps alone.
    """

    average_precision: float
    recall: float
    mosaics_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTrainingResult(StepResult):
    """What came of a run.

    Attributes:
        average_precision: Of the best weights on the validation photographs.
    """

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
    lesson = DetectorLesson(config, method, mosaics, validation, device, command)
    run = StepRun(
        lesson,
        folder,
        _digest(config, mosaics),
        part="network",
        steps=config.steps,
        every=config.every,
        rate=lesson.rate,
        weight_decay=config.weight_decay,
        clip=config.clip,
        averaging=config.averaging,
        metric="average_precision",
        larger=True,
        report=lambda facts, figures, steps_per_second: DetectorReport(
            **facts,
            average_precision=figures["average_precision"],
            recall=figures["recall"],
            mosaics_per_second=steps_per_second * config.batch,
        ),
    )
    position = run.load()
    if position.done:
        [*_, last] = folder.reports(position.done)
        _check_length(config, last.steps, position.done)
    # Nothing is written before it is known that the folder holds this run, or none.
    folder.write_config(config)
    if position.done < config.steps:
        mosaics.make(making)
        if position.done == 0:
            method.prepare(lesson.module, mosaics)
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


class DetectorLesson:
    """The lesson of a detector; see `backbones.training.steps.Lesson`."""

    def __init__(
        self,
        config: DetectorTrainingConfig,
        method: DetectorFamily,
        mosaics: Mosaics,
        validation: list[BoxedPhotograph],
        device: torch.device,
        command: str,
    ) -> None:
        """Begin with random weights.

        Args:
            config: Of the run.
            method: Which family of detectors.
            mosaics: What is learnt from.
            validation: Photographs that choose the best checkpoint.
            device: Where all of it runs.
            command: What the weights' header gives as the command that made them.
        """
        self._config, self._mosaics, self._validation = config, mosaics, validation
        self._method, self._device, self._command = method, device, command
        self._order: tuple[int, list[int]] = (-1, [])
        torch.manual_seed(config.seed)
        self.module = method.network().to(device).to(memory_format=torch.channels_last)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        config = self._config
        return config.rate * rate_factor(step, config.steps, config.warmup, config.cooldown)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Those of the family, on the mosaics of this step."""
        batch = self._batch(step)
        torch.manual_seed((self._config.seed << 32) + step)  # leaves the batch's own draws alone
        return self._method.losses(self.module.train(), batch)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Average precision, and recall at a precision of 0.82, on the validation photographs."""
        self._method.fit(module, self._mosaics)
        search = SearchOptions(minimum_score=_LEAST_SCORE, turned=False)
        own = deepcopy(module)  # the detector may change it
        detector = self._method.detector(own, self._device, self._method.name, search)
        curve = curve_of(detector, self._validation)
        recall = curve.at_precision(0.82)
        return {
            "average_precision": curve.average_precision,
            "recall": 0.0 if recall is None else recall[0],
        }

    def weights(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The network's state, and what says which family it is of."""
        metadata = metadata_of(self._config.seed, self._command) | self._method.metadata()
        metadata |= {"architecture": self._method.name, "steps": str(self._config.steps)}
        return module.state_dict(), metadata

    def _batch(self, step: int) -> MosaicBatch:
        """The mosaics of a step: each is seen once in every round, in another order."""
        count, batch = len(self._mosaics), self._config.batch
        numbers = []
        for place in range(step * batch, (step + 1) * batch):
            order = self._order_of(place // count)
            numbers.append(order[place % count])
        source = torch.Generator().manual_seed((self._config.seed << 32) + step)
        pictures, targets = self._mosaics.batch(numbers)
        return MosaicBatch(numbers, pictures, targets, source)

    def _order_of(self, round_: int) -> list[int]:
        if self._order[0] != round_:
            source = torch.Generator().manual_seed((self._config.seed << 32) + (1 << 31) + round_)
            order = torch.randperm(len(self._mosaics), generator=source).tolist()
            self._order = (round_, order)
        return self._order[1]


def _digest(config: DetectorTrainingConfig, mosaics: Mosaics) -> str:
    """Of what decides a run's result: settings that matter, and the mosaics."""
    text = to_toml(config)
    if config.yolo == AS_ITS_VERSION:  # runs from before there was such a table go on
        text = text.removesuffix("\n[yolo]\n")
    settings = [line for line in text.splitlines() if line.partition(" = ")[0] not in _OUTWARD]
    return sha256_of("\n".join([str(config.method), *settings, mosaics.digest]).encode())


# The model card that a run writes about its best weights.

_TEMPLATE = """# Model card: the detector {name}

| | |
|---|---|
| file | `{file}`, {size:.2f} MB, SHA-256 `{digest}` |
| network | {network}; {parameters:,} numbers |
| input | {input} |
| teacher | YuNet-n, SHA-256 `{teacher}`; and people's boxes where it overlooks a face |
| trained on | {sources} |
| mosaics | {count:,} of {side}×{side} px, {batch} a step |
| seed | {seed} |
| command | {command}, from random weights |
| steps | {done:,} of {steps:,}, the best after {best:,} |
| licence | {licence} |

## Figures on boxed photographs kept out

{validation}: average precision {precision:.3f} at an overlap of 0.4,
recall {recall:.3f} at a precision of 0.82. The checkpoint was chosen by the former, so both
flatter: quote another set.
"""


def write_card(
    config: DetectorTrainingConfig,
    method: DetectorFamily,
    mosaics: Mosaics,
    teacher: Yunet,
    weights: Path,
    reports: Sequence[DetectorReport],
    best: int,
) -> None:
    """Write `model-card.md` into the run's folder.

    Args:
        config: Of the run.
        method: Which family of detectors.
        mosaics: That it has seen.
        teacher: Who labelled them.
        weights: The best ones, on disk.
        reports: Of every checkpoint that was completed.
        best: After which step they were saved.
    """
    says = read_metadata(weights)
    [figures] = [each for each in reports if each.step == best]
    write_model_card(
        config.out,
        weights,
        _TEMPLATE,
        header=("input", "licence"),
        name=method.name,
        network=method.summary,
        parameters=sum(tensor.numel() for tensor in read_tensors(weights).tensors.values()),
        teacher=teacher.sha256,
        sources="; ".join(
            f"{count:,} photographs ({_named(source)})"
            for source, count in zip(config.sources, mosaics.photographs, strict=True)
        ),
        count=config.mosaics.count,
        side=config.mosaics.side,
        batch=config.batch,
        seed=config.seed,
        command=f"`{says['command']}`" if says["command"] else "not recorded",
        done=reports[-1].step,
        steps=config.steps,
        best=best,
        validation=_named(config.validation),
        precision=figures.average_precision,
        recall=figures.recall,
    )


def _named(source: MosaicSourceConfig) -> str:
    """A source's folder, and which of its photographs."""
    folder = source.photographs
    name = printable(folder.parent.name if folder.name == "images" else folder.name)
    if source.count or source.skip:
        name += f" from number {source.skip + 1}" + (f", {source.count}" if source.count else "")
    return name + (", boxed" if source.annotations is not None else "")
