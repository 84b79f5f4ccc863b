"""How the figures of an evaluation are shown to people."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from .. import wording
from ..wording import count, percentage
from . import output

if TYPE_CHECKING:
    from recognition.evaluation.consultation import Consulted
    from recognition.evaluation.identification import IdentificationResult, Promise
    from recognition.evaluation.intervals import Interval
    from recognition.evaluation.pairs import Difference
    from recognition.evaluation.verification import ByView, LfwResult


ResultT = TypeVar("ResultT", bound="LfwResult | IdentificationResult")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Generic[ResultT]):
    """Everything that one command measured.

    Attributes:
        first: The recogniser asked for.
        consulted: What its specialists bring, if it has any.
        second: The recogniser to compare it with, if one was named.
    """

    first: ResultT
    consulted: "Consulted[ResultT] | None" = None
    second: ResultT | None = None

    def by_name(self) -> dict[str, ResultT]:
        """The results to be drawn over one another; one alone has an empty name."""
        named = {"first" if self.second is not None else "": self.first}
        if self.consulted is not None:
            named = {
                "with specialists": self.first,
                "generalist": self.consulted.generalist,
                "average": self.consulted.average,
            }
        return named | ({} if self.second is None else {"second": self.second})

    def to_json(self) -> dict[str, object]:
        """Everything as JSON's own types."""
        first = (self.consulted or self.first).to_json()
        if self.second is None:
            return first
        differences = _differences(self.first, self.second)
        return {
            "first": first,
            "second": self.second.to_json(),
            "difference": {name: found.to_json() for name, found in differences.items()},
        }


def print_measured(measured: Measured[ResultT], print_one: Callable[[ResultT], None]) -> None:
    """The figures for people: lines for one recogniser, a table for several."""
    if measured.consulted is not None:
        print_consulted(measured.consulted)
    if measured.second is not None:
        print_comparison(measured.first, measured.second)
    elif measured.consulted is None:
        print_one(measured.first)


def print_consulted(consulted: "Consulted[ResultT]") -> None:
    """What specialists bring, beside the generalist alone and beside asking always."""
    ways = {
        "generalist": consulted.generalist,
        "with specialists": consulted.result,
        "average": consulted.average,
    }
    rows = []
    for name, text in _figure_names(consulted.result).items():
        both = (consulted.to_generalist.get(name), consulted.to_average.get(name))
        rows.append([text, *_cells(ways.values(), name), *map(_difference, both)])
    rows.append(["without a face", *(str(result.missed) for result in ways.values()), "", ""])
    output.print_table(["", *ways, "less generalist", "less average"], rows)
    share = consulted.asked / consulted.comparisons if consulted.comparisons else None
    output.print_line(
        f"the specialists were asked about {consulted.asked:,.0f} of "
        f"{consulted.comparisons:,.0f} comparisons, {wording.percent(share)}"
    )


def print_verification(result: "LfwResult", numbers: Sequence[int]) -> None:
    """The figures for people, one a line; `numbers` are the folds' own."""
    for number, accuracy in zip(numbers, result.folds, strict=True):
        output.print_line(f"fold {number}: accuracy {wording.percent(accuracy, 2)}")
    if result.standard_error is not None:
        spread = wording.percent(result.standard_error, 2)
        output.print_line(f"standard error over the folds: {spread}")
    for name, text in _figure_names(result).items():
        value, interval = result.figure(name), result.intervals.get(name)
        output.print_line(f"{text}: {wording.percent(value, 2)}{_bracketed(interval)}")
    output.print_line(f"without a face: {count(result.missed, 'photograph')}")
    if result.by_view is not None:
        _print_views(result.by_view)


def _print_views(by_view: "ByView") -> None:
    """The figures of each kind of pair, and how many photographs of each view were missed."""
    for kind in by_view.pairs:
        output.print_line(
            f"{' with '.join(kind.views)}: accuracy {wording.percent(kind.accuracy, 2)}, "
            f"EER {wording.percent(kind.eer, 2)}, of {kind.genuine:,} + {kind.impostor:,} pairs, "
            f"{kind.missed:,} of them without a face"
        )
    for view in by_view.photographs:
        output.print_line(
            f"{view.view}: no face in {view.missed:,} of {count(view.photographs, 'photograph')}"
        )


def print_comparison(first: ResultT, second: ResultT) -> None:
    """The figures of both, and the difference."""
    found = _differences(first, second)
    rows = [
        [text, *_cells((first, second), name), _difference(found.get(name))]
        for name, text in _figure_names(first).items()
    ]
    missed = [first.missed, second.missed]
    rows.append(["without a face", *map(str, missed), str(missed[0] - missed[1])])
    output.print_table(["", "first", "second", "difference"], rows)


def _differences(first: ResultT, second: ResultT) -> "Mapping[str, Difference]":
    """How far the first one's figures are above the second one's, of the same kind."""
    found: Mapping[str, Difference] = first.differences(second)  # type: ignore[arg-type]
    return found


