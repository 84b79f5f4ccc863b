"""The pictures of a run: curves, similarities, ROC, and a map of embeddings.

Each function makes a figure and writes nothing. No global state of matplotlib is
touched, so that runs may be drawn in any thread and without a display.
"""

import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from torch import Tensor

from backbones.network import Backbone

from ..evaluation.metrics import auc, roc, smallest_supported_far, threshold_at_far
from .choices import Metric
from .photographs import Photographs
from .reports import EpochReport
from .validation import FAR, Comparisons, embed

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c564b")
"""Told apart by the colour-blind too (Okabe and Ito 2008), and one more."""
_GENUINE, _IMPOSTOR = COLOURS[2], COLOURS[1]
_MARKS = "os^DvP*X"
_MOST_POINTS = 2000
"""Of a line: more would not be seen."""
_MOST_PEOPLE, _MOST_PHOTOGRAPHS = 16, 30
"""On the map, and of each of them."""


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script without a font
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def curves(reports: Sequence[EpochReport], metric: Metric) -> Figure:
    """The losses, the metrics of people kept out, and the learning rate over the epochs.

    Args:
        reports: Of the epochs so far.
        metric: The one that chooses the best epoch, which is marked.
    """
    figure = Figure(figsize=(7, 8), dpi=110, layout="constrained")
    losses, held_out, rate = figure.subplots(
        3, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.4]}
    )
    epochs = [report.epoch for report in reports]
    marker = "o" if len(epochs) < 30 else ""
    style = {"marker": marker, "markersize": 3.5}
    losses.plot(epochs, [r.train_loss for r in reports], color="black", label="total", **style)
    names = sorted({name for report in reports for name in report.losses})
    if len(names) > 1:
        for name, colour in zip(names, COLOURS, strict=False):
            values = [report.losses.get(name, np.nan) for report in reports]
            losses.plot(epochs, values, color=colour, label=f"{name}, unweighted", **style)
    _finish(losses, ylabel="training loss", legend=True)
    for name, label, colour in (
        ("val_auc", "AUC", COLOURS[0]),
        ("val_tar", f"TAR at FAR {_percent(FAR)}", COLOURS[1]),
    ):
        figures = [getattr(report, name) for report in reports]
        if any(value is not None for value in figures):
            heights = [np.nan if value is None else value for value in figures]
            held_out.plot(epochs, heights, color=colour, label=label, **style)
    chosen = [report for report in reports if report.best][-1:]
    for report in chosen:
        value = report.val_tar if metric is Metric.TAR else report.val_auc
        shown = "" if value is None else f", {_percent(value, 2)}"
        label = f"best: epoch {report.epoch}{shown}"
        held_out.axvline(report.epoch, color="grey", linestyle=":", label=label)
    held_out.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
    _finish(held_out, ylabel="people kept out", legend=True)
    rate.plot(epochs, [report.learning_rate for report in reports], color="grey", **style)
    rate.set_yscale("log")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _finish(rate, ylabel="rate at the\nepoch's end", xlabel="epoch")
    return figure


def weights_figures(
    backbone: Backbone, pairs: Mapping[str, Comparisons], held_out: Photographs, *, mirror: bool
) -> dict[str, Figure]:
    """What shows how good some weights are, by file name.

    Args:
        backbone: With these weights, in eval mode.
        pairs: Similarities within each group of people, among them `validation`.
        held_out: The people of validation.
        mirror: Whether an embedding is joined with that of the mirrored photograph.
    """
    shown = held_out.most_photographed(_MOST_PEOPLE).first_of_each(_MOST_PHOTOGRAPHS)
    vectors = embed(backbone, shown.pixels, mirror=mirror)
    validation = pairs["validation"]
    return {
        "histogram": histogram(validation, threshold_at_far(validation.impostor, FAR)),
        "roc": roc_curves(pairs),
        "embeddings": embedding_map(vectors, shown.labels, shown.people),
    }


