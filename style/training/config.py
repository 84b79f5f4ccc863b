"""What a run is told, checked before anything is read or written."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backbones.registry import spec_of
from data.errors import ArgumentError
from data.recipes import build, check_count, check_range, read_recipe

_MOST_STEPS = 10_000_000


class Task(StrEnum):
    """What is trained."""

    NETWORK = "network"
    """A small network, to have a larger one's feature maps."""
    DRAFT = "draft"
    """The decoder that makes a picture of feature maps (`style.draft`)."""


class ConvolutionPrecision(StrEnum):
    """Of the convolutions; weights, losses and averages are float32 in any case."""

    FLOAT32 = "float32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleDataConfig:
    """Which pictures, and how they are cut.

    Attributes:
        photographs: A folder of photographs, searched through all its depth.
        held_out: How many of them are kept out of training, for validation.
        crop: Side of the squares that are learnt from, px, a multiple of 16.
        batch: How many of them a step sees.
        drawn: Variants of each preset that are drawn as style pictures for the decoder; 0: none,
            its styles are recoloured photographs alone.
        least: The smallest square that is cut out of a photograph, as a share of `crop`; it is
            enlarged. The largest is as wide as the photograph's shorter side.
    """

    photographs: Path
    held_out: int = 50
    crop: int = 128
    batch: int = 16
    drawn: int = 0
    least: float = 0.75

    def __post_init__(self) -> None:
        check_count("data.held_out", self.held_out, 1, 1_000_000)
        check_count("data.crop", self.crop, 64, 1024)
        check_count("data.batch", self.batch, 1, 1024)
        check_count("data.drawn", self.drawn, 0, 1000)
        check_range("data.least", self.least, 0.1, 1)
        if self.crop % 16:
            raise ArgumentError(f"data.crop is {self.crop}: give a multiple of 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptimizerConfig:
    """AdamW under a one-cycle schedule.

    Attributes:
        rate: The largest learning rate.
        warmup: Share of the steps in which the rate rises, 0 … 0.9.
        weight_decay: Of kernels.
        clip: Largest norm of the gradient.
    """

    rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float = 5.0

    def __post_init__(self) -> None:
        check_range("optimizer.rate", self.rate, 0, 1, above_low=True)
        check_range("optimizer.warmup", self.warmup, 0, 0.9)
        check_range("optimizer.weight_decay", self.weight_decay, 0, 1)
        check_range("optimizer.clip", self.clip, 0, 1e6, above_low=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleTrainingConfig:
    """A whole run.

    Attributes:
        task: What is trained.
        data: The pictures.
        out: The run's folder; a run that is found unfinished there goes on.
        backbone: The network that learns, or that looks at pictures for the decoder.
        teacher: The network that is learnt from; only for a network.
        teacher_weights: Its weights file; None: where they usually are.
        encoder_weights: The weights file of `backbone` where that is the encoder of drafts;
            None: where they usually are.
        forced: Share of the steps, at the beginning, in which each of the network's stages sees
            the teacher's feature map in the place of its own predecessor's, so that all learn at
            once; for a teacher of the same channels.
        moments: Weight of the distance of Gram matrices, beside that of the feature maps at 1.
        steps: Length of the run.
        every: Steps between two validations and checkpoints.
        optimizer: The step rule.
        averaging: Decay of the weights' moving average that is validated and saved.
        precision: bf16 is faster where the processor has it.
        seed: Of the first weights and of all that is drawn.
        device: auto, cpu or cuda.
    """

    task: Task
    data: StyleDataConfig
    out: Path
    backbone: str = "vgg_slim"
    teacher: str | None = None
    teacher_weights: Path | None = None
    encoder_weights: Path | None = None
    forced: float = 0.0
    moments: float = 0.1
    steps: int = 10_000
    every: int = 500
    optimizer: StyleOptimizerConfig = field(default_factory=StyleOptimizerConfig)
    averaging: float = 0.998
    precision: ConvolutionPrecision = ConvolutionPrecision.FLOAT32
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        check_range("forced", self.forced, 0, 1)
        check_range("moments", self.moments, 0, 1e3)
        check_count("steps", self.steps, 1, _MOST_STEPS)
        check_count("every", self.every, 1, _MOST_STEPS)
        check_range("averaging", self.averaging, 0, 0.999999)
        check_count("seed", self.seed, 0, 2**31 - 1)
        spec_of(self.backbone)
        if self.task is Task.NETWORK and self.teacher is None:
            raise ArgumentError("a network learns from a teacher: name one, such as vgg19")
        if self.teacher is not None:
            spec_of(self.teacher)
        if self.out == self.data.photographs:
            raise ArgumentError(f"{self.out} holds the photographs: give the run another folder")


def configure(recipe: Path, **flags: object) -> StyleTrainingConfig:
    """Read a recipe; flags win over it.

    Args:
        recipe: A TOML file; paths in it are relative to its folder.
        flags: Top-level keys; None stands for a flag that was not given. Paths among them are
            relative to the working directory.

    Raises:
        ArgumentError: A file that is missing or no TOML, an unknown key, a value out of range.
    """
    given = {
        name: value.absolute() if isinstance(value, Path) else value
        for name, value in flags.items()
        if value is not None
    }
    return build(StyleTrainingConfig, read_recipe(recipe) | given, recipe.parent)
