"""`evaluate`: how good recognition is, on photographs whose people are known."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

from data.errors import ArgumentError
from data.lfw import Layout
from recognition.matching import Matching

from ... import wording
from ...settings import Settings
from ...wording import count, percentage
from .. import output
from ..destinations import check_picture, kept
from ..embedding_options import Way, other_network
from ..options import MAX_SEED, UNCHANGED, JsonOption, MatchOption, PlotOption, command
from . import evaluate_detect, evaluate_style, evaluate_tails

if TYPE_CHECKING:
    from recognition.evaluation.consultation import Consulted
    from recognition.evaluation.embeddings import Finder
    from recognition.evaluation.identification import IdentificationResult, Promise
    from recognition.evaluation.impostor_tail import ImpostorTail
    from recognition.evaluation.intervals import Interval
    from recognition.evaluation.pairs import Difference
    from recognition.evaluation.verification import ByView, LfwResult
    from recognition.template_attention import Rule


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


app = typer.Typer()
_group = typer.Typer(help="Measure how good recognition is, and how good painted pictures are.")
app.add_typer(_group, name="evaluate")
_group.add_typer(evaluate_detect.app)
_group.add_typer(evaluate_style.app)
_group.add_typer(evaluate_tails.app)

_ONE_PROTOCOL = "give either --gallery and --probes, or --people"

WAY = tuple(inspect.signature(Way).parameters.values())

CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="NAME|FILE",
        help="Another model, or other weights, to measure too, and the difference.",
    ),
]


@command(
    _group,
    "lfw",
    example="likeness evaluate lfw --images lfw --pairs pairs.txt --folds 1-8",
    fields=WAY,
    tells_given=True,
    became=UNCHANGED,
)
def lfw(
    settings: Settings,
    given: Collection[str],
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Holds <Name>/<Name>_0001.jpg.")
    ],
    pairs: Annotated[
        Path, typer.Option("--pairs", metavar="FILE", help="Pairs in LFW's own format.")
    ],
    folds: Annotated[
        str | None, typer.Option("--folds", metavar="N", help="Folds to use: 9, 1-8 or 1,3,5.")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout",
            help="What the photographs' numbers mean: lfw nothing; cfp, 1 to 10 frontal and 11 to "
            "14 profile, which are told apart.",
        ),
    ] = Layout.LFW,
    compare: CompareOption = None,
    false_accept_cost: Annotated[
        float,
        typer.Option(
            "--false-accept-cost",
            metavar="W",
            min=0,
            max=1e6,
            help="Of a false accept in the weighted error, where a false reject costs 1.",
        ),
    ] = 10.0,
    plot: PlotOption = None,
    as_json: JsonOption = False,
    **fields: Any,
) -> int:
    """Verify the pairs of Labeled Faces in the Wild, of CFP, or of a list in their format.

    Each fold is decided with the threshold that the other folds choose. Of several faces the one
    nearest the photograph's centre counts; a pair with a face that was not found is an error. In
    brackets are 95 % intervals, for other people than these.
    """
    from data.lfw import read_lfw_pairs
    from recognition.evaluation.consultation import consult_lfw_folder
    from recognition.evaluation.verification import check_cost, evaluate_lfw_folder

    way = _checked(fields, given, plot, inputs=[pairs])
    check_cost(false_accept_cost)
    protocol = read_lfw_pairs(pairs)
    numbers: Sequence[int] = range(1, len(protocol.folds) + 1)
    if folds is not None:
        numbers = _numbers(folds)
        protocol = protocol.select(numbers)
    tested = {name for name, _ in protocol.photographs()}

    def alone(find: "Finder", _: "ImpostorTail | None") -> "LfwResult":
        with output.progress_bar("embedding") as progress:
            return evaluate_lfw_folder(
                protocol,
                images,
                find,
                false_accept_cost=false_accept_cost,
                layout=layout,
                progress=progress,
            )

    def consulting(finders: "Sequence[Finder]") -> "Consulted[LfwResult]":
        with output.progress_bar("embedding") as progress:
            return consult_lfw_folder(
                protocol,
                images,
                finders,
                confusable=way.confusable,
                false_accept_cost=false_accept_cost,
                layout=layout,
                progress=progress,
            )

    measured = _measure(settings, way, compare, tested, alone, consulting)
    code = _show(measured, lambda result: print_verification(result, numbers), as_json=as_json)
    return code | _drawn(plot, settings, lambda path: draw_verification(measured, path))


@command(
    _group,
    "identify",
    example="likeness evaluate identify --gallery enrolled --probes others",
    fields=WAY,
    tells_given=True,
    became=UNCHANGED,
)
def identify(
    settings: Settings,
    given: Collection[str],
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", metavar="DIR", help="Who is enrolled: a folder for each person."),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option("--probes", metavar="DIR", help="Who is searched for, strangers among them."),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option("--people", metavar="DIR", help="Everybody, to draw by lot who is enrolled."),
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option("--identities", metavar="FILE", help="Whom of --people to use, one a line."),
    ] = None,
    leave_out: Annotated[
        Path | None,
        typer.Option("--leave-out", metavar="FILE", help="Whom of them not to use, one a line."),
    ] = None,
    enrol: Annotated[
        int | None,
        typer.Option(
            "--enrol",
            metavar="N",
            min=1,
            max=1_000_000,
            help="How many of --people are enrolled in each draw.",
        ),
    ] = None,
    templates: Annotated[
        int,
        typer.Option(
            "--templates",
            metavar="M",
            min=1,
            max=1_000_000,
            help="By how many photographs each of these.",
        ),
    ] = 1,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=1, max=100_000, help="How often to draw.")
    ] = 200,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Of the draws.")
    ] = 0,
    matching: MatchOption = Matching.BEST,
    compare: CompareOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
    **fields: Any,
) -> int:
    """Search for people, and for strangers, among those enrolled.

    Give --gallery and --probes; or --people, of whom half are drawn to be enrolled with their
    first photograph, again and again, or --enrol of all of them. Where the weights say how alike
    strangers are, the thresholds that `identify` would derive from it are tried as well.
    """
    from recognition.evaluation import consultation, identification
    from recognition.evaluation.consultation import Consulted
    from recognition.evaluation.identification import IdentificationResult
    from recognition.evaluation.searches import people_to_draw_from, two_folders

    way = _checked(fields, given, plot, inputs=[identities] if identities else [])
    rule = _rule(settings, way, matching, compare)
    _check_people(given)
    alone: Callable[..., IdentificationResult]
    consulting: Callable[..., Consulted[IdentificationResult]]
    if people is not None:
        folders = [people_to_draw_from(people, identities, leave_out)]
        lots: dict[str, Any] = {
            "listing": identities,
            "leave_out": leave_out,
            "draws": draws,
            "seed": seed,
            "enrol": enrol,
            "templates": templates,
        }
        alone = partial(identification.evaluate_people_folder, people, **lots)
        consulting = partial(consultation.consult_people_folder, people, **lots)
    elif gallery is not None and probes is not None:
        folders = two_folders(gallery, probes)
        alone = partial(identification.evaluate_two_folders, gallery, probes)
        consulting = partial(consultation.consult_two_folders, gallery, probes)
    else:
        raise ArgumentError(_ONE_PROTOCOL)
    tested = {person.name for folder in folders for person in folder}
    with output.progress_bar("embedding") as progress:
        measured = _measure(
            settings,
            way,
            compare,
            tested,
            lambda find, tail: alone(find, rule=rule, tail=tail, progress=progress),
            partial(consulting, confusable=way.confusable, progress=progress),
            tail_of=_tail,
        )
    code = _show(measured, print_identification, as_json=as_json)
    return code | _drawn(plot, settings, lambda path: draw_identification(measured, path))


def _check_people(given: Collection[str]) -> None:
    """Refuse options about who is enrolled that do not go together, before anything is read.

    Args:
        given: The names of the options that the user gave.

    Raises:
        ArgumentError: There is no protocol, there are two, or an option is the other one's.
    """
    drawing = {"people", "identities", "leave_out", "enrol", "templates", "draws", "seed"}
    drawn = [f"--{name.replace('_', '-')}" for name in sorted(drawing.intersection(given))]
    folders = {"gallery", "probes"}.intersection(given)
    if ("people" in given) == bool(folders) or len(folders) == 1:  # none, two, or half of one
        raise ArgumentError(_ONE_PROTOCOL)
    if folders and drawn:
        raise ArgumentError(
            f"{', '.join(drawn)}: nothing is drawn from --gallery and --probes; give --people "
            "instead of them, or leave this away"
        )
    if "templates" in given and "enrol" not in given:
        raise ArgumentError(
            "--templates is about those whom --enrol draws: say how many, or leave it away"
        )


def _tail(settings: Settings, way: Way) -> "ImpostorTail | None":
    """What the weights say of strangers, where the photographs are embedded as it was measured."""
    from recognition.detection.detector import DEFAULT_DETECTOR
    from recognition.tail_cards import find_tail

    if way.detector not in (None, DEFAULT_DETECTOR):
        return None
    embedder = settings.face_embedder(mirror=way.mirror, crops=way.crops)
    if not embedder.is_as_measured or way.ensemble or way.grey or way.whiten:
        return None
    return find_tail(embedder.weights_digest, embedder.tail, home=settings.home)


def _rule(settings: Settings, way: Way, matching: Matching, compare: str | None) -> "Rule":
    """The rule of matching, with what was trained for the network where attention is asked for.

    Raises:
        ArgumentError: The other options ask for embeddings that it is not for.
        WeightsError: Nothing was trained for the network.
    """
    if matching is Matching.BEST:
        return matching
    if way.specialist:
        raise ArgumentError("specialists are asked by the best photograph: leave --match away")
    if matching is not Matching.ATTENTION:
        return matching
    from recognition.attention_file import find_attention

    embedder = settings.face_embedder(mirror=way.mirror, crops=way.crops)
    if way.ensemble or way.whiten or compare is not None or not embedder.is_as_measured:
        raise ArgumentError(
            "attention is trained for the embeddings of one network as they are: leave --ensemble, "
            "--whiten, --compare, --mirror and --crops away, or take --match mean"
        )
    return find_attention(
        embedder.model_id, embedder.weights_digest, embedder.dimension, home=settings.home
    )


def _numbers(text: str) -> list[int]:
    """The numbers that `9`, `1-8` or `1,3,5` means."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if not found:
            raise ArgumentError(f"folds are {text!r}: give numbers such as 9, 1-8 or 1,3,5")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return numbers


