"""What a run needs before its first step: aligned photographs, and a teacher's answers."""

import torch
from torch import Tensor

from backbones.spec import Alignment
from backbones.weights import LoadedBackbone
from data.errors import ArgumentError, DatasetError
from data.files import data_home

from .aligned import Aligner, alignment_for
from .choices import Targets
from .config import TrainingConfig
from .distillation import TARGETS, Watching, teacher_targets
from .photographs import TrainingData, load_data
from .reports import Progress
from .runs import RunFolder
from .steps import ProgressCallback, taps_of
from .validation import MOST_PER_PERSON, check_metric


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
    teacher: LoadedBackbone | None,
    data: TrainingData,
    run: RunFolder,
    tell: ProgressCallback,
) -> tuple[Watching | None, Tensor | None]:
    """A teacher that watches every view, or one that has answered beforehand, or neither.

    Raises:
        ArgumentError: A teacher that shall watch wants faces aligned otherwise than the student.
    """
    if teacher is None:
        return None, None
    if config.targets is Targets.PHOTOGRAPHS:
        return None, _targets(config, teacher, data, run, tell)
    if alignment_for(config.backbone) is not teacher.alignment:
        raise ArgumentError(
            f"the teacher cannot watch {config.backbone}, which sees faces aligned otherwise: "
            f"set targets to {Targets.PHOTOGRAPHS}"
        )
    return Watching(teacher, compile=config.compile, taps=taps_of(config)), None


def _targets(
    config: TrainingConfig,
    teacher: LoadedBackbone,
    data: TrainingData,
    run: RunFolder,
    tell: ProgressCallback,
) -> Tensor:
    """The teacher's answers; it sees the faces aligned as it was taught, not as the student."""
    if alignment_for(config.backbone) is not teacher.alignment:
        device = teacher.backbone.normalise.mean.device
        data = _as_before(data, _aligned(config, teacher.alignment, device, tell))
    return teacher_targets(
        teacher,
        data.training.pixels,
        run.path / TARGETS,
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
