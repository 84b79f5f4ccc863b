"""A small network taught by a larger one: its embeddings are the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.network import Alteration, Backbone
from backbones.registry import available
from backbones.spec import Alignment, BackboneSpec
from backbones.weights import LoadedBackbone, load_backbone
from data.errors import ArgumentError, WeightsError
from data.files import sha256_of
from data.progress import Progress
from data.tensors import read_tensors, write_tensors

from .config import TrainingConfig
from .fast_layers import compiled

TARGETS = "teacher-targets.safetensors"
"""The file in a run's folder that keeps the teacher's answers."""
_BATCH = 64
_LEAST = 1e-6
"""Added to the variance of a channel that may be the same everywhere."""


class CosineDistillation(nn.Module):
    """1 − cosine between the embedding and the teacher's, for one and the same face.

    Where the teacher's are longer, as those of several teachers are, they are turned to their
    principal axes and cut to the student's length: of all linear maps that one leaves their
    similarities nearest to what they were, and the student's own similarities become those.
    Where they are shorter, a linear map that is learnt stands between. Both serve training alone
    and are not saved with the network.
    """

    def __init__(self, embedding_size: int, target_size: int, axes: Tensor | None = None) -> None:
        """Prepare.

        Args:
            embedding_size: D.
            target_size: T.
            axes: (T, D) as `principal_axes` gives them; needed where T is above D.
        """
        super().__init__()
        if target_size > embedding_size and axes is None:
            raise ValueError(f"{target_size} numbers need axes to become {embedding_size}")
        self.map: nn.Module = nn.Identity()
        if target_size < embedding_size:
            self.map = nn.Linear(embedding_size, target_size, bias=False)
        cut = axes if target_size > embedding_size else None
        self.axes: Tensor | None
        self.register_buffer("axes", cut)

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """(B, D), (B,), (B, T) → scalar, 0 … 2."""
        wanted = targets if self.axes is None else targets @ self.axes
        return (1 - F.cosine_similarity(self.map(embeddings), wanted)).mean()


def principal_axes(targets: Tensor, size: int) -> Tensor:
    """The axes along which embeddings lie farthest from the origin, the farthest first.

    Args:
        targets: (M, T); what they have in common counts, as it does for their cosines.
        size: How many axes, at most T.

    Returns:
        (T, size), orthonormal columns, each with its largest number above zero.
    """
    _, axes = torch.linalg.eigh(targets.double().T @ targets.double())  # rising
    axes = axes.flip(1)[:, :size]
    signs: Tensor = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    turned: Tensor = axes * signs
    return turned.float()


class SoftenedClasses(nn.Module):
    """Whom the teacher takes a face for, among the people in training, and how nearly others.

    Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*: cross-entropy of
    the student's class probabilities against the teacher's, both from logits divided by a
    temperature, times its square, less what the teacher's own entropy comes to: 0 where both
    agree. A face recogniser has lost its classifier; the means of its embeddings of each person
    stand in for it. The student's classifier is learnt, and serves training alone.
    """

    def __init__(
        self, embedding_size: int, centres: Tensor, *, scale: float, temperature: float
    ) -> None:
        """Prepare.

        Args:
            embedding_size: D.
            centres: (P, T) of unit length: each person's mean embedding by the teacher.
            scale: What cosines are multiplied by to become logits.
            temperature: What logits are divided by.
        """
        super().__init__()
        self.centres: Tensor
        self.register_buffer("centres", centres)
        self.classifier = nn.Linear(embedding_size, len(centres), bias=False)
        self._factor = scale / temperature
        self._temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """(B, D), (B,), (B, T) → scalar, at least 0; names do not count."""
        wanted = F.log_softmax(self._factor * F.normalize(targets) @ self.centres.T, dim=1)
        cosines = F.normalize(embeddings) @ F.normalize(self.classifier.weight).T  # (B, P)
        own = F.log_softmax(self._factor * cosines, dim=1)
        divergence = F.kl_div(own, wanted, reduction="batchmean", log_target=True)
        return divergence * self._temperature**2


def class_centres(targets: Tensor, labels: Tensor, people: int) -> Tensor:
    """Each person's mean embedding.

    Args:
        targets: (N, V, T) the teacher's, of V views of each photograph.
        labels: (N,) below 0 where there is no name.
        people: P.

    Returns:
        (P, T) of unit length.
    """
    named = labels >= 0
    sums = targets.new_zeros(people, targets.shape[2])
    return F.normalize(sums.index_add(0, labels[named], targets[named].sum(1)))


class RelationalDistillation(nn.Module):
    """Faces of a batch shall be as similar to each other as the teacher finds them.

    Mean squared difference between the two matrices of cosine similarity, after Peng et al. 2019,
    *Correlation Congruence for Knowledge Distillation*; the diagonal, always 1, is left out.
    """

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """(B, D), (B,), (B, T) → scalar, 0 … 4."""
        vectors = F.normalize(embeddings)
        wanted = F.normalize(targets)
        difference = vectors @ vectors.T - wanted @ wanted.T  # (B, B)
        count = len(vectors)
        return difference.square().sum() / max(1, count * (count - 1))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMaps:
    """What student and teacher see of the same views on their way to an embedding, by tap.

    Attributes:
        own: (B, C, H, W) of the student, in the precision of the losses.
        wanted: (B, C', H, W') of the teacher, W' at most W.
    """

    own: dict[str, Tensor]
    wanted: dict[str, Tensor]


class FeatureDistillation(nn.Module):
    """The student's feature maps, mapped linearly at each place, shall be the teacher's.

    Romero et al. 2015, *FitNets: Hints for Thin Deep Nets*. An embedding says one thing about a
    face; a map says something at each of its places, and teaches the first stages at once. The
    error of each channel is taken in units of its variance, so that 1 is what the teacher's mean
    would have; the mean over channels and taps is the loss. The maps between serve training alone.
    """

    def __init__(self, channels: Mapping[str, tuple[int, int]]) -> None:
        """Prepare.

        Args:
            channels: By tap, of the student and of the teacher.
        """
        super().__init__()
        self.maps = nn.ModuleDict(
            {tap: nn.Conv2d(own, wanted, 1) for tap, (own, wanted) in channels.items()}
        )

    def forward(self, maps: FeatureMaps) -> Tensor:
        """Scalar, at least 0."""
        errors = []
        for tap, layer in self.maps.items():
            own = layer(maps.own[tap])
            wanted = maps.wanted[tap].to(own.dtype)
            margin = (own.shape[3] - wanted.shape[3]) // 2
            difference = own[..., margin : margin + wanted.shape[3]] - wanted
            variance = wanted.var(dim=(0, 2, 3), correction=0)  # (C',)
            errors.append((difference.square().mean((0, 2, 3)) / (variance + _LEAST)).mean())
        return torch.stack(errors).mean()


def check_taps(student: BackboneSpec, teacher: BackboneSpec, taps: Sequence[str]) -> None:
    """Refuse feature maps that cannot be laid over each other.

    Args:
        student: Sees whole aligned faces.
        teacher: Sees the middle columns of the same, or all of them.
        taps: Names that both must have.

    Raises:
        ArgumentError: A tap is missing on one side, has another stride, or its places lie between
            each other, since the columns that the teacher does not see are no whole strides.
    """
    left_out = student.input_size[1] - teacher.input_size[1]
    for name in taps:
        own, wanted = student.tap(name), teacher.tap(name)
        if own.stride != wanted.stride or left_out % (2 * own.stride):
            raise ArgumentError(
                f"the feature maps {name} of {student.name} and of its teacher do not lie over "
                "each other: choose taps nearer to the input"
            )


def load_teacher(weights: Path, device: torch.device) -> LoadedBackbone:
    """Load a network that teaches.

    Args:
        weights: Its file, or the name of a network whose weights are at hand.
        device: Where it goes.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: The file is no usable weights file, or of a network that knows no faces.
    """
    if weights.name in available() and not weights.exists():
        teacher = load_backbone(weights.name, device=device)
    else:
        teacher = load_backbone(None, weights=weights, device=device)
    if teacher.alignment is Alignment.NONE:
        raise WeightsError(
            f"the teacher {weights.name} was not trained on faces: give weights of a recogniser"
        )
    return teacher


def teacher_targets(
    teacher: LoadedBackbone,
    pixels: Tensor,
    cache: Path,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """The teacher's embedding of every photograph and of its mirror image, computed once.

    The targets are those of the photograph as it is: under augmentation the student learns to
    give the answer for the undisturbed face.

    Args:
        teacher: The network that teaches.
        pixels: (N, 3, S, S) uint8, aligned as the teacher was taught.
        cache: A file in which the targets are kept; used again for the same teacher and pixels.
        progress: Told how many of how many are done.

    Returns:
        (N, 2, T) float32 of unit length: as it is, mirrored.
    """
    digest = sha256_of(pixels.numpy().tobytes())
    made_for = {"teacher": teacher.weights.sha256, "photographs": digest}
    if cache.is_file():
        known = read_tensors(cache)
        if {key: known.metadata.get(key) for key in made_for} == made_for:
            return known.tensors["targets"]
    parts = []
    for start in range(0, len(pixels), _BATCH):
        images = pixels[start : start + _BATCH].float() / 255
        both = [_embed(teacher, view) for view in (images, images.flip(3))]
        parts.append(torch.stack(both, dim=1))
        if progress is not None:
            progress(min(start + _BATCH, len(pixels)), len(pixels))
    targets = torch.cat(parts)  # (N, 2, T)
    write_tensors(cache, {"targets": targets}, made_for)
    return targets


class Tapped(nn.Module):
    """A network that gives its embedding and some of its feature maps in one pass."""

    def __init__(self, backbone: Backbone, taps: Sequence[str]) -> None:
        super().__init__()
        self.backbone = backbone
        self._taps = tuple(taps)

    def forward(
        self, images: Tensor, alterations: Mapping[str, Alteration] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `Backbone.embedding_with_features`."""
        return self.backbone.embedding_with_features(images, self._taps, alterations)


