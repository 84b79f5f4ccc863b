"""Verification on Labeled Faces in the Wild: are two photographs of one person?

The protocol is that of View 2 (Huang et al. 2007), "unrestricted, with labelled outside data": each
fold is decided with the threshold that the other folds choose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, DatasetError
from data.lfw import LfwProtocol, PhotographKey, photograph_path

from ..photographs import ProgressCallback
from ..results import FailedImage
from .comparisons import Comparisons, Decisions, compare_pairs, decide, joined
from .embedding import Embedding, Finder, embed_photographs
from .figures import FAR_POINTS, SMALLEST, DecidedPairs, Difference, differences, tar_name
from .intervals import REPLICATES, Interval
from .metrics import smallest_supported_far
from .specialists import CONFUSABLE

FALSE_ACCEPT_COST = 10.0
"""How much worse it is to take two people for one than one for two."""

_MOST_COST = 1e6


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
        eer: Equal error rate over all pairs; None where one kind of pair is missing.
        false_accept_cost: Of a false accept, where a false reject costs 1.
        weighted_error: Cost of the errors over that of getting everything wrong, each fold decided
            with the threshold that costs least on the others.
        intervals: 95 % intervals, bootstrapped by identity, of every figure that is not None, by
            its name; the TAR at FAR 0.01 is `tar_at_far_0.01`.
        genuine: Number of pairs of one person.
        impostor: Number of pairs of two people.
        missed: Number of photographs in which no face was found, or that could not be read; each
            pair with one of them counts as an error.
        unreadable: Those that could not be read.
        pairs: The comparisons behind the figures.
    """

    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    mean: float
    standard_error: float | None
    auc: float | None
    tar_at_far: Mapping[float, float | None]
    smallest_supported_far: float | None
    tar_at_smallest_supported_far: float | None
    eer: float | None
    false_accept_cost: float
    weighted_error: float
    intervals: Mapping[str, Interval]
    genuine: int
    impostor: int
    missed: int
    unreadable: tuple[FailedImage, ...] = field(default=())
    pairs: DecidedPairs = field(repr=False, compare=False)

    def figure(self, name: str) -> float | None:
        """Return a figure by the name that its interval has; None where it is not supported."""
        return self.mean if name == "mean" else self.pairs.values().get(name)

    def differences(self, other: "LfwResult") -> dict[str, Difference]:
        """Return how far the figures are above another recogniser's on the same pairs.

        Raises:
            ValueError: The pairs are not the same.
        """
        return differences(self.pairs, other.pairs)

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
            "eer": self.eer,
            "false_accept_cost": self.false_accept_cost,
            "weighted_error": self.weighted_error,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "genuine": self.genuine,
            "impostor": self.impostor,
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


def evaluate_lfw(
    protocol: LfwProtocol,
    embedding_of: Mapping[PhotographKey, Embedding | None],
    *,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    replicates: int = REPLICATES,
    unreadable: Sequence[FailedImage] = (),
) -> LfwResult:
    """Compare the pairs of a protocol.

    A protocol of one fold is split into ten parts, each decided with the threshold of the others.

    Args:
        protocol: The folds.
        embedding_of: For each photograph a unit vector (D,), or None where no face was found.
        false_accept_cost: Of a false accept in the weighted error, where a false reject costs 1.
        replicates: Of the bootstrap, whose seed is fixed.
        unreadable: Photographs that could not be read, to be named in the result.

    Raises:
        ArgumentError: The cost is not positive.
        DatasetError: A fold has no pairs, or the one fold fewer than two.
        KeyError: `embedding_of` lacks a photograph.
    """
    check_cost(false_accept_cost)
    folds = compare_pairs(protocol, embedding_of)
    missed = sum(embedding_of[key] is None for key in protocol.photographs())
    pairs, decided = decide_pairs(folds, false_accept_cost=false_accept_cost)
    return summarise(pairs, decided, missed=missed, replicates=replicates, unreadable=unreadable)


