"""What a run is told, checked before anything is read or written."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from data.config import Configuration, File, Flag, Within, configured
from data.errors import ArgumentError

from ..methods.config import AS_ITS_VERSION, DetectorMethod, YoloConfig, check_ideas

_MOST_STEPS = 10_000_000

_Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicSourceConfig(Configuration):
    """A folder of photographs that mosaics are made of.

    Attributes:
        photographs: The folder, searched through all its depth.
        share: How often a tile is taken from here, relative to the other sources.
        scene: Whether these are views with faces somewhere, or none, and not portraits: they are
            cut at any place and fill larger tiles.
        annotations: A folder of VOC annotations, where the faces are boxed.
        only: Lists of names, one a line; a photograph is taken if its own name or its folder's is
            in one of them. Empty: all are taken.
        excluded: Lists of names that are not taken.
        skip: So many of the first, sorted by name, are passed over.
        count: So many are taken at most; 0: all.
    """

    photographs: File
    share: Annotated[float, Within(0, 1_000_000)] = 1.0
    scene: Flag = False
    annotations: File | None = None
    only: tuple[File, ...] = ()
    excluded: tuple[File, ...] = ()
    skip: Annotated[int, Within(0, 10_000_000)] = 0
    count: Annotated[int, Within(0, 10_000_000)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicConfig(Configuration):
    """What the network sees.

    Attributes:
        count: How many mosaics are made, and labelled by the teacher, before the first step.
        side: Their height and width in pixels, a multiple of 32.
        masked: Share of the faces over whose mouth and nose something is painted.
        darkened: Share of the mosaics that are darkened.
        blurred: Share that is blurred.
        noisy: Share to which noise is added.
        turned: Most degrees that a tile is turned either way.
        label: What the score of a boxed face is raised to where the teacher overlooks it; 0: the
            boxes are not looked at.
    """

    count: Annotated[int, Within(1, 10_000_000)] = 6000
    side: Annotated[int, Within(64, 2048)] = 288
    masked: _Share = 0.25
    darkened: _Share = 0.2
    blurred: _Share = 0.2
    noisy: _Share = 0.2
    turned: Annotated[float, Within(0, 180)] = 35.0
    label: _Share = 0.8

    def _check(self) -> None:
        if self.side % 32:
            raise ArgumentError(f"mosaics.side is {self.side}: give a multiple of 32")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTrainingConfig(Configuration):
    """A whole run.

    Attributes:
        out: The run's folder; a run that is found unfinished there goes on.
        method: Which family of detectors.
        teacher: A safetensors file of YuNet-n's weights.
        sources: What mosaics are made of.
        validation: Boxed photographs by which the best checkpoint is chosen; `share` and `scene`,
            which say how mosaics are made, have no place there.
        mosaics: How they are made.
        steps: Length of the run.
        batch: Mosaics a step.
        every: Steps between two validations and checkpoints.
        rate: The largest learning rate of AdamW.
        warmup: Steps in which it rises to that, in a line.
        cooldown: Share of the steps, the last ones, in which it falls to nothing, by half a cosine
            wave. Until then the length of the run may be changed.
        weight_decay: Of kernels.
        clip: Largest norm of the gradient.
        averaging: Decay of the weights' moving average that is validated and saved.
        box_weight: Of the boxes' loss, beside that of the scores at 1.
        landmark_weight: Of the landmarks' loss.
        seed: Of the first weights and of all that is drawn.
        device: auto, cpu or cuda.
        mosaic_folder: Where the mosaics are, which several runs with the same sources share; None:
            in the run's folder.
        yolo: Single ideas of a YOLO.
    """

    out: File
    teacher: File
    sources: tuple[MosaicSourceConfig, ...]
    validation: MosaicSourceConfig
    mosaics: MosaicConfig = MosaicConfig()
    steps: Annotated[int, Within(1, _MOST_STEPS)] = 8000
    batch: Annotated[int, Within(1, 4096)] = 8
    every: Annotated[int, Within(1, _MOST_STEPS)] = 250
    rate: Annotated[float, Within(0, 1, above=True)] = 3e-3
    warmup: Annotated[int, Within(0, _MOST_STEPS)] = 100
    cooldown: _Share = 0.4
    weight_decay: _Share = 1e-4
    clip: Annotated[float, Within(0, 1_000_000, above=True)] = 10.0
    averaging: Annotated[float, Within(0, 0.999999)] = 0.998
    box_weight: Annotated[float, Within(0, 1000)] = 1.0
    landmark_weight: Annotated[float, Within(0, 1000)] = 3.0
    seed: Annotated[int, Within(0, 2**31 - 1)] = 0
    device: str = "auto"
    method: DetectorMethod = DetectorMethod.ONE_STAGE
    mosaic_folder: File | None = None
    yolo: YoloConfig = AS_ITS_VERSION

    def _check(self) -> None:
        check_ideas(self.method, self.yolo)
        if not sum(source.share for source in self.sources) > 0:
            raise ArgumentError("no source has a share above 0: expected at least one [[sources]]")
        if self.validation.share != 1 or self.validation.scene:
            raise ArgumentError(
                "validation has the key 'share' or 'scene', which say how mosaics are made: leave "
                "both out, as no mosaic is made of these photographs"
            )
        if self.validation.annotations is None:
            raise ArgumentError("validation lacks the key 'annotations': boxed faces are needed")


PREFIX = "LIKENESS_DETECTOR_TRAIN_"
"""What the name of an environment variable that is a setting begins with."""

configure = partial(configured, DetectorTrainingConfig, prefix=PREFIX)
"""A recipe joined with the environment, `--set` and flags; see `data.config.configured`."""
