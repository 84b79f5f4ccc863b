"""A recogniser's embeddings taught to a narrower network.

G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network, 2015, with embeddings
in the place of classes: the student's shall point where the teacher's do, and faces of a batch
shall be as similar as the teacher finds them. It is a training run like any other; only what a
user would have to write into a recipe is chosen here.
"""

from dataclasses import dataclass
from pathlib import Path

from backbones.compression.file import METADATA_KEY
from backbones.places import WeightsFile, weights_file
from backbones.spec import Alignment
from backbones.training.optimizers import OptimizerConfig
from backbones.weights import load_backbone
from data.errors import ArgumentError
from data.files import printable
from data.progress import Progress
from data.tensors import read_tensors, write_tensors

from .choices import LossName, Sampling
from .config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from .reports import TrainingProgress
from .trainer import train

EPOCH = 50
"""Steps between two states from which a run that was interrupted goes on."""
STUDENT = "mobilefacenet"
RATE = 2e-3
_JUDGING = (5.0, 1.0, 0.0)
"""Shares of the people who teach, and by whom the best weights and the threshold are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """How a network is taught to a narrower one.

    Attributes:
        photographs: A folder of people; nobody of them is named in what is learnt.
        student: The architecture that learns, one of `backbones.registry`.
        width: How many times as wide as registered each of its layers is.
        steps: Of training, at least 1; rounded up to whole epochs of `EPOCH`.
        batch: Photographs a step, an even number of 2 or more.
        rate: Of AdamW at its highest.
        seed: Of the first weights, the order and the augmentation.
        device: auto, cpu or cuda.
        cache: Where photographs that have been aligned are kept.
    """

    photographs: Path
    student: str = STUDENT
    width: float = 1.0
    steps: int = 200
    batch: int = 32
    rate: float = RATE
    seed: int = 0
    device: str = "cpu"
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ArgumentError("distill learns everything anew: --steps is 1 or more")
        if self.batch < 2 or self.batch % 2:
            raise ArgumentError(f"a batch is {self.batch}: distill takes an even number, 2 or more")

    def run_folder(self, place: Path) -> Path:
        """Where the run is kept that makes this file: what was interrupted goes on there."""
        return place.with_suffix(".run")

    def config(self, teacher: WeightsFile, place: Path, dimension: int) -> TrainingConfig:
        """The training that this stands for.

        Args:
            teacher: The weights that teach.
            place: The new file.
            dimension: How many numbers an embedding of the teacher's has.
        """
        return TrainingConfig(
            data=DataConfig(folder=self.photographs, split=_JUDGING, cache=self.cache),
            out=self.run_folder(place),
            backbone=self.student,
            width=self.width,
            embedding_size=dimension,
            teacher=teacher.path,
            losses=(
                LossConfig(name=LossName.DISTILL),
                LossConfig(name=LossName.RELATIONAL, weight=0.5),
            ),
            batch=BatchConfig(
                sampling=Sampling.PHOTOGRAPHS,
                people=self.batch // 2,
                photographs=2,
                steps=min(EPOCH, self.steps),
            ),
            optimizer=OptimizerConfig(rate=self.rate, clip=5.0),
            epochs=-(-self.steps // EPOCH),
            mirror=False,
            seed=self.seed,
            device=self.device,
        )


def distil(
    teacher: WeightsFile,
    place: Path,
    narrowing: Narrowing,
    progress: Progress | None = None,
) -> WeightsFile:
    """Teach a network to a narrower one, and write that one's weights.

    Args:
        teacher: Weights of a recogniser.
        place: The new file; the run beside it is kept, and goes on if the same is asked again.
        narrowing: How.
        progress: Told how many steps of how many are done.

    Returns:
        The new file. It names what it was made of (`compressed_from`) and has a threshold of its
        own, measured on the people who judged.

    Raises:
        ArgumentError: The file would take the teacher's place, cannot be written, or the student
            comes in one width or is none of the networks.
        DatasetError: The photographs are not in folders of people, or too few.
        TrainingError: The loss is no finite number, or beside the new file lies another run.
        WeightsError: The teacher's weights are damaged or of a network that knows no faces.
    """
    if place.resolve() == teacher.path.resolve():
        raise ArgumentError(f"{printable(place)} is the weights themselves: name another file")
    spec = load_backbone(teacher.architecture, weights=teacher.path).backbone.spec
    if spec.alignment is Alignment.NONE:
        raise ArgumentError(
            f"{teacher.architecture} paints: distill is for networks that recognise faces"
        )
    config = narrowing.config(teacher, place, spec.dimension)

    def tell(told: TrainingProgress) -> None:
        if progress is not None and told.stage.startswith("epoch "):
            epoch = int(told.stage.split()[1])
            progress((epoch - 1) * told.total + told.done, config.epochs * told.total)

    result = train(config, progress=tell, command="likeness models compress --method distill")
    made = read_tensors(result.weights)
    metadata = dict(made.metadata)
    metadata |= {"compressed_from": teacher.sha256, "compressed_by": "distill"}
    metadata.pop(METADATA_KEY, None)
    try:
        write_tensors(place, made.tensors, metadata)
    except OSError as error:
        raise ArgumentError(
            f"cannot write {printable(place)}: {error.strerror or error}"
        ) from error
    return weights_file(place, narrowing.student)
