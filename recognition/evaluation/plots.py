"""What a recogniser does, drawn: its ROC curve, similarities, ranks, misses and false alarms.

Each `draw_…` fills axes that it is given, so that others may place them; each `…_figure` is whole.
Nothing goes through matplotlib's global state.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.plotting import COLOURS, new_figure

from .metrics import Scores, roc, smallest_supported_far
from .probability import Reliability

_Place = Literal["lower right", "upper right"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pairs = tuple[Scores, Scores]
"""Similarities of genuine and of impostor comparisons, (g,) and (i,)."""

Points = Sequence[tuple[float, float]]
"""A curve's points, x and y."""

# The lines differ for grey printers.
_LINES = ("-", "--", "-.", ":")
_GENUINE, _IMPOSTOR = COLOURS[:2]
_BINS = 50


def roc_figure(recognisers: Mapping[str, Pairs]) -> "Figure":
    """Return the ROC curves of recognisers, by their names."""
    figure, (axes,) = new_figure()
    draw_roc(axes, recognisers)
    return figure


def histogram_figure(pairs: Pairs, threshold: float | None = None) -> "Figure":
    """Return the similarities of one recogniser's pairs, and where they are accepted."""
    figure, (axes,) = new_figure()
    draw_histogram(axes, pairs, threshold)
    return figure


def verification_figure(recognisers: Mapping[str, tuple[Pairs, float]]) -> "Figure":
    """Return the ROC curves of recognisers, and the similarities of each beside them.

    Args:
        recognisers: Each one's pairs and threshold, by its name.
    """
    figure, (first, *others) = new_figure(1 + len(recognisers))
    draw_roc(first, {name: pairs for name, (pairs, _) in recognisers.items()})
    for axes, (name, (pairs, threshold)) in zip(others, recognisers.items(), strict=True):
        draw_histogram(axes, pairs, threshold)
        axes.set_title(f"Similarities, {name}" if name else "Similarities")
    return figure


def identification_figure(recognisers: Mapping[str, tuple[Sequence[float], Points]]) -> "Figure":
    """Return who is found among how many, and what is missed at how many false alarms.

    Args:
        recognisers: Each one's cumulative match curve, and its points of FPIR and FNIR, by its
            name.
    """
    figure, (left, right) = new_figure(2)
    draw_cumulative_match(left, {name: curve for name, (curve, _) in recognisers.items()})
    draw_error_curves(right, {name: points for name, (_, points) in recognisers.items()})
    return figure


def reliability_figure(held: Reliability) -> "Figure":
    """Return how probabilities held, over the diagonal of those that hold exactly."""
    figure, (axes,) = new_figure()
    draw_reliability(axes, held)
    return figure


def draw_roc(axes: "Axes", recognisers: Mapping[str, Pairs]) -> None:
    """Draw TAR over FAR, whose axis is logarithmic, as far down as the impostor pairs support."""
    supported = [
        (name, pairs, smallest)
        for name, pairs in recognisers.items()
        if len(pairs[0]) and (smallest := smallest_supported_far(len(pairs[1]))) is not None
    ]
    lowest = 1.0
    for number, (name, pairs, smallest) in enumerate(supported):
        far, tar = roc(*pairs)
        shown = far > smallest + 1e-9
        reached = float(tar[far <= smallest + 1e-9].max())
        x, y = np.append(smallest, far[shown]), np.append(reached, tar[shown])
        # A FAR between two thresholds' is that of the stricter one, and so is its TAR.
        axes.step(x, y, where="post", label=name, **_style(number))
        lowest = min(lowest, reached)
    _rate_axis(axes, "FAR: impostor pairs accepted", [smallest for *_, smallest in supported])
    _share_axis(axes, "TAR: genuine pairs accepted", lowest)
    axes.set_title("ROC curve")
    _legend(axes, recognisers, "lower right")


