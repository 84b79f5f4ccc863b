"""What a run is told, checked before anything is read or written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from backbones.spec import (
    LEAST_RESOLUTION,
    LEAST_WIDTH,
    MOST_GROUPS,
    MOST_WIDTH,
    Activation,
    Attention,
    Convolution,
    HeadPooling,
    Norm,
    WeightInit,
)
from backbones.training.optimizers import OptimizerConfig
from backbones.training.schedule import ScheduleConfig
from data.augmentation import Augmentation
from data.config import Configuration, File, Flag, Within, joined, read
from data.errors import ArgumentError

from .choices import (
    LossName,
    Metric,
    Mining,
    MixupPlace,
    Precision,
    Sampling,
    Targets,
)

# The tables of a recipe: data, batch, losses, mixup, optimizer, schedule.

MOST_EPOCHS = 100_000
_PEOPLE = 16

_Share = Annotated[float, Within(0, 1_000_000)]
_Weight = Annotated[float, Within(0, 1_000_000, above=True)]
_Pixels = Annotated[float, Within(-1_000_000, 1_000_000)]
Point = tuple[_Pixels, _Pixels]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig(Configuration):
    """A further folder of photographs to train on, beside `data.folder`.

    Attributes:
        folder: `<name>/<photograph>`, or, without names, photographs at any depth.
        named: Whether its folders are people; otherwise it serves the distillation losses alone.
        identities: A text file; the first word of a line is the name of a person to use.
        excluded: Text files; the first word of a line is a person, or a photograph's path below
            the folder, that is not used.
        landmarks: Where eyes, nose and mouth corners (x, y in pixels) lie in every photograph
            alike; None: each is searched for its face.
    """

    folder: File
    named: Flag = True
    identities: File | None = None
    excluded: tuple[File, ...] = ()
    landmarks: tuple[Point, Point, Point, Point, Point] | None = None

    def _check(self) -> None:
        if self.identities is not None and not self.named:
            raise ArgumentError(
                f"the people of {self.identities.name} cannot be found in {self.folder.name}, "
                "which has no names: leave identities out, or set named to true"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig(Configuration):
    """Which photographs, and which people are kept out.

    Attributes:
        folder: A folder of identities: `<name>/<photograph>`.
        identities: A text file; the first word of a line is the name of a folder to use. None: all.
        excluded: Text files; the first word of a line is a person, or a photograph's path below
            the folder, that is not used.
        more: Further folders for training.
        unlabelled: A folder of photographs without names, for the distillation losses.
        unlabelled_landmarks: Where eyes, nose and mouth corners (x, y in pixels) lie in every
            unlabelled photograph alike; None: each is searched for its face.
        split: Shares of the people for training, validation and test; scaled to a sum of 1.
        validation: A folder of other people for validation, who then get no share of `folder`.
        validation_identities: Who of them is used, as `identities`.
        test: The same for the test.
        originals: A folder in which photographs of `folder` that are crops lie whole, under the
            same paths: a teacher whose alignment reaches beyond a crop sees these. A crop without
            an original has its border repeated outwards.
        cache: Where photographs aligned by this run are kept; None: the user's data folder.
        allow_corrupt: Go on where more than a fifth of the photographs cannot be read.
    """

    folder: File
    identities: File | None = None
    excluded: tuple[File, ...] = ()
    more: tuple[SourceConfig, ...] = ()
    unlabelled: File | None = None
    unlabelled_landmarks: tuple[Point, Point, Point, Point, Point] | None = None
    split: tuple[_Share, _Share, _Share] = (6.0, 2.0, 2.0)
    validation: File | None = None
    validation_identities: File | None = None
    test: File | None = None
    originals: File | None = None
    cache: File | None = None
    allow_corrupt: Flag = False

    def _check(self) -> None:
        if self.split[0] == 0 or (self.split[1] == 0 and self.validation is None):
            raise ArgumentError("data.split needs shares above 0 for training and validation")
        folders = [f for f in (self.folder, self.validation, self.test) if f is not None]
        if len(set(folders)) < len(folders):
            raise ArgumentError(
                "data.folder, data.validation and data.test must be different folders: nobody may "
                "be in two parts"
            )
        if self.validation_identities is not None and self.validation is None:
            raise ArgumentError("data.validation_identities chooses people of data.validation")

    @property
    def has_unnamed(self) -> bool:
        """Whether some of the photographs in training have no names."""
        return self.unlabelled is not None or not all(source.named for source in self.more)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig(Configuration):
    """What one step sees.

    Attributes:
        sampling: An epoch draws P people × K photographs a batch, or takes every photograph once,
            up to K of one person side by side.
        people: P; None: 16, or everybody where there are fewer.
        photographs: K.
        steps: Batches an epoch, for checkpoints more often than once for all photographs; None:
            as many as hold about every photograph once.
    """

    sampling: Sampling = Sampling.PEOPLE
    people: Annotated[int, Within(1, 100_000)] | None = None
    photographs: Annotated[int, Within(1, 1000)] = 4
    steps: Annotated[int, Within(1, 1_000_000)] | None = None

    def _check(self) -> None:
        if self.people == self.photographs == 1:
            raise ArgumentError("a batch of 1 photograph cannot be normalised: give 2 or more")

    def people_of(self, available: int) -> int:
        """P, where so many people are there; one that was asked for may be more than that."""
        return min(_PEOPLE, available) if self.people is None else self.people

    def size_of(self, available: int) -> int:
        """Photographs a batch, where so many are there and they are not drawn by person."""
        people = _PEOPLE if self.people is None else self.people
        size = people * self.photographs
        return min(size, available) if self.people is None else size


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig(Configuration):
    """One of several networks that teach.

    Attributes:
        weights: Its weights file, or the name of a network whose weights are at hand.
        targets: Whether it sees photographs as they are, aligned as it was taught, or each view.
        weight: What its similarities count for beside those of the others.
    """

    weights: File
    targets: Targets = Targets.PHOTOGRAPHS
    weight: _Weight = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig(Configuration):
    """One term of the objective.

    Attributes:
        name: Which loss.
        weight: Its factor in the sum.
        margin: α of the triplet (squared distance), the contrastive loss's distance, ArcFace's
            angle in degrees, CosFace's cosine; None: the paper's.
        scale: The factor before the softmax of the margin losses; None: the paper's. Of `softened`,
            before the cosines; None: 30.
        temperature: What the logits of `softened` are divided by; 1 leaves them sharp.
        mining: Which triplets count.
        taps: Whose feature maps the student shall give as the teacher does, of `features`.
    """

    name: LossName
    weight: _Weight = 1.0
    margin: Annotated[float, Within(0, 180)] | None = None
    scale: Annotated[float, Within(0, 10_000, above=True)] | None = None
    mining: Mining = Mining.SEMI_HARD
    taps: tuple[str, ...] = ()
    temperature: Annotated[float, Within(0, 1000, above=True)] = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixupConfig(Configuration):
    """Photographs mixed in pairs, and what they should be with them.

    Attributes:
        where: In the image, or at a place drawn for each batch.
        alpha: A batch's share is drawn from Beta(alpha, alpha): near 0 mixes little, 1 evenly.
    """

    where: MixupPlace = MixupPlace.NONE
    alpha: Annotated[float, Within(0, 100, above=True)] = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig(Configuration):
    """A whole run.

    Attributes:
        data: Photographs and the people kept out.
        out: The run's folder; a run that is found unfinished there goes on.
        backbone: A name of `backbones.registry`.
        embedding_size: D.
        init: A weights file of the same backbone to begin with, or the backbone's name for its
            published weights at hand; a head that does not fit begins at random. None: all does.
        freeze: Epochs between two stages of unfreezing: at first only the head learns, then one
            stage more, from the output on; 0: everything learns from the start.
        norm: What the backbone's layers normalise over, in the place of batch norm.
        attention: What stands behind each of its stages.
        activation: What stands in the place of its own activations.
        head_pooling: How its last feature map becomes one vector.
        conv: What stands in the place of its dense convolutions.
        stn: Whether a spatial transformer before it learns how faces are best aligned.
        width: α of MobileNet: how many times as wide as registered.
        resolution: ρ of MobileNet: the share of each side that crops are scaled to inside.
        cardinality: Groups of a ResNeXt's bottlenecks; None: its own.
        weight_init: What its weights are drawn from, where none are there to begin with.
        teacher: A weights file whose embeddings the distillation losses aim at, or the name of a
            network whose weights are at hand.
        targets: Whether the teacher sees photographs as they are, or each augmented view.
        teachers: Several instead of one; their embeddings are joined.
        losses: The terms of the objective.
        batch: What a step sees.
        augment: How far a photograph is changed at random; all zero shows it as it is.
        mixup: Whether photographs are mixed in pairs.
        dropout: Share of the last feature map's numbers set to zero, 0 … 1.
        optimizer: The step rule.
        schedule: The learning rate's curve.
        epochs: How often the run goes through the data.
        averaging: Decay of the weights' moving average that is validated and saved; 0: none.
        metric: What `best` means.
        patience: Epochs without a better metric before the run stops; None: never.
        precision: bf16 is faster where the processor has it.
        channels_last: Memory order of the feature maps.
        compile: Translate the network into fused machine code first, with `torch.compile`: a minute
            or so, then steps a third shorter on a processor. Needs a C++ compiler.
        mirror: Embeddings are joined with those of the mirrored photograph in validation, and the
            weights file says so.
        seed: Of the first weights, the split, the batches and the augmentation.
        device: auto, cpu or cuda.
        tensorboard: Whether the run also writes TensorBoard's event files.
    """

    data: DataConfig
    out: File
    backbone: str = "mobilefacenet"
    embedding_size: Annotated[int, Within(2, 65_536)] = 128
    init: File | None = None
    freeze: Annotated[int, Within(0, MOST_EPOCHS)] = 0
    norm: Norm = Norm.BATCH
    attention: Attention = Attention.NONE
    activation: Activation = Activation.OWN
    head_pooling: HeadPooling = HeadPooling.OWN
    conv: Convolution = Convolution.STANDARD
    stn: Flag = False
    width: Annotated[float, Within(LEAST_WIDTH, MOST_WIDTH)] = 1.0
    resolution: Annotated[float, Within(LEAST_RESOLUTION, 1)] = 1.0
    cardinality: Annotated[int, Within(1, MOST_GROUPS)] | None = None
    weight_init: WeightInit = WeightInit.OWN
    teacher: File | None = None
    targets: Targets = Targets.PHOTOGRAPHS
    teachers: tuple[TeacherConfig, ...] = ()
    losses: tuple[LossConfig, ...] = (LossConfig(name=LossName.TRIPLET),)
    batch: BatchConfig = BatchConfig()
    augment: Augmentation = field(default_factory=Augmentation)
    mixup: MixupConfig = MixupConfig()
    dropout: Annotated[float, Within(0, 0.99)] = 0.0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    epochs: Annotated[int, Within(1, MOST_EPOCHS)] = 20
    averaging: Annotated[float, Within(0, 0.999999)] = 0.0
    metric: Metric = Metric.AUC
    patience: Annotated[int, Within(1, MOST_EPOCHS)] | None = None
    precision: Precision = Precision.FLOAT32
    channels_last: Flag = True
    compile: Flag = False
    mirror: Flag = True
    seed: Annotated[int, Within(0, 2**31 - 1)] = 0
    device: str = "auto"
    tensorboard: Flag = False

    def _check(self) -> None:
        if self.freeze and self.init is None:
            raise ArgumentError("freeze keeps what is learnt, and nothing is: give weights to init")
        if self.out == self.data.folder:
            raise ArgumentError(f"{self.out} holds the photographs: give the run another folder")
        self._check_losses()
        self._check_mixup()

    def _check_mixup(self) -> None:
        if self.mixup.where is MixupPlace.NONE:
            return
        if unfit := [term.name for term in self.losses if not term.name.can_mix]:
            known = ", ".join(name for name in LossName if name.can_mix)
            raise ArgumentError(
                f"the loss {unfit[0]} compares photographs of people, and a mixture shows nobody: "
                f"mixup goes with {known}"
            )
        if LossName.FEATURES in {term.name for term in self.losses}:
            raise ArgumentError(f"mixup and the loss {LossName.FEATURES} do not go together")
        if len({teacher.targets for teacher in self.taught_by}) > 1:
            raise ArgumentError("mixup needs teachers that all see photographs, or all see views")
        if self.compile and self.mixup.where is MixupPlace.HIDDEN:
            raise ArgumentError("mixup at a hidden place changes the network: leave compile out")

    @property
    def taught_by(self) -> tuple[TeacherConfig, ...]:
        """The networks that teach, one or several; empty without any."""
        if self.teacher is None:
            return self.teachers
        return (TeacherConfig(weights=self.teacher, targets=self.targets),)

    def _check_teachers(self, *, taught: bool) -> None:
        if self.teacher is not None and self.teachers:
            raise ArgumentError("teacher is for one network, teachers for several: give either")
        if self.targets is Targets.VIEWS and self.teachers:
            raise ArgumentError("targets is for one teacher: of several, each has its own")
        watching = [t for t in self.taught_by if t.targets is Targets.VIEWS]
        if (watching or self.targets is Targets.VIEWS) and not taught:
            raise ArgumentError(f"targets is {Targets.VIEWS}, and no loss has a teacher")
        self._check_features(watched=bool(watching))

    def _check_features(self, *, watched: bool) -> None:
        for term in self.losses:
            if (term.name is LossName.FEATURES) != bool(term.taps):
                raise ArgumentError(
                    f"taps name the feature maps of the loss {LossName.FEATURES}, and of no other"
                )
            if term.name is LossName.FEATURES and not watched:
                raise ArgumentError(
                    f"the loss {term.name} compares feature maps of one view: "
                    f"set targets to {Targets.VIEWS}"
                )

    def _check_losses(self) -> None:
        names = [term.name for term in self.losses]
        if not names:
            raise ArgumentError(f"no loss is given: choose from {', '.join(LossName)}")
        if len(set(names)) < len(names):
            raise ArgumentError(f"each loss may be given once, not {', '.join(names)}")
        taught = [name for name in names if name.needs_teacher]
        if taught and not self.taught_by:
            raise ArgumentError(f"the loss {taught[0]} needs a teacher: give its weights file")
        self._check_teachers(taught=bool(taught))
        if self.data.has_unnamed and not taught:
            known = ", ".join(name for name in LossName if name.needs_teacher)
            raise ArgumentError(f"photographs without names teach only with one of: {known}")
        if self.data.has_unnamed and self.batch.sampling is Sampling.PEOPLE:
            raise ArgumentError(
                "photographs without names cannot be drawn by person: "
                f"set batch.sampling to {Sampling.PHOTOGRAPHS}"
            )
        positive = [name for name in names if name.needs_positive]
        if positive and (self.batch.photographs < 2 or self.batch.people == 1):
            raise ArgumentError(
                f"the loss {positive[0]} compares people: a batch needs 2 of them or more, and 2 "
                "photographs of each"
            )


# Recipes of a training.

PREFIX = "LIKENESS_TRAIN_"
"""What the name of an environment variable that is a setting begins with."""

FLAGS = {
    "data": "data.folder",
    "rate": "optimizer.rate",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "warmup": "schedule.warmup",
    "pool": "head_pooling",
}
"""Flags that are named otherwise than their keys."""


def configure(
    recipe: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
    loss: LossName | str | None = None,
    **flags: object,
) -> TrainingConfig:
    """Join a recipe with the environment and the flags of a command, each winning over the last.

    Args:
        recipe: A TOML file; None: the defaults.
        environment: Variables, of which those that begin with `LIKENESS_TRAIN_` are settings.
        settings: `KEY=VALUE` as of `--set`: they win over all else.
        loss: Instead of the recipe's losses, this one alone.
        flags: Top-level keys of the recipe, and those in `FLAGS`; None stands for a flag that was
            not given. Paths among them are relative to the working directory.

    Raises:
        ArgumentError: A file that is missing or no TOML, an unknown key, a value out of range.
    """
    given = {FLAGS.get(name, name): value for name, value in flags.items()}
    table = joined(
        TrainingConfig,
        recipe,
        prefix=PREFIX,
        environment=environment,
        flags={"losses": None if loss is None else [{"name": loss}], **given},
        settings=settings,
    )
    if not isinstance(table.get("data"), dict) or "folder" not in table["data"]:
        raise ArgumentError("no photographs to train on: give --data FOLDER or a recipe with data")
    if "out" not in table:
        raise ArgumentError("no folder for the run: give --out RUN")
    return read(TrainingConfig, table, recipe.parent if recipe is not None else Path())
