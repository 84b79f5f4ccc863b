"""The names a run may be told: losses, mining, samplers, precision."""

from enum import StrEnum


class LossName(StrEnum):
    """What the embedding is trained for; the terms of a weighted sum."""

    TRIPLET = "triplet"
    CONTRASTIVE = "contrastive"
    PAIR = "pair"
    SOFTMAX = "softmax"
    ARCFACE = "arcface"
    COSFACE = "cosface"
    SUBCENTER = "subcenter"
    DISTILL = "distill"
    RELATIONAL = "relational"
    FEATURES = "features"
    SOFTENED = "softened"

    @property
    def needs_teacher(self) -> bool:
        """Whether the target is another network's embedding."""
        return self in {
            LossName.DISTILL,
            LossName.RELATIONAL,
            LossName.FEATURES,
            LossName.SOFTENED,
        }

    @property
    def needs_positive(self) -> bool:
        """Whether somebody must have two photographs or more."""
        return self in {LossName.TRIPLET, LossName.CONTRASTIVE, LossName.PAIR}

    @property
    def needs_classes(self) -> bool:
        """Whether the term keeps a weight for every person in training."""
        return self in {LossName.SOFTMAX, LossName.ARCFACE, LossName.COSFACE, LossName.SUBCENTER}

    @property
    def can_mix(self) -> bool:
        """Whether the loss of a mixture is the mixture of the losses."""
        return self.needs_classes or self in {LossName.DISTILL, LossName.SOFTENED}


class MixupPlace(StrEnum):
    """Where two photographs of a batch are mixed, if anywhere."""

    NONE = "none"
    INPUT = "input"
    """In the image (Zhang et al. 2018, mixup)."""
    HIDDEN = "hidden"
    """In the image or at a tap, drawn for each batch (Verma et al. 2019, Manifold Mixup)."""


class Mining(StrEnum):
    """Which triplets of a batch count (Schroff et al. 2015, FaceNet, section 3.2)."""

    ALL = "all"
    HARD = "hard"
    SEMI_HARD = "semi-hard"


class Targets(StrEnum):
    """What the teacher looks at when its answer is a target."""

    PHOTOGRAPHS = "photographs"
    """Each photograph as it is, once: the student learns to see through the augmentation."""
    VIEWS = "views"
    """What the student sees, augmented, in every step (Beyer et al. 2022, *A good teacher is
    patient and consistent*): each view is another example, which a small data set needs."""


class Sampling(StrEnum):
    """What an epoch is: people drawn P×K, or every photograph once."""

    PEOPLE = "people"
    PHOTOGRAPHS = "photographs"


class SamplerName(StrEnum):
    """How a search draws its trials: at random, or from what the earlier ones taught.

    `tpe` is the tree-structured Parzen estimator (Bergstra et al. 2011).
    """

    RANDOM = "random"
    TPE = "tpe"


class Precision(StrEnum):
    """The number format of the network's forward pass; weights stay float32."""

    FLOAT32 = "float32"
    BF16 = "bf16"


class Metric(StrEnum):
    """The one number of held-out people that chooses `best` and stops early; higher is better."""

    AUC = "val_auc"
    TAR = "val_tar"


class FaceFormat(StrEnum):
    """How aligned faces are written: without loss, or as JPEG of quality 95."""

    PNG = "png"
    JPG = "jpg"