def decide_pairs(
    folds: Sequence[Comparisons],
    *,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    confusable: float = CONFUSABLE,
) -> tuple[DecidedPairs, list[Decisions]]:
    """Decide folds that were compared, by most right decisions and by least cost.

    Args:
        folds: The comparisons of each.
        false_accept_cost: As in `evaluate_lfw`.
        confusable: As in `comparisons.decide`.

    Returns:
        All pairs, and how each fold was decided.

    Raises:
        DatasetError: A fold has no pairs, or the one fold fewer than two.
    """
    if not folds or min(len(fold.scores) for fold in folds) == 0:
        raise DatasetError("a fold without pairs cannot be evaluated; expected pairs in every fold")
    decided = decide(folds, confusable=confusable)
    by_cost = decide(folds, false_accept_cost=false_accept_cost, confusable=confusable)
    scores = np.concatenate([decisions.scores for decisions in decided])
    pairs = DecidedPairs(
        comparisons=Comparisons(scores, joined(folds).people),
        right=_right(decided),
        right_by_cost=_right(by_cost),
        false_accept_cost=false_accept_cost,
    )
    return pairs, decided


def summarise(
    pairs: DecidedPairs,
    decided: Sequence[Decisions],
    *,
    missed: int,
    replicates: int = REPLICATES,
    unreadable: Sequence[FailedImage] = (),
) -> LfwResult:
    """Return the figures of pairs that were decided fold by fold.

    Args:
        pairs: All of them.
        decided: How each fold was decided.
        missed: In how many photographs no face was found.
        replicates: As in `evaluate_lfw`.
        unreadable: As in `evaluate_lfw`.
    """
    accuracies = [float(np.mean(decisions.right)) for decisions in decided]
    error = float(np.std(accuracies, ddof=1) / len(accuracies) ** 0.5) if len(decided) > 1 else None
    figures = pairs.values()
    return LfwResult(
        folds=tuple(accuracies),
        thresholds=tuple(decisions.threshold for decisions in decided),
        mean=float(np.mean(accuracies)),
        standard_error=error,
        auc=figures.get("auc"),
        tar_at_far={far: figures.get(tar_name(far)) for far in FAR_POINTS},
        smallest_supported_far=smallest_supported_far(len(pairs.comparisons.impostor)),
        tar_at_smallest_supported_far=figures.get(SMALLEST),
        eer=figures.get("eer"),
        false_accept_cost=pairs.false_accept_cost,
        weighted_error=figures["weighted_error"],
        intervals=pairs.intervals(replicates=replicates),
        genuine=len(pairs.comparisons.genuine),
        impostor=len(pairs.comparisons.impostor),
        missed=missed,
        unreadable=tuple(unreadable),
        pairs=pairs,
    )


def evaluate_lfw_folder(
    protocol: LfwProtocol,
    root: Path,
    find: Finder,
    *,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    progress: ProgressCallback | None = None,
) -> LfwResult:
    """Embed the protocol's photographs, `root/<Name>/<Name>_0001.jpg`, and compare the pairs.

    Args:
        protocol: The folds.
        root: The folder of people.
        find: What finds and embeds the face that counts.
        false_accept_cost: As in `evaluate_lfw`.
        progress: Called after each photograph.

    Raises:
        ArgumentError: The cost is not positive.
        DatasetError: Photographs are missing, or over a fifth of them cannot be read.
    """
    check_cost(false_accept_cost)
    keys = protocol.photographs()
    paths = [photograph_path(root, name, number) for name, number in keys]
    embedded = embed_photographs(paths, find, root=root, progress=progress)
    return evaluate_lfw(
        protocol,
        dict(zip(keys, embedded.vectors, strict=True)),
        false_accept_cost=false_accept_cost,
        unreadable=embedded.unreadable,
    )


def check_cost(false_accept_cost: float) -> None:
    """Refuse a cost that is none.

    Raises:
        ArgumentError: The cost is not positive, or beyond all measure.
    """
    if not 0 < false_accept_cost <= _MOST_COST:
        raise ArgumentError(
            f"a false accept cannot cost {false_accept_cost:g}; "
            f"expected more than 0 and at most {_MOST_COST:g}"
        )


def _right(decided: Sequence[Decisions]) -> npt.NDArray[np.bool_]:
    return np.concatenate([decisions.right for decisions in decided])
