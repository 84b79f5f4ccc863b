"""A small network taught by a larger one: its embeddings are the targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.network import Alteration, Backbone
from backbones.spec import Alignment, BackboneSpec
from backbones.weights import LoadedBackbone, load_backbone
from data.errors import ArgumentError
from data.files import sha256_of
from data.tensors import read_tensors, write_tensors

from .quick import compiled

TARGETS = "teacher-targets.safetensors"
"""The file in a run's folder that keeps the teacher's answers."""
_BATCH = 64
_LEAST = 1e-6
"""Added to the variance of a channel that may be the same everywhere."""


class CosineDistillation(nn.Module):
    """1 − cosine between the embedding and the teacher's, for one and the same face.

    A linear map stands between them where the teacher's are of another length; it serves training
    alone and is not saved with the network.
    """

    def __init__(self, embedding_size: int, target_size: int) -> None:
        super().__init__()
        same = embedding_size == target_size
        self.map = nn.Identity() if same else nn.Linear(embedding_size, target_size, bias=False)

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """(B, D), (B,), (B, T) → scalar, 0 … 2."""
        return (1 - F.cosine_similarity(self.map(embeddings), targets)).mean()


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
        own: (B, C, H, W) of the student.
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
            own, wanted = layer(maps.own[tap].float()), maps.wanted[tap].float()
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
    """Load the network that teaches.

    Raises:
        ArgumentError: It was trained on faces of another alignment.
        WeightsError: The file is no usable weights file.
    """
    teacher = load_backbone(None, weights=weights, device=device)
    if teacher.alignment is not Alignment.FIVE_POINT:
        raise ArgumentError(
            f"the teacher {weights.name} expects faces aligned as {teacher.alignment}: "
            f"give one trained on {Alignment.FIVE_POINT}"
        )
    return teacher


def teacher_targets(
    teacher: LoadedBackbone,
    pixels: Tensor,
    cache: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The teacher's embedding of every photograph and of its mirror image, computed once.

    The targets are those of the photograph as it is: under augmentation the student learns to
    give the answer for the undisturbed face.

    Args:
        teacher: The network that teaches.
        pixels: (N, 3, 112, 112) uint8.
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
    """A teacher that answers what the student sees, view by view."""

    def __init__(self, teacher: LoadedBackbone, *, compile: bool, taps: Sequence[str] = ()) -> None:
        """Prepare.

        Args:
            teacher: The network that teaches.
            taps: Whose feature maps are wanted too.
            compile: Whether it is translated first, as `quick.compiled` does.

        Raises:
            ArgumentError: There is no C++ compiler.
        """
        self.size = teacher.backbone.spec.dimension
        self._width = teacher.input_size[1]
        tapped = Tapped(teacher.backbone, taps)
        self._embed = compiled(tapped) if compile else tapped

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, 112, 112) in [0, 1] → (B, T) float32 of unit length, and maps by tap."""
        embeddings, maps = self._embed(_middle(images, self._width))
        return F.normalize(embeddings.float()), maps


@torch.inference_mode()
def _embed(teacher: LoadedBackbone, images: Tensor) -> Tensor:
    """(B, 3, 112, 112) → (B, T) of unit length, on the CPU."""
    device = next(teacher.backbone.parameters()).device
    cut = _middle(images.to(device), teacher.input_size[1])
    return F.normalize(teacher.backbone.embedding(cut)).cpu()


def _middle(images: Tensor, width: int) -> Tensor:
    """The middle columns: (B, 3, H, W) → (B, 3, H, width), channels last."""
    margin = (images.shape[3] - width) // 2
    cut = images[..., margin : images.shape[3] - margin]
    return cut.contiguous(memory_format=torch.channels_last)