def histogram(pairs: Comparisons, threshold: float | None) -> Figure:
    """Similarities of genuine and impostor pairs, each with an area of 1, and the threshold."""
    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([pairs.genuine, pairs.impostor])
    most = max(12, min(80, round(len(pairs.genuine) ** 0.5) * 2))
    bins = np.linspace(everything.min(), everything.max() + 1e-6, most + 1).tolist()
    for scores, name, colour in (
        (pairs.impostor, "two people", _IMPOSTOR),
        (pairs.genuine, "one person", _GENUINE),
    ):
        if len(scores):
            label = f"{name}: {len(scores):,} pairs"
            axes.hist(scores, bins, density=True, color=colour, alpha=0.35)
            axes.hist(scores, bins, density=True, histtype="step", color=colour, label=label)
    if threshold is not None and np.isfinite(threshold):
        label = f"threshold {threshold:.3f}, FAR {_percent(FAR)}"
        axes.axvline(threshold, color="black", linestyle="--", label=label)
    axes.set_yticks([])
    _finish(axes, xlabel="cosine similarity", ylabel="share of pairs", legend=True)
    return figure


def roc_curves(groups: Mapping[str, Comparisons]) -> Figure:
    """True against false accepts, on a logarithmic axis, a line for each group of people."""
    figure = Figure(figsize=(7, 4.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    left = 1.0
    for (name, pairs), colour in zip(groups.items(), COLOURS, strict=False):
        area = auc(pairs.genuine, pairs.impostor)
        if area is None:
            continue
        far, tar = roc(pairs.genuine, pairs.impostor)
        # Left of this the line says nothing.
        start = smallest_supported_far(len(pairs.impostor)) or 1 / len(pairs.impostor)
        left = min(left, start)
        grid = np.geomspace(start, 1, _MOST_POINTS)
        reached = tar[np.searchsorted(far, grid, side="right") - 1]
        axes.plot(grid, reached, color=colour, label=f"{name}: AUC {_percent(area, 2)}")
    if left <= FAR:
        axes.axvline(FAR, color="grey", linestyle=":", label=f"FAR {_percent(FAR)}")
    axes.set_xscale("log" if left < 0.1 else "linear")
    axes.set_xlim(min(left, 0.5), 1)
    axes.set_ylim(min(0.8, axes.get_ylim()[0]), 1.01)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _finish(axes, xlabel="impostors accepted (FAR)", ylabel="genuine accepted (TAR)", legend=True)
    return figure


def embedding_map(vectors: Tensor, labels: Tensor, people: Sequence[str]) -> Figure:
    """Embeddings brought to a plane, coloured by person.

    Args:
        vectors: (N, D) of unit length, two or more.
        labels: (N,) indices into `people`.
        people: Names.
    """
    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    axes = figure.subplots()
    points = plane(vectors.numpy().astype(np.float64))
    for index, name in enumerate(people):
        own = points[labels.numpy() == index]
        colour, mark = COLOURS[index % len(COLOURS)], _MARKS[index // len(COLOURS) % len(_MARKS)]
        label = f"{name.replace('_', ' ').strip()} ({len(own)})"
        axes.scatter(
            own[:, 0], own[:, 1], s=22, color=colour, marker=mark, alpha=0.75, lw=0, label=label
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("People kept out, who have the most photographs: t-SNE of their embeddings")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    for text in figure.legends[0].get_texts():
        text.set_parse_math(False)  # a $ in a name is a $
    return figure


def plane(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, D) → (N, 2), neighbours staying neighbours (van der Maaten and Hinton 2008, t-SNE)."""
    from sklearn.manifold import TSNE  # half a second to import, at a run's end

    perplexity = min(20.0, (len(vectors) - 1) / 3)
    map_ = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=0)
    return np.asarray(map_.fit_transform(vectors), dtype=np.float64)


def _percent(fraction: float, decimals: int | None = None) -> str:
    number = 100 * fraction
    return f"{number:.3g} %" if decimals is None else f"{number:.{decimals}f} %"


def _finish(axes: Axes, *, ylabel: str, xlabel: str = "", legend: bool = False) -> None:
    axes.set_ylabel(ylabel)
    axes.set_xlabel(xlabel)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