def draw_histogram(axes: "Axes", pairs: Pairs, threshold: float | None = None) -> None:
    """Draw how similar genuine and impostor pairs are; faces that were not found are left out."""
    found = [scores[np.isfinite(scores)] for scores in pairs]
    every = np.concatenate(found)
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    names = ("one person", "two people")
    for scores, name, colour in zip(found, names, (_GENUINE, _IMPOSTOR), strict=True):
        share = np.full(len(scores), 1 / max(len(scores), 1))
        label = f"{name} ({len(scores):,} pairs)"
        axes.hist(scores, edges.tolist(), weights=share, color=colour, alpha=0.55, label=label)
    if threshold is not None and math.isfinite(threshold):
        label = f"threshold {threshold:.2f}"
        axes.axvline(threshold, color="0.15", linestyle="--", linewidth=1.2, label=label)
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("share of pairs of the kind")
    axes.yaxis.set_major_formatter(_percent)
    axes.set_title("Similarities")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)  # room for the legend
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", ncols=1, fontsize="small")


def draw_cumulative_match(axes: "Axes", recognisers: Mapping[str, Sequence[float]]) -> None:
    """Draw how often the right person is among the first 1, 2, … of those enrolled."""
    from matplotlib.ticker import MaxNLocator

    drawn = {name: curve for name, curve in recognisers.items() if len(curve)}
    for number, (name, curve) in enumerate(drawn.items()):
        ranks = range(1, len(curve) + 1)
        axes.plot(ranks, curve, marker="o", markersize=3.5, label=name, **_style(number))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank")
    _share_axis(axes, "known probes found up to the rank", min(map(min, drawn.values()), default=0))
    axes.set_title("Cumulative match curve")
    _legend(axes, recognisers, "lower right")


def draw_error_curves(axes: "Axes", recognisers: Mapping[str, Points]) -> None:
    """Draw FNIR over FPIR, whose axis is logarithmic, as far down as the strangers support."""
    drawn = {name: points for name, points in recognisers.items() if len(points)}
    for number, (name, points) in enumerate(drawn.items()):
        axes.plot(*zip(*points, strict=True), label=name, **_style(number))
    smallest = [min(fpir for fpir, _ in points) for points in drawn.values()]
    _rate_axis(axes, "FPIR: strangers that raise an alarm", smallest)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(_percent)
    axes.set_ylabel("FNIR: known probes missed")
    axes.set_title("Misses and false alarms")
    _legend(axes, recognisers, "upper right")


def draw_reliability(axes: "Axes", held: Reliability) -> None:
    """Draw the share of one person's pairs over the probability said; dots as large as bins."""
    axes.plot((0, 1), (0, 1), color="0.5", linestyle="--", linewidth=1)
    axes.plot(held.said, held.observed, **_style(0))
    sizes = [20 + 300 * weight for weight in held.weights]
    axes.scatter(held.said, held.observed, s=sizes, color=COLOURS[0], alpha=0.6)
    axes.set_xlabel("probability said")
    axes.set_ylabel("share of one person's pairs")
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    axes.set_title(f"Reliability: calibration error {100 * held.error:.2g} %")
    axes.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _LINES[number % len(_LINES)],
        "linewidth": 1.8,
    }


def _percent(value: float, _position: object = None) -> str:
    return f"{100 * value:.6g} %"


def _rate_axis(axes: "Axes", label: str, smallest: Sequence[float]) -> None:
    """Make the x-axis logarithmic, and shade the rates that the data cannot support."""
    from matplotlib.ticker import NullFormatter

    edge = min(smallest, default=1.0)
    low = 10 ** (math.floor(math.log10(edge * 0.7) * 2) / 2) if smallest else 0.01
    axes.set_xscale("log")
    axes.set_xlim(low, 1)
    axes.axvspan(low, edge, color="0.9", linewidth=0, zorder=0)
    axes.text(
        (low * edge) ** 0.5,
        0.5,
        "too few to tell",
        transform=axes.get_xaxis_transform(),
        rotation=90,
        ha="center",
        va="center",
        color="0.45",
        fontsize="small",
    )
    axes.xaxis.set_major_formatter(_percent)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.set_axisbelow(True)


def _share_axis(axes: "Axes", label: str, lowest: float) -> None:
    """Make the y-axis one of shares up to 1, from a little below the lowest."""
    step = 0.05 if lowest > 0.5 else 0.1
    bottom = max(0.0, math.floor(lowest / step - 0.2) * step)
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    axes.yaxis.set_major_formatter(_percent)
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)


def _legend(axes: "Axes", recognisers: Mapping[str, object], place: _Place) -> None:
    """Tell several recognisers apart; one alone needs no name."""
    if len(recognisers) > 1 and axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place)
