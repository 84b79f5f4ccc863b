"""What asking specialists brings: beside the generalist alone, and beside asking always."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from data.datasets import Identity
from data.lfw import Layout, LfwProtocol, PhotographKey, photograph_path
from data.progress import Progress

from ..results import FailedImage
from .embeddings import Embedding, Finder, embed_with_each
from .identification import IdentificationResult, evaluate_gallery, evaluate_identification
from .intervals import REPLICATES
from .pairs import Difference, compare_pairs
from .searches import People, by_name, people_to_draw_from, photographs_of, two_folders
from .specialists import CONFUSABLE, Panel, check_confusable
from .verification import (
    FALSE_ACCEPT_COST,
    LfwResult,
    check_cost,
    decide_pairs,
    summarise,
    view_by_view,
)


class Result(Protocol):
    """The figures of one way to recognise people."""

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types."""


ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consulted(Generic[ResultT]):
    """A generalist that asks specialists, and what it is to be compared with.

    Attributes:
        result: Where the generalist asks in doubt.
        generalist: Where it never asks.
        average: Where it asks always: the plain average of all networks.
        asked: About how many comparisons the specialists were asked; in identification, in a draw.
        comparisons: How many comparisons there were.
        to_generalist: How far each figure is above that of the generalist alone.
        to_average: How far it is above that of the plain average.
    """

    result: ResultT
    generalist: ResultT
    average: ResultT
    asked: float
    comparisons: float
    to_generalist: Mapping[str, Difference]
    to_average: Mapping[str, Difference]

    def to_json(self) -> dict[str, object]:
        """Return the result's own figures, and all else under `specialists`."""
        return self.result.to_json() | {
            "specialists": {
                "asked": self.asked,
                "comparisons": self.comparisons,
                "generalist": self.generalist.to_json(),
                "average": self.average.to_json(),
                "difference_to_generalist": _json(self.to_generalist),
                "difference_to_average": _json(self.to_average),
            }
        }


def _json(differences: Mapping[str, Difference]) -> dict[str, object]:
    return {name: difference.to_json() for name, difference in differences.items()}


def consult_lfw(
    protocol: LfwProtocol,
    alone: Mapping[PhotographKey, Embedding | None],
    together: Mapping[PhotographKey, Embedding | None],
    *,
    confusable: float = CONFUSABLE,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    replicates: int = REPLICATES,
    unreadable: Sequence[FailedImage] = (),
    layout: Layout = Layout.LFW,
) -> Consulted[LfwResult]:
    """Verify the pairs of a protocol, and ask specialists in doubt.

    It takes and raises what `evaluate_lfw` does, of two embeddings of each photograph: `alone`, the
    generalist's, and `together`, that of the generalist and all specialists, averaged. `confusable`
    is the share of pairs, those nearest the threshold, that are in doubt; one that is none is an
    ArgumentError.
    """
    check_confusable(confusable)
    check_cost(false_accept_cost)
    own, always = compare_pairs(protocol, alone), compare_pairs(protocol, together)
    both = [replace(f, second_opinion=o.scores) for f, o in zip(own, always, strict=True)]
    missed, missed_together = (
        sum(of[key] is None for key in protocol.photographs()) for of in (alone, together)
    )
    decided = [
        decide_pairs(folds, false_accept_cost=false_accept_cost, confusable=confusable)
        for folds in (both, own, always)
    ]
    result, generalist, average = (
        summarise(
            pairs,
            by_fold,
            missed=count,
            replicates=replicates,
            unreadable=unreadable,
            by_view=view_by_view(protocol, embedding_of, pairs, layout),
        )
        for (pairs, by_fold), count, embedding_of in zip(
            decided,
            (missed_together, missed, missed_together),
            (together, alone, together),
            strict=True,
        )
    )
    return Consulted(
        result=result,
        generalist=generalist,
        average=average,
        asked=sum(int(decisions.asked.sum()) for decisions in decided[0][1]),
        comparisons=sum(map(len, protocol.folds)),
        to_generalist=result.differences(generalist),
        to_average=result.differences(average),
    )


