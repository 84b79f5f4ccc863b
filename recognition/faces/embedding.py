"""Aligned faces → unit vectors; several networks as one; crops; for a painter's gradient."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.folded_batch_norm import folded
from backbones.pair_unit import PairUnit
from backbones.places import every_weights
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, load_backbone
from data.errors import ArgumentError, WeightsError

from ..results import Face
from .alignment import align_tensors, crop_size, transforms_to_crops

# One face cut out several times, a little beside and around: whoever averages sees it better.
#
# AlexNet (Krizhevsky et al., NIPS 2012) averages what it says of the centre and the four corners
# of a picture, and of their mirror images. An aligned face fills its picture, so its corners are
# near.

_SHIFT = 1 / 28
"""How far a corner lies from the centre, of the side: 4 of 112 pixels."""

_ZOOM = 1.06
"""By how much a scale is larger than the next."""

_CORNERS = ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))
_VIEWS = {
    1: [(0, 0, 1.0)],
    5: [(x, y, 1.0) for x, y in _CORNERS],
    15: [(x, y, zoom) for zoom in (1.0, _ZOOM, 1 / _ZOOM) for x, y in _CORNERS],
}

CROP_COUNTS = tuple(_VIEWS)
"""The face as it is; with four corners; these five at three scales."""


def check_crops(count: int) -> None:
    """Refuse a number of crops for which there is no set.

    Raises:
        ArgumentError: It is not one of `CROP_COUNTS`.
    """
    if count not in _VIEWS:
        known = ", ".join(map(str, CROP_COUNTS))
        raise ArgumentError(f"a face cannot be cut out {count} times: take one of {known}")


def cut_several(faces: Tensor, count: int) -> Iterator[Tensor]:
    """Cut each face out several times.

    Args:
        faces: (F, 3, S, S) floating point, aligned.
        count: One of `CROP_COUNTS`.

    Yields:
        (F, 3, S, S), the faces as they are first; beyond the edge its pixels are repeated.
    """
    for x, y, zoom in _VIEWS[count]:
        yield faces if (x, y, zoom) == (0, 0, 1.0) else _cut(faces, x, y, zoom)


def _cut(faces: Tensor, x: int, y: int, zoom: float) -> Tensor:
    # A side is 2 long for affine_grid.
    theta = faces.new_tensor([[1 / zoom, 0, 2 * _SHIFT * x], [0, 1 / zoom, 2 * _SHIFT * y]])
    grid = F.affine_grid(theta.expand(len(faces), 2, 3), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)


# Aligned faces → unit vectors, of which those of one person lie close together.

_BATCH = {"cpu": 16, "cuda": 256}  # on a processor, what its cache holds


class FaceEmbedder:
    """Embeds aligned faces with a trained network.

    Args:
        loaded: The network, whose input is no wider than high. A copy of it is run, with its batch
            norms folded and in the channels-last layout: the same numbers but for rounding.
        mirror: Whether the mirrored face's embedding is appended; None does what the weights ask
            for, which is what their threshold was measured with.
        crops: How often each face is cut out, one of `CROP_COUNTS`; the crops' embeddings are
            averaged.
        batch: Images a pass of the network; None takes what suits the device.

    Raises:
        ArgumentError: There is no set of so many crops.
        WeightsError: The network's input is wider than high.
    """

    def __init__(
        self,
        loaded: LoadedBackbone,
        *,
        mirror: bool | None = None,
        crops: int = 1,
        batch: int | None = None,
    ) -> None:
        check_crops(crops)
        height, width = loaded.input_size
        if width > height:
            raise WeightsError(
                f"{loaded.weights.path} wants faces {width} wide and {height} high; "
                "take weights whose input is no wider than high"
            )
        self._loaded = loaded
        self._mirror = loaded.mirror if mirror is None else mirror
        self._crops = crops
        self._backbone = folded(loaded.backbone).to(memory_format=torch.channels_last)
        self._device = loaded.backbone.normalise.mean.device
        self._batch = batch or _BATCH.get(self._device.type, 64)

    @property
    def model_id(self) -> str:
        """The network's name."""
        return self._loaded.weights.architecture

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the weights file."""
        return self._loaded.weights.sha256

    @property
    def threshold(self) -> float | None:
        """Cosine similarity from which on two faces count as one person's; None if not known.

        It holds for embeddings of one crop, mirrored as the weights ask, and is not known for
        others.
        """
        return self._loaded.threshold if self.is_as_measured else None

    @property
    def tail(self) -> str | None:
        """What the weights file itself says of strangers; None where it says nothing.

        It holds for the same embeddings as `threshold`.
        """
        return self._loaded.tail if self.is_as_measured else None

    @property
    def pair(self) -> PairUnit | None:
        """What verifies a pair of embeddings; None where the weights have none, or not for these.

        It takes embeddings mirrored or not, but of one crop.
        """
        return self._loaded.pair if self._crops == 1 else None

    @property
    def is_mirrored(self) -> bool:
        """Whether the mirrored face's embedding is appended."""
        return self._mirror

    @property
    def is_as_measured(self) -> bool:
        """Whether embeddings are such as the weights' own figures hold for."""
        return self._mirror == self._loaded.mirror and self._crops == 1

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self._loaded.weights.path

    @property
    def alignment(self) -> Alignment:
        """How the faces must have been aligned."""
        return self._loaded.alignment

    @property
    def alignments(self) -> tuple[Alignment, ...]:
        """The same, as of several networks that are one."""
        return (self.alignment,)

    @property
    def dimension(self) -> int:
        """D, how many numbers an embedding has."""
        return self._backbone.spec.dimension * (2 if self._mirror else 1)

    def embed(self, crops: Tensor) -> npt.NDArray[np.float32]:
        """Embed faces.

        Args:
            crops: (F, 3, S, S) float32, 0 … 1, aligned as `alignment` says.

        Returns:
            (F, D) float32, each of unit length.

        Raises:
            WeightsError: The network gives numbers that are not finite, or nothing but zeros.
            ValueError: The crops are of another size.
        """
        self._check_size(crops)
        units = [self._unit(self._embed_all(cut)) for cut in cut_several(crops, self._crops)]
        if len(units) == 1:
            return units[0]
        return self._unit(torch.from_numpy(np.mean(units, axis=0)))

    def embed_aligned(self, aligned: Callable[[Alignment], Tensor]) -> npt.NDArray[np.float32]:
        """Embed faces that are at hand by any alignment.

        Args:
            aligned: Gives the faces, (F, 3, S, S) float32, 0 … 1, by an alignment.

        Returns:
            As `embed`.

        Raises:
            WeightsError: As `embed`.
        """
        return self.embed(aligned(self.alignment))

    def differentiable(self, crops: Tensor) -> Tensor:
        """Embed faces in one pass, so that gradients flow back to them.

        Each is cut out once, and mirrored as in `embed`.

        Args:
            crops: (F, 3, S, S) floating point, 0 … 1, aligned as `alignment` says.

        Returns:
            (F, D) on the crops' device, each of unit length; zeros where the network's are.

        Raises:
            ValueError: The crops are of another size.
        """
        self._check_size(crops)
        return F.normalize(self._raw(crops.to(self._device)).to(crops.device))

    def _check_size(self, crops: Tensor) -> None:
        """Refuse crops that another alignment made."""
        size = crop_size(self.alignment)
        if tuple(crops.shape[1:]) != (3, size, size):
            raise ValueError(f"expected crops (F, 3, {size}, {size}), got {tuple(crops.shape)}")

    def _embed_all(self, crops: Tensor) -> Tensor:
        """As many passes as it takes: (F, 3, S, S) → (F, D), not normalised."""
        per_pass = max(1, self._batch // 2 if self._mirror else self._batch)
        parts = [torch.zeros(0, self.dimension)]
        parts += [self._embed(part).cpu() for part in torch.split(crops, per_pass)]
        return torch.cat(parts)

    def _unit(self, embeddings: Tensor) -> npt.NDArray[np.float32]:
        """(F, D) → (F, D), each of unit length."""
        lengths = embeddings.norm(dim=1, keepdim=True)
        if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
            raise WeightsError(
                f"{self._loaded.weights.path} gives embeddings that are not finite or zero: "
                "the weights are damaged, fetch them again"
            )
        unit: npt.NDArray[np.float32] = (embeddings / lengths).numpy()
        return unit

    @torch.inference_mode()
    def _embed(self, crops: Tensor) -> Tensor:
        """One pass without gradient: (F, 3, S, S) → (F, D), not normalised."""
        return self._raw(crops.to(self._device), self._loaded.accelerated)

    def _raw(self, crops: Tensor, accelerated: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """One pass: (F, 3, S, S) → (F, D), not normalised."""
        embedding = accelerated or self._backbone.embedding
        inputs = self._fitted(crops)
        if not self._mirror:
            return embedding(inputs)
        both = embedding(torch.cat([inputs, inputs.flip(3)]))
        return torch.cat(torch.chunk(both, 2), 1)

    def _fitted(self, crops: Tensor) -> Tensor:
        """Scale crops to the network's height and take its middle columns: (F, 3, H, W)."""
        height, width = self._loaded.input_size
        if crops.shape[2] != height:
            crops = F.interpolate(crops, (height, height), mode="bilinear", antialias=True)
        first = (height - width) // 2
        return crops[:, :, :, first : first + width].contiguous(memory_format=torch.channels_last)


# Faces at known places of a picture that is being painted → embeddings, with their gradients.
#
# Faces are looked for once. A picture that changes bit by bit keeps them where they are, so their
# transforms stay, and from its pixels to the embeddings everything can be differentiated.


class FacesInPlace:
    """Embeds the faces of a picture of any size, where they were found in one size.

    Args:
        embedder: What embeds the aligned faces; it is frozen.
        faces: Where they were found.
        size: Width and height in pixels of the image they were found in.

    Raises:
        ImageError: A face's landmarks coincide.
    """

    def __init__(
        self, embedder: FaceEmbedder, faces: Sequence[Face], size: tuple[int, int]
    ) -> None:
        self._embedder = embedder
        self._size = size
        self._transforms = transforms_to_crops(faces, [size] * len(faces), embedder.alignment)

    def __call__(self, picture: Tensor) -> Tensor:
        """Embed the faces.

        Args:
            picture: (1, 3, H, W) floating point, 0 … 1, of the proportions of the image that the
                faces were found in.

        Returns:
            (F, D), each of unit length, in the order of the faces; differentiable in the picture.
        """
        height, width = picture.shape[2:]
        shares = self._transforms.new_tensor([self._size[0] / width, self._size[1] / height, 1])
        transforms = (self._transforms * shares).to(picture)
        owners = torch.zeros(len(transforms), dtype=torch.int64, device=picture.device)
        crops = align_tensors(picture, owners, transforms, crop_size(self._embedder.alignment))
        return self._embedder.differentiable(crops)


# Several networks as one: each sees the face by its own alignment, and their vectors are joined.
#
# Networks that were trained on other photographs, by other people, err elsewhere. Of unit
# vectors, each scaled by the root of its share and set end to end, the cosine similarity is the
# mean of the networks' own, weighted by these shares.

BOTH = "both"
"""What users may call the two networks that come along."""

_BOTH = ("dlib_resnet", "mobilefacenet")
_JOINT = "+"
_WEIGHT = {"dlib_resnet": 19.0}
"""How much a network's similarities count beside those of others, 1 where nothing is said. Those of
dlib's network lie close together. On fold 9 of LFW, joined with the bundled network, fewest known
people were missed at FPIR 1 % and 10 % with 0.95 of the whole, of shares from 0.3 to 0.95."""

Aligned = Callable[[Alignment], Tensor]
"""The same faces by any alignment, (F, 3, S, S) float32, 0 … 1."""


class JoinedEmbedder:
    """Embeds faces with several networks, and joins what they give.

    Args:
        parts: One for each network, two or more, in the order of their names.

    Raises:
        ValueError: There are fewer than two, or they are not in that order.
    """

    def __init__(self, parts: Sequence[FaceEmbedder]) -> None:
        names = [part.model_id for part in parts]
        if len(names) < 2 or names != sorted(set(names)):
            raise ValueError(f"expected two or more networks in the order of their names: {names}")
        self._parts = tuple(parts)
        weights = [_WEIGHT.get(name, 1.0) for name in names]
        self._shares = tuple(weight / sum(weights) for weight in weights)

    @property
    def model_id(self) -> str:
        """The networks' names."""
        return _JOINT.join(part.model_id for part in self._parts)

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the digests and shares of all weights: another network, or share, another."""
        return joined_digest([part.weights_digest for part in self._parts], self._shares)

    @property
    def threshold(self) -> None:
        """No file of weights knows from which similarity on two faces are one person's."""
        return None

    @property
    def tail(self) -> None:
        """No file of weights knows how alike several networks find strangers; a card may."""
        return None

    @property
    def is_mirrored(self) -> bool:
        """Whether any network's mirrored face's embedding is appended."""
        return any(part.is_mirrored for part in self._parts)

    @property
    def is_as_measured(self) -> bool:
        """Whether embeddings are such as a card's figures hold for."""
        return all(part.is_as_measured for part in self._parts)

    @property
    def alignments(self) -> tuple[Alignment, ...]:
        """How the networks want the faces aligned."""
        return tuple(alignment for part in self._parts for alignment in part.alignments)

    @property
    def weights_path(self) -> None:
        """There is no single file of weights."""
        return None

    @property
    def dimension(self) -> int:
        """D, how many numbers an embedding has."""
        return sum(part.dimension for part in self._parts)

    def embed_aligned(self, aligned: Aligned) -> npt.NDArray[np.float32]:
        """Embed faces.

        Args:
            aligned: Gives the faces by each of `alignments`.

        Returns:
            (F, D) float32, each of unit length.

        Raises:
            WeightsError: A network gives numbers that are not finite, or nothing but zeros.
        """
        scaled = [
            part.embed_aligned(aligned) * np.float32(share**0.5)
            for part, share in zip(self._parts, self._shares, strict=True)
        ]
        return np.concatenate(scaled, axis=1)


Recogniser = FaceEmbedder | JoinedEmbedder
"""What embeds faces, of one network or several."""


def joined_digest(digests: Sequence[str], shares: Sequence[float]) -> str:
    """What stands for the digest of several files of weights.

    Args:
        digests: SHA-256 of each, hexadecimal, in the order of the networks' names.
        shares: How much each counts; they sum to 1.

    Returns:
        SHA-256, hexadecimal.
    """
    lines = [f"{digest} {share:.6f}\n" for digest, share in zip(digests, shares, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def network_names(model: str) -> tuple[str, ...]:
    """The networks that a name means, in the order of their own names.

    Args:
        model: A network's name, several joined by `+`, or `both`.

    Raises:
        ArgumentError: A network is named twice.
    """
    names = _BOTH if model == BOTH else tuple(sorted(model.split(_JOINT)))
    if len(set(names)) < len(names):
        raise ArgumentError(f"{model!r} names a network twice: join different ones")
    return names


def load_recogniser(
    model: str | None,
    *,
    weights: Sequence[Path] = (),
    home: Path | None = None,
    device: str = "auto",
    mirror: bool | None = None,
    crops: int = 1,
) -> Recogniser:
    """Load what embeds faces.

    Args:
        model: As `network_names` understands it; None takes what the weights say.
        weights: A file for each network, in the order of their names; empty looks for them.
        home: The application's data folder; None takes the user's.
        device: `auto`, `cpu` or `cuda`.
        mirror: As in `FaceEmbedder`.
        crops: As in `FaceEmbedder`.

    Returns:
        One network's embedder, or that of several.

    Raises:
        ArgumentError: There is no such network, file, device or set of crops; a network is named
            twice; or the number of files is not that of the networks.
        WeightsError: Weights are not at hand, or damaged.
    """
    names: Sequence[str | None] = [None] if model is None else network_names(model)
    files: Sequence[Path | None] = weights or [None] * len(names)
    if len(files) != len(names):
        raise ArgumentError(
            f"{model} joins {len(names)} networks, each with its own weights: leave --weights away "
            "and put files where they are looked for, as LIKENESS_WEIGHTS says"
        )
    parts = [
        FaceEmbedder(
            load_backbone(name, weights=file, home=home, device=device), mirror=mirror, crops=crops
        )
        for name, file in zip(names, files, strict=True)
    ]
    return parts[0] if len(parts) == 1 else JoinedEmbedder(parts)


def weights_of(model_id: str, weights_digest: str, home: Path | None) -> tuple[Path, ...] | None:
    """Find, among all weights at hand, the very ones that a digest stands for.

    Args:
        model_id: A network's name, or several joined by `+`.
        weights_digest: As `FaceEmbedder` or `JoinedEmbedder` gives it.
        home: The application's data folder; None takes the user's.

    Returns:
        A file for each network; None where they are not at hand.

    Raises:
        ArgumentError: There is no network of that name.
    """
    names = network_names(model_id)
    weights = [_WEIGHT.get(name, 1.0) for name in names]
    shares = [weight / sum(weights) for weight in weights]
    for files in itertools.product(*(every_weights(name, home) for name in names)):
        digests = [file.sha256 for file in files]
        found = digests[0] if len(digests) == 1 else joined_digest(digests, shares)
        if found == weights_digest:
            return tuple(file.path for file in files)
    return None
