"""The pair unit as it is kept: what the loss `pair` learnt, fitted to people kept out."""

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from backbones.network import Backbone
from backbones.pair_unit import PairUnit

from ..evaluation.metrics import threshold_at_far
from .dataset import Photographs
from .losses import PairClassifier
from .validation import embed

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
