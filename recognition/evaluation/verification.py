"""Verification on Labeled Faces in the Wild: are two photographs of one person?

The protocol is that of View 2 (Huang et al. 2007), "unrestricted, with labelled outside data": each
fold is decided with the threshold that the other folds choose.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import DatasetError
from data.lfw import LfwProtocol, Pair, PhotographKey, photograph_path

from ..photographs import ProgressCallback
from ..results import FailedImage
from .embedding import Embedding, Finder, embed_photographs
from .metrics import (
    Scores,
    accuracy,
    auc,
    best_threshold,
    smallest_supported_far,
    tar_at_far,
)

FAR_POINTS = (0.01, 0.001)
"""The false accept rates at which the TAR is quoted, where the pairs support them."""

_INNER_PARTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LfwResult:
    """How a recogniser does on pairs of photographs.

    Attributes:
        folds: Accuracy on each fold, with a threshold that it had no part in.
        thresholds: For each fold, the cosine similarity at which it was decided; for a fold that
            was decided in parts, their mean.
        mean: Mean accuracy over the folds.
        standard_error: Of the mean; None for a single fold.
        auc: Area under the ROC curve over all pairs; None where one kind of pair is missing.
        tar_at_far: TAR for each of `FAR_POINTS`; None where the pairs do not support it.
        smallest_supported_far: The smallest FAR that the impostor pairs can measure.
        tar_at_smallest_supported_far: TAR at that FAR.
        genuine: Number of pairs of one person.
        impostor: Number of pairs of two people.
        missed: Number of photographs in which no face was found, or that could not be read; each
            pair with one of them counts as an error.
        unreadable: Those that could not be read.
    """

    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    mean: float
    standard_error: float | None
    auc: float | None
    tar_at_far: Mapping[float, float | None]
    smallest_supported_far: float | None
    tar_at_smallest_supported_far: float | None
    genuine: int
    impostor: int
    missed: int
    unreadable: tuple[FailedImage, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types; rates are fractions, null is not supported."""
        return {
            "folds": list(self.folds),
            "mean": self.mean,
            "standard_error": self.standard_error,
            "auc": self.auc,
            "tar_at_far": {f"{far:g}": tar for far, tar in self.tar_at_far.items()},
            "missed": self.missed,
            "thresholds": list(self.thresholds),
            "smallest_supported_far": self.smallest_supported_far,
            "tar_at_smallest_supported_far": self.tar_at_smallest_supported_far,
            "genuine": self.genuine,
            "impostor": self.impostor,
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


def evaluate_lfw(
    protocol: LfwProtocol,
    embedding_of: Mapping[PhotographKey, Embedding | None],
    *,
    unreadable: Sequence[FailedImage] = (),
) -> LfwResult:
    """Compare the pairs of a protocol.

    A protocol of one fold is split into ten parts, each decided with the threshold of the others.

    Args:
        protocol: The folds.
        embedding_of: For each photograph a unit vector (D,), or None where no face was found.
        unreadable: Photographs that could not be read, to be named in the result.

    Raises:
        DatasetError: A fold has no pairs, or the one fold fewer than two.
        KeyError: `embedding_of` lacks a photograph.
    """
    if not protocol.folds or min(map(len, protocol.folds)) == 0:
        raise DatasetError("a fold without pairs cannot be evaluated; expected pairs in every fold")
    folds = [_compare(fold, embedding_of) for fold in protocol.folds]
    decided = _across(folds) if len(folds) > 1 else _within(*folds[0])
    accuracies = [right for right, _ in decided]
    scores = np.concatenate([scores for scores, _ in folds])
    same = np.concatenate([same for _, same in folds])
    genuine, impostor = scores[same], scores[~same]
    smallest = smallest_supported_far(len(impostor))
    count = len(folds)
    return LfwResult(
        folds=tuple(accuracies),
        thresholds=tuple(threshold for _, threshold in decided),
        mean=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1)) / math.sqrt(count) if count > 1 else None,
        auc=auc(genuine, impostor),
        tar_at_far={far: tar_at_far(genuine, impostor, far) for far in FAR_POINTS},
        smallest_supported_far=smallest,
        tar_at_smallest_supported_far=(
            None if smallest is None else tar_at_far(genuine, impostor, smallest)
        ),
        genuine=len(genuine),
        impostor=len(impostor),
        missed=sum(embedding_of[key] is None for key in protocol.photographs()),
        unreadable=tuple(unreadable),
    )


def evaluate_lfw_folder(
    protocol: LfwProtocol, root: Path, find: Finder, *, progress: ProgressCallback | None = None
) -> LfwResult:
    """Embed the protocol's photographs, `root/<Name>/<Name>_0001.jpg`, and compare the pairs.

    Args:
        protocol: The folds.
        root: The folder of people.
        find: What finds and embeds the face that counts.
        progress: Called after each photograph.

    Raises:
        DatasetError: Photographs are missing, or over a fifth of them cannot be read.
    """
    keys = protocol.photographs()
    paths = [photograph_path(root, name, number) for name, number in keys]
    embedded = embed_photographs(paths, find, root=root, progress=progress)
    embedding_of = dict(zip(keys, embedded.vectors, strict=True))
    return evaluate_lfw(protocol, embedding_of, unreadable=embedded.unreadable)


_Compared = tuple[Scores, npt.NDArray[np.bool_]]


def _compare(
    pairs: Sequence[Pair], embedding_of: Mapping[PhotographKey, Embedding | None]
) -> _Compared:
    """Return the pairs' cosine similarities and whether they are genuine."""
    scores = []
    for pair in pairs:
        first, second = embedding_of[pair.first], embedding_of[pair.second]
        if first is None or second is None:
            scores.append(-math.inf if pair.same else math.inf)
        else:
            scores.append(float(first @ second))
    return np.array(scores), np.array([pair.same for pair in pairs])


def _across(folds: Sequence[_Compared]) -> list[tuple[float, float]]:
    """Return each fold's accuracy, with the threshold that the other folds choose."""
    decided = []
    for left_out, (scores, same) in enumerate(folds):
        others = [fold for number, fold in enumerate(folds) if number != left_out]
        threshold = best_threshold(*map(np.concatenate, zip(*others, strict=True)))
        decided.append((accuracy(scores, same, threshold), threshold))
    return decided


def _within(scores: Scores, same: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return the accuracy of a fold that has no others, decided in parts of its own.

    Each part takes its share of both kinds, in the fold's order.
    """
    parts = min(_INNER_PARTS, len(scores))
    if parts < 2:
        raise DatasetError("a single pair cannot be evaluated; expected at least two")
    by_kind = chain(np.flatnonzero(same), np.flatnonzero(~same))
    part_of = np.empty(len(scores), dtype=np.int64)
    part_of[list(by_kind)] = np.arange(len(scores)) % parts
    decided = _across([(scores[part_of == p], same[part_of == p]) for p in range(parts)])
    sizes = np.bincount(part_of)
    right = float(np.average([right for right, _ in decided], weights=sizes))
    return [(right, float(np.mean([threshold for _, threshold in decided])))]
