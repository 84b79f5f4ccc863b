"""Aligned faces → unit vectors, of which those of one person lie close together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.pair_unit import PairUnit
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone
from data.errors import WeightsError

from .align import crop_size
from .crops import check_crops, cut_several

_BATCH = {"cpu": 16, "cuda": 256}  # on a processor, what its cache holds


class FaceEmbedder:
    """Embeds aligned faces with a trained network.

    Args:
        loaded: The network, whose input is no wider than high. It is put into the channels-last
            layout, which leaves its numbers alone.
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
        self._backbone = loaded.backbone.to(memory_format=torch.channels_last)
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
        return self._raw(crops.to(self._device))

    def _raw(self, crops: Tensor) -> Tensor:
        """One pass: (F, 3, S, S) → (F, D), not normalised."""
        inputs = self._fitted(crops)
        if not self._mirror:
            return self._backbone.embedding(inputs)
        both = self._backbone.embedding(torch.cat([inputs, inputs.flip(3)]))
        return torch.cat(torch.chunk(both, 2), 1)

    def _fitted(self, crops: Tensor) -> Tensor:
        """Scale crops to the network's height and take its middle columns: (F, 3, H, W)."""
        height, width = self._loaded.input_size
        if crops.shape[2] != height:
            crops = F.interpolate(crops, (height, height), mode="bilinear", antialias=True)
        first = (height - width) // 2
        return crops[:, :, :, first : first + width].contiguous(memory_format=torch.channels_last)
