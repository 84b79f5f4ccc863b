"""Which lesson a config asks for, with what it needs."""

import torch

from backbones.weights import load_backbone
from data.files import printable

from .config import TrainingConfig
from .distilling import Distillation
from .lessons import Lesson
from .pictures import Photographs


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
    count = len(photographs.training)
    prose = {
        "training_data": f"{count} photographs ({printable(config.data.photographs.name)})",
        "seed": str(config.seed),
        "command": command,
    }
    teacher = load_backbone(config.teacher, weights=config.teacher_weights, device=device)
    prose["teacher"] = f"{teacher.weights.architecture}, SHA-256 {teacher.weights.sha256}"
    return Distillation(config, photographs, teacher.backbone, prose, device)
