"""Which lesson a config asks for, with what it needs."""

import torch

from backbones.weights import load_backbone
from data.errors import ArgumentError
from data.files import printable

from ..decoder import TAPS
from ..draft import NAME
from .config import Task, TrainingConfig
from .distilling import Distillation
from .drafting import Drafting
from .lessons import Lesson
from .pictures import Photographs, drawn_styles


def lesson_of(
    config: TrainingConfig, photographs: Photographs, device: torch.device, command: str
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
    config: TrainingConfig, photographs: Photographs, device: torch.device, command: str
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


def _prose(config: TrainingConfig, photographs: Photographs, command: str) -> dict[str, str]:
    """What the header of the weights says to readers."""
    count, folder = len(photographs.training), printable(config.data.photographs.name)
    return {
        "training_data": f"{count} photographs ({folder})",
        "seed": str(config.seed),
        "command": command,
        "licence": "MIT",
    }
