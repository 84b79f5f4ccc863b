"""What a training run is told, checked before anything is read or written."""

from dataclasses import dataclass, field
from pathlib import Path

from backbones.spec import Activation, Attention, HeadPooling, Norm, WeightInit
from data.augment import Augmentation
from data.errors import ArgumentError
from data.ranges import check_count, check_range

from .choices import (
    LossName,
    Metric,
    MixupPlace,
    Precision,
    Sampling,
    Targets,
)
from .tables import (
    MOST_EPOCHS,
    BatchConfig,
    DataConfig,
    LossConfig,
    MixupConfig,
    OptimizerConfig,
    ScheduleConfig,
    SourceConfig,
    TeacherConfig,
)

__all__ = [
    "BatchConfig",
    "DataConfig",
    "LossConfig",
    "MixupConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "SourceConfig",
    "TeacherConfig",
    "TrainingConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
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
    out: Path
    backbone: str = "mobilefacenet"
    embedding_size: int = 128
    init: Path | None = None
    freeze: int = 0
    norm: Norm = Norm.BATCH
    attention: Attention = Attention.NONE
    activation: Activation = Activation.OWN
    head_pooling: HeadPooling = HeadPooling.OWN
    weight_init: WeightInit = WeightInit.OWN
    teacher: Path | None = None
    targets: Targets = Targets.PHOTOGRAPHS
    teachers: tuple[TeacherConfig, ...] = ()
    losses: tuple[LossConfig, ...] = (LossConfig(name=LossName.TRIPLET),)
    batch: BatchConfig = field(default_factory=BatchConfig)
    augment: Augmentation = field(default_factory=Augmentation)
    mixup: MixupConfig = field(default_factory=MixupConfig)
    dropout: float = 0.0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    epochs: int = 20
    averaging: float = 0.0
    metric: Metric = Metric.AUC
    patience: int | None = None
    precision: Precision = Precision.FLOAT32
    channels_last: bool = True
    compile: bool = False
    mirror: bool = True
    seed: int = 0
    device: str = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs, 1, MOST_EPOCHS)
        check_count("embedding_size", self.embedding_size, 2, 65_536)
        check_count("seed", self.seed, 0, 2**31 - 1)
        check_range("averaging", self.averaging, 0, 0.999999)
        check_range("dropout", self.dropout, 0, 0.99)
        check_count("freeze", self.freeze, 0, MOST_EPOCHS)
        if self.freeze and self.init is None:
            raise ArgumentError("freeze keeps what is learnt, and nothing is: give weights to init")
        if self.patience is not None:
            check_count("patience", self.patience, 1, MOST_EPOCHS)
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