class Watching:
    """Teachers that answer what the student sees, view by view."""

    def __init__(
        self,
        teachers: Sequence[tuple[LoadedBackbone, float]],
        *,
        compile: bool,
        taps: Sequence[str] = (),
    ) -> None:
        """Prepare.

        Args:
            teachers: The networks, and what the answer of each is multiplied by.
            compile: Whether they are translated first, as `fast_layers.compiled` does.
            taps: Whose feature maps are wanted too; of one teacher alone.

        Raises:
            ArgumentError: There is no C++ compiler.
        """
        self._teachers = []
        for teacher, factor in teachers:
            tapped = Tapped(teacher.backbone, taps)
            embed = compiled(tapped) if compile else tapped
            self._teachers.append((embed, teacher.input_size[1], factor))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, S, S) in [0, 1] → (B, T) float32, the joined answers; and maps by tap."""
        answers, seen = [], dict[str, Tensor]()
        for embed, width, factor in self._teachers:
            embeddings, maps = embed(_middle(images, width))
            answers.append(F.normalize(embeddings.float()) * factor)
            seen |= maps
        return torch.cat(answers, dim=1), seen


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What the networks that teach have said beforehand, and those that watch every view.

    The embeddings of several are joined: each is of unit length times the root of its share of the
    weights, so that a cosine of joined ones is the weighted mean of the cosines of each. Those who
    answered beforehand stand first.

    Attributes:
        watching: Answers views; None where all have answered beforehand.
        targets: (N, 2, T') of each photograph and of its mirror image; None where all watch.
        axes: (T, D) for `CosineDistillation`; None where it needs none.
        centres: (P, T) for `SoftenedClasses`; None where nothing needs them.
        size: T, of all together; None without a teacher.
        watcher: The network whose feature maps are compared; None: none is.
    """

    watching: Watching | None = None
    targets: Tensor | None = None
    axes: Tensor | None = None
    centres: Tensor | None = None
    size: int | None = None
    watcher: BackboneSpec | None = None


def taps_of(config: TrainingConfig) -> tuple[str, ...]:
    """Whose feature maps the teacher's are compared with; perhaps none."""
    return tuple(tap for term in config.losses for tap in term.taps)


@torch.inference_mode()
def _embed(teacher: LoadedBackbone, images: Tensor) -> Tensor:
    """(B, 3, S, S) → (B, T) of unit length, on the CPU."""
    device = next(teacher.backbone.parameters()).device
    height, width = teacher.input_size
    if images.shape[2] != height:
        images = F.interpolate(images, (height, height), mode="bilinear", antialias=True)
    cut = _middle(images.to(device), width)
    return F.normalize(teacher.backbone.embedding(cut)).cpu()


def _middle(images: Tensor, width: int) -> Tensor:
    """The middle columns: (B, 3, H, W) → (B, 3, H, width), channels last."""
    margin = (images.shape[3] - width) // 2
    cut = images[..., margin : images.shape[3] - margin]
    return cut.contiguous(memory_format=torch.channels_last)
