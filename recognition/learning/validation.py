"""How good the embedding is on people that it was not trained on."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.network import Backbone

from .photographs import Photographs

FAR = 0.01
_EXPECTED_ERRORS = 10
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Verification:
    """Genuine against impostor pairs of held-out people.

    Attributes:
        auc: Probability that a genuine pair is more similar than an impostor pair, ties half.
        tar: Share of genuine pairs accepted at a FAR of 1 %; None where the impostor pairs are too
            few to support that FAR.
        threshold: The cosine similarity at that FAR; None likewise.
        genuine: Number of pairs of one person.
        impostor: Number of pairs of two people.
    """

    auc: float
    tar: float | None
    threshold: float | None
    genuine: int
    impostor: int


def verify_people(backbone: Backbone, photographs: Photographs, *, mirror: bool) -> Verification:
    """Compare every pair of photographs.

    Args:
        backbone: In eval mode.
        photographs: All with names.
        mirror: Whether an embedding is joined with that of the mirrored photograph.
    """
    vectors = embed(backbone, photographs.pixels, mirror=mirror)
    similarity = vectors @ vectors.T  # (N, N)
    labels = photographs.labels
    first, second = torch.triu_indices(len(labels), len(labels), offset=1)
    scores = similarity[first, second]
    same = labels[first] == labels[second]
    return compare(scores[same], scores[~same])


@torch.inference_mode()
def embed(backbone: Backbone, pixels: Tensor, *, mirror: bool) -> Tensor:
    """(N, 3, 112, 112) uint8 → (N, D), or (N, 2 D) with the mirrored, float32 of unit length."""
    device = next(backbone.parameters()).device
    parts = []
    for chunk in pixels.split(_BATCH):
        images = chunk.to(device).float() / 255
        if device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        vectors = backbone.embedding(images)
        if mirror:
            vectors = torch.cat([vectors, backbone.embedding(images.flip(3))], dim=1)
        parts.append(F.normalize(vectors).float().cpu())
    return torch.cat(parts)


def compare(genuine: Tensor, impostor: Tensor) -> Verification:
    """The figures of two sets of cosine similarities, (G,) and (I,)."""
    ranked = impostor.sort().values
    below = torch.searchsorted(ranked, genuine, right=False).double()
    up_to = torch.searchsorted(ranked, genuine, right=True).double()
    auc = float(((below + up_to) / 2).mean() / len(ranked))
    tar, threshold = None, None
    if FAR * len(ranked) >= _EXPECTED_ERRORS:
        # The lowest threshold at which at most FAR of the impostor pairs are accepted: just above
        # the first score that would be one accepted pair too many.
        allowed = math.floor(FAR * len(ranked))
        limit = ranked[len(ranked) - allowed - 1]
        threshold = float(torch.nextafter(limit, torch.tensor(math.inf)))
        tar = float((genuine >= threshold).double().mean())
    return Verification(auc, tar, threshold, len(genuine), len(impostor))
