"""How good the embedding is on people that it was not trained on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from backbones.network import Backbone
from backbones.pair_unit import PairUnit
from data.errors import DatasetError

from ..evaluation.metrics import Scores, auc, smallest_supported_far, tar_at_far, threshold_at_far
from .choices import Metric
from .dataset import Photographs
from .losses import PairClassifier

FAR = 0.01
MOST_PER_PERSON = 4
"""Photographs a person, so that the most photographed do not decide alone."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class ValidationFigures:
    """Genuine against impostor pairs of some people.

    Attributes:
        auc: Probability that a genuine pair is more similar than an impostor pair, ties half;
            None where nobody has two photographs.
        tar: Share of genuine pairs accepted at a FAR of 1 %; None where the impostor pairs are too
            few to support that FAR, or nothing is genuine.
        threshold: The cosine similarity at that FAR; None where it is not supported.
        genuine: Number of pairs of one person.
        impostor: Number of pairs of two people.
    """

    auc: float | None
    tar: float | None
    threshold: float | None
    genuine: int
    impostor: int

    def value(self, metric: Metric) -> float | None:
        """The run's metric; None where the pairs cannot tell."""
        return self.tar if metric is Metric.TAR else self.auc


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSimilarities:
    """Cosine similarities of some people's photographs.

    Attributes:
        genuine: (G,) of one person.
        impostor: (I,) of two people.
    """

    genuine: Scores
    impostor: Scores


def verify_people(
    backbone: Backbone, photographs: Photographs, *, mirror: bool
) -> ValidationFigures:
    """The figures of every pair of photographs; see `compare_people`."""
    pairs = compare_people(backbone, photographs, mirror=mirror)
    return compare(pairs.genuine, pairs.impostor)


def compare_people(
    backbone: Backbone, photographs: Photographs, *, mirror: bool
) -> ValidationSimilarities:
    """Compare every pair of photographs.

    Args:
        backbone: In eval mode.
        photographs: All with names.
        mirror: Whether an embedding is joined with that of the mirrored photograph.
    """
    vectors = embed(backbone, photographs.pixels, mirror=mirror)
    similarity = vectors @ vectors.T  # (N, N)
    first, second = _pairs(photographs)
    scores = similarity[first, second].numpy()
    same = (photographs.labels[first] == photographs.labels[second]).numpy()
    return ValidationSimilarities(scores[same], scores[~same])


def compare(genuine: Scores, impostor: Scores) -> ValidationFigures:
    """The figures of two sets of cosine similarities, (G,) and (I,)."""
    return ValidationFigures(
        auc=auc(genuine, impostor),
        tar=tar_at_far(genuine, impostor, FAR),
        threshold=threshold_at_far(impostor, FAR),
        genuine=len(genuine),
        impostor=len(impostor),
    )


def check_metric(metric: Metric, photographs: Photographs) -> None:
    """Refuse a metric that the people kept out cannot measure.

    Raises:
        DatasetError: TAR at FAR 1 % is asked for, and the impostor pairs are too few.
    """
    first, second = _pairs(photographs)
    impostor = int((photographs.labels[first] != photographs.labels[second]).sum())
    smallest = smallest_supported_far(impostor)
    if metric is Metric.TAR and (smallest is None or smallest > FAR):
        raise DatasetError(
            f"the people kept out give {impostor} impostor pairs, too few to measure a FAR of "
            f"{FAR:.0%}: choose the metric {Metric.AUC} or keep more people out"
        )


@torch.inference_mode()
def embed(backbone: Backbone, pixels: Tensor, *, mirror: bool) -> Tensor:
    """(N, 3, S, S) uint8 → (N, D), or (N, 2 D) with the mirrored, float32 of unit length."""
    device = backbone.normalise.mean.device
    parts = [torch.zeros(0, backbone.spec.dimension * (2 if mirror else 1))]
    for chunk in torch.split(pixels, _BATCH):
        images = chunk.to(device).float() / 255
        if device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        vectors = backbone.embedding(images)
        if mirror:
            vectors = torch.cat([vectors, backbone.embedding(images.flip(3))], dim=1)
        parts.append(F.normalize(vectors).float().cpu())
    return torch.cat(parts)


def _pairs(photographs: Photographs) -> tuple[Tensor, Tensor]:
    """Indices of both sides of every pair of photographs."""
    indices = np.triu_indices(len(photographs), k=1)
    return torch.from_numpy(indices[0]), torch.from_numpy(indices[1])


# The pair unit as it is kept: what the loss `pair` learnt, fitted to people kept out.


RATES = (0.01, 0.001)
"""Of false accepts, for which the unit knows a limit where the people kept out support it."""

_MOST_PEOPLE = 500

Values = npt.NDArray[np.float64]


def fit_pair_unit(
    backbone: Backbone, classifier: PairClassifier, held_out: Photographs, *, mirror: bool
) -> PairUnit | None:
    """Make the classifier's sigmoid a probability that holds for others than those in training.

    Platt 1999: a logistic over its own values, of pairs of people kept out, both answers alike in
    weight. It is linear, so the unit stays one.

    Args:
        backbone: As it is saved, in eval mode.
        classifier: As it has been trained.
        held_out: People kept out of training.
        mirror: Whether the mean over a face and its mirror image counts.

    Returns:
        None where nobody has two photographs, or the classifier tells nobody apart.
    """
    people = held_out.some_people(_MOST_PEOPLE)
    layer = classifier.classifier
    raw = PairUnit(
        slopes=layer.weight.detach()[0].double().cpu().numpy(),
        offset=float(layer.bias.detach()),
        limits={},
    )
    vectors = embed(backbone, people.pixels, mirror=mirror).numpy()
    genuine, impostor = _values(raw, vectors, people.labels.numpy())
    if not len(genuine) or not len(impostor):
        return None
    both = np.concatenate([genuine, impostor])
    centre, spread = float(both.mean()), float(both.std())
    if not spread > 0:
        return None
    same = np.arange(len(both)) < len(genuine)
    fitted = LogisticRegression(class_weight="balanced")
    fitted.fit(((both - centre) / spread)[:, None], same)
    slope = float(fitted.coef_[0, 0]) / spread
    if not slope > 0:
        return None
    offset = float(fitted.intercept_[0]) - slope * centre
    limits = {
        rate: slope * threshold + offset
        for rate in RATES
        if (threshold := threshold_at_far(impostor, rate)) is not None
    }
    return PairUnit(slopes=slope * raw.slopes, offset=slope * raw.offset + offset, limits=limits)


def _values(
    unit: PairUnit, vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> tuple[Values, Values]:
    """What a unit says of every pair: of one person, and of two."""
    genuine, impostor = list[Values](), list[Values]()
    for row in range(len(vectors) - 1):
        said = unit.values(vectors[row], vectors[row + 1 :])
        same = labels[row + 1 :] == labels[row]
        genuine.append(said[same])
        impostor.append(said[~same])
    return np.concatenate([*genuine, np.zeros(0)]), np.concatenate([*impostor, np.zeros(0)])
