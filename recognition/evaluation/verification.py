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
from data.lfw import FacePose, Layout, LfwProtocol, PhotographKey, photograph_path
from data.progress import Progress

from ..results import FailedImage
from .embeddings import Embedding, Finder, embed_photographs
from .intervals import REPLICATES, Interval
from .metrics import equal_error_rate, smallest_supported_far
from .pairs import (
    FAR_POINTS,
    SMALLEST,
    Comparisons,
    DecidedPairs,
    Decisions,
    Difference,
    compare_pairs,
    decide,
    differences,
    joined,
    tar_name,
)
from .specialists import CONFUSABLE

FALSE_ACCEPT_COST = 10.0
"""How much worse it is to take two people for one than one for two."""

_MOST_COST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFigures:
    """How a recogniser does on the pairs of two views, decided with the thresholds of all.

    Attributes:
        views: Of the pair's two photographs, the frontal one first.
        genuine: Number of pairs of one person.
        impostor: Number of pairs of two people.
        accuracy: The share of pairs decided rightly.
        eer: Equal error rate; None where one kind of pair is missing.
        missed: Number of pairs of which a face was not found: they count as errors.
    """

    views: tuple[FacePose, FacePose]
    genuine: int
    impostor: int
    accuracy: float
    eer: float | None
    missed: int

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types."""
        return {
            "views": list(self.views),
            "genuine": self.genuine,
            "impostor": self.impostor,
            "accuracy": self.accuracy,
            "eer": self.eer,
            "missed_pairs": self.missed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedView:
    """In how many photographs of one view no face was found, or could not be read."""

    view: FacePose
    photographs: int
    missed: int

    def to_json(self) -> dict[str, object]:
        """Return the counts as JSON's own types."""
        return {"view": self.view, "photographs": self.photographs, "missed": self.missed}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByView:
    """The same figures, kind of pair by kind of pair.

    Attributes:
        pairs: Frontal with frontal, frontal with profile, profile with profile, those there are.
        photographs: Frontal ones, and profiles.
    """

    pairs: tuple[ViewFigures, ...]
    photographs: tuple[MissedView, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types."""
        return {
            "pairs": [figures.to_json() for figures in self.pairs],
            "photographs": [missed.to_json() for missed in self.photographs],
        }


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
        by_view: The same for each kind of pair; None where views are not known.
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
    by_view: ByView | None = None
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
        } | ({} if self.by_view is None else {"by_view": self.by_view.to_json()})


def evaluate_lfw(
    protocol: LfwProtocol,
    embedding_of: Mapping[PhotographKey, Embedding | None],
    *,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    replicates: int = REPLICATES,
    unreadable: Sequence[FailedImage] = (),
    layout: Layout = Layout.LFW,
) -> LfwResult:
    """Compare the pairs of a protocol.

    A protocol of one fold is split into ten parts, each decided with the threshold of the others.

    Args:
        protocol: The folds.
        embedding_of: For each photograph a unit vector (D,), or None where no face was found.
        false_accept_cost: Of a false accept in the weighted error, where a false reject costs 1.
        replicates: Of the bootstrap, whose seed is fixed.
        unreadable: Photographs that could not be read, to be named in the result.
        layout: What the numbers of the photographs mean.

    Raises:
        ArgumentError: The cost is not positive.
        DatasetError: A fold has no pairs, or the one fold fewer than two.
        KeyError: `embedding_of` lacks a photograph.
    """
    check_cost(false_accept_cost)
    folds = compare_pairs(protocol, embedding_of)
    missed = sum(embedding_of[key] is None for key in protocol.photographs())
    pairs, decided = decide_pairs(folds, false_accept_cost=false_accept_cost)
    return summarise(
        pairs,
        decided,
        missed=missed,
        replicates=replicates,
        unreadable=unreadable,
        by_view=view_by_view(protocol, embedding_of, pairs, layout),
    )


def view_by_view(
    protocol: LfwProtocol,
    embedding_of: Mapping[PhotographKey, Embedding | None],
    pairs: DecidedPairs,
    layout: Layout,
) -> ByView | None:
    """Return the figures of each kind of pair, frontal and profile.

    Args:
        protocol: The folds.
        embedding_of: For each photograph a unit vector (D,), or None where no face was found.
        pairs: The folds' pairs, decided, in their order.
        layout: What the numbers of the photographs mean.

    Returns:
        The figures; None for a layout that tells no views.
    """
    if layout is Layout.LFW:
        return None
    both = [pair for fold in protocol.folds for pair in fold]
    kinds = [tuple(sorted(filter(None, map(layout.view, (p.first, p.second))))) for p in both]
    missed = np.array(
        [embedding_of[p.first] is None or embedding_of[p.second] is None for p in both]
    )
    figures = []
    for one, other in sorted(set(kinds)):
        of_kind = np.array([kind == (one, other) for kind in kinds])
        own = pairs.comparisons.select(of_kind)
        genuine, impostor = own.genuine, own.impostor
        figures.append(
            ViewFigures(
                views=(one, other),
                genuine=len(genuine),
                impostor=len(impostor),
                accuracy=float(np.mean(pairs.right[of_kind])),
                eer=equal_error_rate(genuine, impostor),
                missed=int(missed[of_kind].sum()),
            )
        )
    keys = protocol.photographs()
    photographs = []
    for view in FacePose:
        own_keys = [key for key in keys if layout.view(key) is view]
        without = sum(embedding_of[key] is None for key in own_keys)
        photographs.append(MissedView(view=view, photographs=len(own_keys), missed=without))
    return ByView(pairs=tuple(figures), photographs=tuple(photographs))


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
        confusable: As in `pairs.decide`.

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
    by_view: ByView | None = None,
) -> LfwResult:
    """Return the figures of pairs that were decided fold by fold.

    Args:
        pairs: All of them.
        decided: How each fold was decided.
        missed: In how many photographs no face was found.
        replicates: As in `evaluate_lfw`.
        unreadable: As in `evaluate_lfw`.
        by_view: The figures of each kind of pair, where views are known.
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
        by_view=by_view,
        pairs=pairs,
    )


def evaluate_lfw_folder(
    protocol: LfwProtocol,
    root: Path,
    find: Finder,
    *,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    layout: Layout = Layout.LFW,
    progress: Progress | None = None,
) -> LfwResult:
    """Embed the protocol's photographs, `root/<Name>/<Name>_0001.jpg`, and compare the pairs.

    Args:
        protocol: The folds.
        root: The folder of people.
        find: What finds and embeds the face that counts.
        false_accept_cost: As in `evaluate_lfw`.
        layout: What the numbers of the photographs mean.
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
        layout=layout,
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
