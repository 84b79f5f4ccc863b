"""What a run is told, checked before anything is read or written."""

from dataclasses import dataclass, field
from pathlib import Path

from data.errors import ArgumentError
from data.recipes import build, check_count, check_range, read_recipe

_MOST_STEPS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
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

    photographs: Path
    share: float = 1.0
    scene: bool = False
    annotations: Path | None = None
    only: tuple[Path, ...] = ()
    excluded: tuple[Path, ...] = ()
    skip: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        check_range("sources.share", self.share, 0, 1e6)
        check_count("sources.skip", self.skip, 0, 10_000_000)
        check_count("sources.count", self.count, 0, 10_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicConfig:
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

    count: int = 6000
    side: int = 288
    masked: float = 0.25
    darkened: float = 0.2
    blurred: float = 0.2
    noisy: float = 0.2
    turned: float = 35.0
    label: float = 0.8

    def __post_init__(self) -> None:
        check_count("mosaics.count", self.count, 1, 10_000_000)
        check_count("mosaics.side", self.side, 64, 2048)
        if self.side % 32:
            raise ArgumentError(f"mosaics.side is {self.side}: give a multiple of 32")
        for name in ("masked", "darkened", "blurred", "noisy", "label"):
            check_range(f"mosaics.{name}", getattr(self, name), 0, 1)
        check_range("mosaics.turned", self.turned, 0, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTrainingConfig:
    """A whole run.

    Attributes:
        out: The run's folder; a run that is found unfinished there goes on.
        teacher: A safetensors file of YuNet-n's weights.
        sources: What mosaics are made of.
        validation: Boxed photographs by which the best checkpoint is chosen.
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
    """

    out: Path
    teacher: Path
    sources: tuple[SourceConfig, ...]
    validation: SourceConfig
    mosaics: MosaicConfig = field(default_factory=MosaicConfig)
    steps: int = 8000
    batch: int = 8
    every: int = 250
    rate: float = 3e-3
    warmup: int = 100
    cooldown: float = 0.4
    weight_decay: float = 1e-4
    clip: float = 10.0
    averaging: float = 0.998
    box_weight: float = 1.0
    landmark_weight: float = 3.0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if not sum(source.share for source in self.sources) > 0:
            raise ArgumentError("no source has a share above 0: expected at least one [[sources]]")
        if self.validation.annotations is None:
            raise ArgumentError("validation lacks the key 'annotations': boxed faces are needed")
        check_count("steps", self.steps, 1, _MOST_STEPS)
        check_count("batch", self.batch, 1, 4096)
        check_count("every", self.every, 1, _MOST_STEPS)
        check_range("rate", self.rate, 0, 1, above_low=True)
        check_count("warmup", self.warmup, 0, _MOST_STEPS)
        check_range("cooldown", self.cooldown, 0, 1)
        check_range("weight_decay", self.weight_decay, 0, 1)
        check_range("clip", self.clip, 0, 1e6, above_low=True)
        check_range("averaging", self.averaging, 0, 0.999999)
        check_range("box_weight", self.box_weight, 0, 1e3)
        check_range("landmark_weight", self.landmark_weight, 0, 1e3)
        check_count("seed", self.seed, 0, 2**31 - 1)


def configure(recipe: Path, **flags: object) -> DetectorTrainingConfig:
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
    return build(DetectorTrainingConfig, read_recipe(recipe) | given, recipe.parent)
