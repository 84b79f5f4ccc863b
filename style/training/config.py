"""What a run is told, checked before anything is read or written."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated

from backbones.registry import spec_of
from data.config import Configuration, File, Within, configured
from data.errors import ArgumentError

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
class StyleDataConfig(Configuration):
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

    photographs: File
    held_out: Annotated[int, Within(1, 1_000_000)] = 50
    crop: Annotated[int, Within(64, 1024)] = 128
    batch: Annotated[int, Within(1, 1024)] = 16
    drawn: Annotated[int, Within(0, 1000)] = 0
    least: Annotated[float, Within(0.1, 1)] = 0.75

    def _check(self) -> None:
        if self.crop % 16:
            raise ArgumentError(f"data.crop is {self.crop}: give a multiple of 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptimizerConfig(Configuration):
    """AdamW under a one-cycle schedule.

    Attributes:
        rate: The largest learning rate.
        warmup: Share of the steps in which the rate rises, 0 … 0.9.
        weight_decay: Of kernels.
        clip: Largest norm of the gradient.
    """

    rate: Annotated[float, Within(0, 1, above=True)] = 2e-3
    warmup: Annotated[float, Within(0, 0.9)] = 0.05
    weight_decay: Annotated[float, Within(0, 1)] = 0.0
    clip: Annotated[float, Within(0, 1_000_000, above=True)] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleTrainingConfig(Configuration):
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
    out: File
    backbone: str = "vgg_slim"
    teacher: str | None = None
    teacher_weights: File | None = None
    encoder_weights: File | None = None
    forced: Annotated[float, Within(0, 1)] = 0.0
    moments: Annotated[float, Within(0, 1000)] = 0.1
    steps: Annotated[int, Within(1, _MOST_STEPS)] = 10_000
    every: Annotated[int, Within(1, _MOST_STEPS)] = 500
    optimizer: StyleOptimizerConfig = StyleOptimizerConfig()
    averaging: Annotated[float, Within(0, 0.999999)] = 0.998
    precision: ConvolutionPrecision = ConvolutionPrecision.FLOAT32
    seed: Annotated[int, Within(0, 2**31 - 1)] = 0
    device: str = "auto"

    @property
    def in_bf16(self) -> bool:
        """Whether convolutions are computed in bfloat16."""
        return self.precision is ConvolutionPrecision.BF16

    def _check(self) -> None:
        spec_of(self.backbone)
        if self.task is Task.NETWORK and self.teacher is None:
            raise ArgumentError("a network learns from a teacher: name one, such as vgg19")
        if self.teacher is not None:
            spec_of(self.teacher)
        if self.out == self.data.photographs:
            raise ArgumentError(f"{self.out} holds the photographs: give the run another folder")


PREFIX = "LIKENESS_STYLE_TRAIN_"
"""What the name of an environment variable that is a setting begins with."""

configure = partial(configured, StyleTrainingConfig, prefix=PREFIX)
"""A recipe joined with the environment, `--set` and flags; see `data.config.configured`."""
