"""What a run needs before its first step: aligned photographs, and a teacher's answers."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from backbones.spec import Alignment
from backbones.weights import LoadedBackbone
from data.errors import ArgumentError, DatasetError
from data.files import data_home

from .aligned import Aligner, alignment_for
from .choices import LossName, Targets
from .config import TrainingConfig
from .distillation import (
    TARGETS,
    Lessons,
    Watching,
    class_centres,
    principal_axes,
    taps_of,
    teacher_targets,
)
from .photographs import TrainingData, load_data
from .reports import Progress
from .runs import RunFolder
from .steps import ProgressCallback
from .validation import MOST_PER_PERSON, check_metric

_MOST_FOR_AXES = 4_000
"""Photographs whose answers decide the axes: many more than a joined embedding has numbers."""
_BATCH = 64


def read_data(config: TrainingConfig, device: torch.device, tell: ProgressCallback) -> TrainingData:
    """Align, split, and check that the people kept out can measure what is asked for.

    Raises:
        DatasetError: The photographs cannot be used.
    """
    data = _aligned(config, alignment_for(config.backbone), device, tell)
    check_metric(config.metric, data.validation.some_of_each(MOST_PER_PERSON))
    return data


def _aligned(
    config: TrainingConfig, alignment: Alignment, device: torch.device, tell: ProgressCallback
) -> TrainingData:
    aligner = Aligner(
        config.data.cache or data_home() / "aligned",
        alignment=alignment,
        device=device.type,
        progress=lambda done, total: tell(Progress("photographs", done, total)),
    )
    return load_data(config.data, aligner, seed=config.seed)


def teaching(
    config: TrainingConfig,
    teachers: Sequence[LoadedBackbone],
    data: TrainingData,
    run: RunFolder,
    tell: ProgressCallback,
) -> Lessons:
    """Let the networks that teach answer beforehand, or prepare to watch every view.

    Args:
        config: Of the run.
        teachers: Of `config.taught_by`, in that order.
        data: What the student sees.
        run: Where answers are kept.
        tell: Told about photographs.

    Raises:
        ArgumentError: A teacher that shall watch wants faces aligned otherwise than the student,
            or the feature maps of several that watch shall be compared.
    """
    if not teachers:
        return Lessons()
    total = sum(each.weight for each in config.taught_by)
    roots = [math.sqrt(each.weight / total) for each in config.taught_by]
    before, watchers = list[Tensor](), list[tuple[LoadedBackbone, float]]()
    for number, (told, teacher) in enumerate(zip(config.taught_by, teachers, strict=True)):
        if told.targets is Targets.PHOTOGRAPHS:
            cache = run.path / _targets_file(number)
            before.append(_targets(config, teacher, data, cache, tell) * roots[number])
        else:
            _check_watcher(config, teacher)
            watchers.append((teacher, roots[number]))
    if taps_of(config) and len(watchers) > 1:
        raise ArgumentError("feature maps are those of one teacher: of these, two see the views")
    watching = None
    if watchers:
        watching = Watching(watchers, compile=config.compile, taps=taps_of(config))
    targets = torch.cat(before, dim=2) if before else None
    size = sum(teacher.backbone.spec.dimension for teacher in teachers)
    names = {term.name for term in config.losses}
    axes = centres = None
    if LossName.DISTILL in names and size > config.embedding_size:
        every = max(1, len(data.training) // _MOST_FOR_AXES)
        answers = _answers(watching, targets, data, torch.arange(0, len(data.training), every))
        axes = principal_axes(answers.flatten(0, 1), config.embedding_size)
    if LossName.SOFTENED in names:
        rows = (data.training.labels >= 0).nonzero()[:, 0]
        answers = _answers(watching, targets, data, rows)
        centres = class_centres(answers, data.training.labels[rows], len(data.training.people))
    watcher = watchers[0][0].backbone.spec if watchers and taps_of(config) else None
    return Lessons(watching, targets, axes, centres, size, watcher)


def _targets_file(number: int) -> str:
    """Where a teacher's answers are kept, counted from 0."""
    stem, _, suffix = TARGETS.partition(".")
    return TARGETS if number == 0 else f"{stem}-{number + 1}.{suffix}"


def _check_watcher(config: TrainingConfig, teacher: LoadedBackbone) -> None:
    if alignment_for(config.backbone) is not teacher.alignment:
        raise ArgumentError(
            f"the teacher cannot watch {config.backbone}, which sees faces aligned otherwise: "
            f"set targets to {Targets.PHOTOGRAPHS}"
        )


def _answers(
    watching: Watching | None, targets: Tensor | None, data: TrainingData, rows: Tensor
) -> Tensor:
    """All teachers' joined answers to some photographs as they are, and mirrored: (n, 2, T)."""
    before = targets[rows] if targets is not None else None
    if watching is None:
        assert before is not None
        return before
    said = [before] if before is not None else []
    chunks = [part.float() / 255 for part in torch.split(data.training.pixels[rows], _BATCH)]
    as_is = torch.cat([watching(images)[0].cpu() for images in chunks])
    mirrored = torch.cat([watching(images.flip(3))[0].cpu() for images in chunks])
    return torch.cat([*said, torch.stack([as_is, mirrored], dim=1)], dim=2)


def _targets(
    config: TrainingConfig,
    teacher: LoadedBackbone,
    data: TrainingData,
    cache: Path,
    tell: ProgressCallback,
) -> Tensor:
    """A teacher's answers; it sees the faces aligned as it was taught, not as the student."""
    if alignment_for(config.backbone) is not teacher.alignment:
        device = teacher.backbone.normalise.mean.device
        data = _as_before(data, _aligned(config, teacher.alignment, device, tell))
    return teacher_targets(
        teacher,
        data.training.pixels,
        cache,
        progress=lambda done, total: tell(Progress("teacher", done, total)),
    )


def _as_before(before: TrainingData, again: TrainingData) -> TrainingData:
    """What was read again, once it is known to show the same photographs in the same order.

    Raises:
        DatasetError: The folders changed in between.
    """
    paths = [[item.path for item in data.missed] for data in (before, again)]
    labels = [data.training.labels for data in (before, again)]
    if paths[0] != paths[1] or not torch.equal(labels[0], labels[1]):
        raise DatasetError("the photographs changed while they were read: begin again")
    return again