def consult_lfw_folder(
    protocol: LfwProtocol,
    root: Path,
    finders: Sequence[Finder],
    *,
    confusable: float = CONFUSABLE,
    false_accept_cost: float = FALSE_ACCEPT_COST,
    layout: Layout = Layout.LFW,
    progress: Progress | None = None,
) -> Consulted[LfwResult]:
    """Run `consult_lfw` on the photographs `root/<Name>/<Name>_0001.jpg`.

    The rest is as in `evaluate_lfw_folder`, but that `finders` are the generalist, and the
    specialists after it; `progress` is called after each photograph of each of them.
    """
    check_confusable(confusable)
    check_cost(false_accept_cost)
    keys = protocol.photographs()
    paths = [photograph_path(root, name, number) for name, number in keys]
    alone, together = embed_with_each(paths, finders, root=root, progress=progress)
    return consult_lfw(
        protocol,
        dict(zip(keys, alone.vectors, strict=True)),
        dict(zip(keys, together.vectors, strict=True)),
        confusable=confusable,
        false_accept_cost=false_accept_cost,
        unreadable=alone.unreadable,
        layout=layout,
    )


def consult_people_folder(
    root: Path,
    finders: Sequence[Finder],
    *,
    confusable: float = CONFUSABLE,
    listing: Path | None = None,
    leave_out: Path | None = None,
    draws: int = 200,
    seed: int = 0,
    enrol: int | None = None,
    templates: int = 1,
    progress: Progress | None = None,
) -> Consulted[IdentificationResult]:
    """Draw who is enrolled, as `evaluate_people_folder`, and ask specialists about candidates.

    `finders` are the generalist, and the specialists after it; `confusable` is the share of those
    enrolled, the most similar ones, who are candidates: one that is none is an ArgumentError.
    """
    check_confusable(confusable)
    folders = [people_to_draw_from(root, listing, leave_out)]

    def evaluate(
        people: Sequence[People], panel: Panel | None, unreadable: Sequence[FailedImage]
    ) -> IdentificationResult:
        return evaluate_identification(
            people[0],
            draws=draws,
            seed=seed,
            enrol=enrol,
            templates=templates,
            panel=panel,
            unreadable=unreadable,
        )

    return _consult(folders, root, finders, confusable, evaluate, progress)


def consult_two_folders(
    gallery: Path,
    probes: Path,
    finders: Sequence[Finder],
    *,
    confusable: float = CONFUSABLE,
    progress: Progress | None = None,
) -> Consulted[IdentificationResult]:
    """Search as `evaluate_two_folders`, and ask specialists as `consult_people_folder`."""
    check_confusable(confusable)

    def evaluate(
        people: Sequence[People], panel: Panel | None, unreadable: Sequence[FailedImage]
    ) -> IdentificationResult:
        return evaluate_gallery(people[0], people[1], panel=panel, unreadable=unreadable)

    folders = two_folders(gallery, probes)
    return _consult(folders, gallery, finders, confusable, evaluate, progress)


def _consult(
    folders: Sequence[Sequence[Identity]],
    root: Path,
    finders: Sequence[Finder],
    confusable: float,
    evaluate: Callable[
        [Sequence[People], Panel | None, Sequence[FailedImage]], IdentificationResult
    ],
    progress: Progress | None,
) -> Consulted[IdentificationResult]:
    paths = photographs_of(folders)
    alone, together = embed_with_each(paths, finders, root=root, progress=progress)
    dimension = next((len(vector) for vector in alone.vectors if vector is not None), 0)
    panel = Panel(dimension=dimension, voters=len(finders), share=confusable)
    own, joint = (by_name(folders, embedded.vectors) for embedded in (alone, together))
    result = evaluate(joint, panel, alone.unreadable)
    generalist = evaluate(own, None, alone.unreadable)
    average = evaluate(joint, None, alone.unreadable)
    return Consulted(
        result=result,
        generalist=generalist,
        average=average,
        asked=float(np.mean([search.asked for search in result.searches])),
        comparisons=float(np.mean([search.comparisons for search in result.searches])),
        to_generalist=result.differences(generalist),
        to_average=result.differences(average),
    )