def _checked(
    fields: dict[str, Any], given: Collection[str], plot: Path | None, *, inputs: Sequence[Path]
) -> Way:
    """The way that the options ask for, refused before any work where it cannot be gone."""
    way = Way(**fields)
    way.check()
    if "confusable" in given and not way.specialist:
        raise ArgumentError("--confusable says when a --specialist is asked: name one")
    if plot is not None:
        from data.plotting import PLOT_SUFFIXES

        check_picture(plot, inputs=inputs, suffixes=PLOT_SUFFIXES)
    return way


def _measure(
    settings: Settings,
    way: Way,
    compare: str | None,
    tested: Collection[str],
    alone: "Callable[[Finder, ImpostorTail | None], ResultT]",
    consulting: "Callable[[Sequence[Finder]], Consulted[ResultT]]",
    *,
    tail_of: "Callable[[Settings, Way], ImpostorTail | None]" = lambda settings, way: None,
) -> "Measured[ResultT]":
    """Measure what the settings ask for, and the weights to compare it with.

    Args:
        settings: What the shared options ask for.
        way: How photographs become embeddings.
        compare: Another model, or other weights, to measure too.
        tested: Names of the people in the test.
        alone: Measures one network, given what its weights say of strangers.
        consulting: Measures one that asks specialists.
        tail_of: What the weights say of strangers that settings and way name.
    """
    tail = None if way.specialist else tail_of(settings, way)
    find, *specialists = way.finders(settings, tested=tested)
    other = None  # found before the first ones are measured, so that a wrong path is told at once
    if compare is not None or way.compare_detector is not None:
        chosen = settings if compare is None else other_network(settings, compare)
        # `finder` embeds by one network alone, whatever is averaged with the first.
        second = replace(
            way, detector=way.compare_detector or way.detector, ensemble=None, specialist=None
        )
        other_tail = tail_of(chosen, second)
        other = second.finder(chosen, tested=tested), other_tail
    consulted = consulting([find, *specialists]) if specialists else None
    first = alone(find, tail) if consulted is None else consulted.result
    return Measured(
        first=first, consulted=consulted, second=None if other is None else alone(*other)
    )


def _drawn(plot: Path | None, settings: Settings, draw: "Callable[[Path], None]") -> int:
    """Draw what was measured, if that is wanted; the exit code."""
    misplaced = None if plot is None else kept(plot, settings.home, draw)[1]
    if misplaced is not None:
        output.print_error(misplaced)
    return 0 if misplaced is None else 1


def _show(
    measured: "Measured[ResultT]", print_one: "Callable[[ResultT], None]", *, as_json: bool
) -> int:
    """Print everything that was measured; the exit code."""
    if as_json:
        output.print_json(measured.to_json())
    else:
        print_measured(measured, print_one)
    for image in measured.first.unreadable:
        output.print_failure(image.image, image.error)
    return 1 if measured.first.unreadable else 0
