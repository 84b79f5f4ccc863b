"""How the figures of an evaluation are shown to people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import output
from .wording import count

if TYPE_CHECKING:
    from recognition.evaluation.identification import IdentificationResult
    from recognition.evaluation.intervals import Interval
    from recognition.evaluation.verification import LfwResult


def print_verification(result: "LfwResult", numbers: Sequence[int]) -> None:
    """The figures for people, one a line; `numbers` are the folds' own."""
    for number, accuracy in zip(numbers, result.folds, strict=True):
        output.print_line(f"fold {number}: accuracy {output.percent(accuracy, 2)}")
    if result.standard_error is not None:
        spread = output.percent(result.standard_error, 2)
        output.print_line(f"standard error over the folds: {spread}")
    for name, text in _figure_names(result).items():
        value, interval = result.figure(name), result.intervals.get(name)
        output.print_line(f"{text}: {output.percent(value, 2)}{_bracketed(interval)}")
    output.print_line(f"without a face: {count(result.missed, 'photograph')}")


def print_comparison(first: "LfwResult", second: "LfwResult", *, as_json: bool) -> None:
    """The figures of both, and the difference."""
    from recognition.evaluation.figures import differences

    found = differences(first.pairs, second.pairs)
    if as_json:
        output.print_json(
            {
                "first": first.to_json(),
                "second": second.to_json(),
                "difference": {
                    name: {"value": difference.value, "interval": list(difference.interval)}
                    for name, difference in found.items()
                },
            }
        )
        return
    rows = []
    for name, text in _figure_names(first).items():
        difference = found.get(name)
        shown = (
            f"{output.percent(difference.value, 2)}{_bracketed(difference.interval)}"
            if difference
            else "–"
        )
        both = [
            output.percent(result.figure(name), 2) + _bracketed(result.intervals.get(name))
            for result in (first, second)
        ]
        rows.append([text, *both, shown])
    missed = [first.missed, second.missed]
    rows.append(["without a face", *map(str, missed), str(missed[0] - missed[1])])
    output.print_table(["", "first", "second", "difference"], rows)


def _figure_names(result: "LfwResult") -> dict[str, str]:
    """What to call each figure of pairs, by its name."""
    from recognition.evaluation.figures import SMALLEST, tar_name

    names = {
        "mean": "mean accuracy",
        "auc": "area under the ROC curve",
        "eer": "equal error rate",
        "weighted_error": f"weighted error, false accepts × {result.false_accept_cost:g}",
    }
    names |= {tar_name(far): f"TAR at FAR {output.percent(far)}" for far in result.tar_at_far}
    if result.smallest_supported_far is not None:
        smallest = output.percent(result.smallest_supported_far)
        names[SMALLEST] = f"TAR at the smallest FAR that so many pairs support, {smallest}"
    return names


def _bracketed(interval: "Interval | None") -> str:
    """An interval behind its figure; nothing where there is none."""
    if interval is None:
        return ""
    low, high = (output.percent(end, 2) for end in interval)
    return f" [{low}, {high}]"


def print_identification(result: "IdentificationResult") -> None:
    """The figures for people, one a line."""
    from recognition.evaluation.identification import SMALLEST

    output.print_line(
        f"{count(result.enrolled, 'person', 'people')} enrolled, "
        f"{count(round(result.known_probes), 'probe')} of them, "
        f"{round(result.stranger_probes)} of strangers; {count(result.draws, 'draw')}"
    )
    lines = {"rank-1": ("rank_1", result.rank_1)}
    for rank in (5, 10, 20):
        if rank <= len(result.cumulative_match):
            lines[f"within the first {rank}"] = ("", result.cumulative_match[rank - 1])
    for fpir, fnir in result.fnir_at_fpir.items():
        lines[f"FNIR at FPIR {output.percent(fpir)}"] = (f"fnir_at_fpir_{fpir:g}", fnir)
    if result.smallest_supported_fpir is not None:
        smallest = output.percent(result.smallest_supported_fpir)
        lines[f"FNIR at the smallest FPIR that so many strangers support, {smallest}"] = (
            SMALLEST,
            result.fnir_at_smallest_supported_fpir,
        )
    for text, (name, value) in lines.items():
        interval = _bracketed(result.intervals.get(name))
        output.print_line(f"{text}: {output.percent(value)}{interval}")
    output.print_line(f"without a face: {count(result.missed, 'photograph')}")