def _cells(results: "Iterable[LfwResult | IdentificationResult]", name: str) -> list[str]:
    """One figure of each result, with its interval."""
    return [
        wording.percent(result.figure(name), 2) + _bracketed(result.intervals.get(name))
        for result in results
    ]


def _difference(difference: "Difference | None") -> str:
    if difference is None:
        return "–"
    return wording.percent(difference.value, 2) + _bracketed(difference.interval)


def _figure_names(result: "LfwResult | IdentificationResult") -> dict[str, str]:
    """What to call each figure, by its name."""
    from recognition.evaluation.identification import IdentificationResult

    if isinstance(result, IdentificationResult):
        return _names_of_searches(result)
    return _names_of_pairs(result)


def _names_of_pairs(result: "LfwResult") -> dict[str, str]:
    from recognition.evaluation.pairs import SMALLEST, tar_name

    names = {
        "mean": "mean accuracy",
        "auc": "area under the ROC curve",
        "eer": "equal error rate",
        "weighted_error": f"weighted error, false accepts × {result.false_accept_cost:g}",
    }
    names |= {tar_name(far): f"TAR at FAR {wording.percent(far)}" for far in result.tar_at_far}
    if result.smallest_supported_far is not None:
        smallest = wording.percent(result.smallest_supported_far)
        names[SMALLEST] = f"TAR at the smallest FAR that so many pairs support, {smallest}"
    return names


def _names_of_searches(result: "IdentificationResult") -> dict[str, str]:
    from recognition.evaluation.identification import SMALLEST, fnir_name

    names = {"rank_1": "rank-1"}
    names |= {
        fnir_name(fpir): f"FNIR at FPIR {wording.percent(fpir)}" for fpir in result.fnir_at_fpir
    }
    if result.smallest_supported_fpir is not None:
        smallest = wording.percent(result.smallest_supported_fpir)
        names[SMALLEST] = f"FNIR at the smallest FPIR that so many strangers support, {smallest}"
    return names


def _bracketed(interval: "Interval | None") -> str:
    """An interval behind its figure; nothing where there is none."""
    if interval is None:
        return ""
    low, high = (wording.percent(end, 2) for end in interval)
    return f" [{low}, {high}]"


def print_identification(result: "IdentificationResult") -> None:
    """The figures for people, one a line."""
    output.print_line(
        f"{count(result.enrolled, 'person', 'people')} enrolled, "
        f"{count(round(result.known_probes), 'probe')} of them, "
        f"{round(result.stranger_probes)} of strangers; {count(result.draws, 'draw')}"
    )
    for name, text in _names_of_searches(result).items():
        interval = _bracketed(result.intervals.get(name))
        output.print_line(f"{text}: {wording.percent(result.figure(name))}{interval}")
        if name == "rank_1":
            _print_ranks(result.cumulative_match)
    output.print_line(f"without a face: {count(result.missed, 'photograph')}")
    for promise in result.promises:
        _print_promise(promise)


def _print_promise(promise: "Promise") -> None:
    """What came of one rate of strangers that was promised."""
    over = promise.over_wanted
    times = "too few to say" if over is None else f"{over:.2f} times as many"
    if promise.over_wanted_interval is not None:
        times += " [{:.2f}, {:.2f}]".format(*promise.over_wanted_interval)
    strangers = count(promise.strangers, "stranger")
    output.print_line(
        f"at the threshold for {percentage(promise.wanted)} of strangers, "
        f"{promise.threshold:.3f}: {wording.percent(promise.named, 2)} named, {times} "
        f"({strangers}, {count(promise.stranger_photographs, 'photograph')}); "
        f"FNIR {wording.percent(promise.missed)}{_bracketed(promise.missed_interval)} "
        f"({count(promise.known, 'person', 'people')}, "
        f"{count(promise.known_photographs, 'photograph')})"
        + (", extrapolated" if promise.extrapolated else "")
    )


def _print_ranks(cumulative_match: Sequence[float]) -> None:
    for rank in (5, 10, 20):
        if rank <= len(cumulative_match):
            share = wording.percent(cumulative_match[rank - 1])
            output.print_line(f"within the first {rank}: {share}")


def draw_verification(measured: "Measured[LfwResult]", path: Path) -> None:
    """The ROC curves and the similarities, into a picture."""
    from data.plotting import save_figure
    from recognition.evaluation.plots import verification_figure

    drawn = {}
    for name, result in measured.by_name().items():
        pairs = result.pairs.comparisons
        threshold = sum(result.thresholds) / len(result.thresholds)
        drawn[name] = ((pairs.genuine, pairs.impostor), threshold)
    save_figure(verification_figure(drawn), path)


def draw_identification(measured: "Measured[IdentificationResult]", path: Path) -> None:
    """The cumulative match curves, misses and false alarms, into a picture."""
    from data.plotting import save_figure
    from recognition.evaluation.plots import identification_figure

    drawn = {
        name: (result.cumulative_match, result.error_curve)
        for name, result in measured.by_name().items()
    }
    save_figure(identification_figure(drawn), path)
