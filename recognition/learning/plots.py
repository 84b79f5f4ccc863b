"""Its pictures, and TensorBoard."""

import io
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image
from torch import Tensor

from backbones.network import Backbone
from data.distribution import install_command
from data.errors import ArgumentError
from data.files import private_folder, write_atomic

from ..evaluation.metrics import threshold_at_far
from ..evaluation.plots import histogram_figure, roc_figure
from .choices import Metric
from .config import TrainingConfig
from .dataset import Photographs
from .reports import EpochReport
from .validation import FAR, ValidationSimilarities, embed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# The pictures of a run: curves, similarities, ROC, and a map of embeddings.
#
# Each function makes a figure and writes nothing. No global state of matplotlib is touched, so
# that runs may be drawn in any thread and without a display.

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c564b")
"""Told apart by the colour-blind too (Okabe and Ito 2008), and one more."""
_MARKS = "os^DvP*X"
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
    backbone: Backbone,
    pairs: Mapping[str, ValidationSimilarities],
    held_out: Photographs,
    *,
    mirror: bool,
) -> dict[str, Figure]:
    """What shows how good some weights are, by file name.

    Args:
        backbone: With these weights, in eval mode.
        pairs: Similarities within each group of people, among them `validation`.
        held_out: The people of validation.
        mirror: Whether an embedding is joined with that of the mirrored photograph.
    """
    shown = held_out.most_photographed(_MOST_PEOPLE).some_of_each(_MOST_PHOTOGRAPHS)
    vectors = embed(backbone, shown.pixels, mirror=mirror)
    validation = pairs["validation"]
    return {
        "histogram": histogram_figure(
            (validation.genuine, validation.impostor), threshold_at_far(validation.impostor, FAR)
        ),
        "roc": roc_figure({name: (some.genuine, some.impostor) for name, some in pairs.items()}),
        "embeddings": embedding_map(vectors, shown.labels, shown.people),
    }


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


# What a run shows of itself beside its figures: `plots/`, and TensorBoard's event files.
#
# Both are made from `metrics.jsonl` and the best weights, and hold nothing that is nowhere else.
# A run that goes on writes its event file anew, so that no step is there twice and none is
# missing.

_SECONDS_BETWEEN_DRAWINGS = 5.0
"""Drawing takes a third of a second, an epoch perhaps less."""


def check_tensorboard() -> None:
    """Refuse to go on without the library that writes event files.

    Raises:
        ArgumentError: It is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ArgumentError(
            "the run shall write TensorBoard's event files, and that package is not installed: "
            f"{install_command('tensorboard')}, or set tensorboard to false"
        )


class Logbook:
    """Draws a run as it goes on; closed at its end, or when it fails."""

    def __init__(self, config: TrainingConfig, reports: Sequence[EpochReport]) -> None:
        """Begin, or go on.

        Args:
            config: Of the run, whose folder is there.
            reports: Of the epochs done before.
        """
        self._plots = private_folder(config.out / "plots")
        self._metric = config.metric
        self._reports = list(reports)
        self._drawn = -_SECONDS_BETWEEN_DRAWINGS
        events = config.out / "tensorboard"
        self._events = EventFile(events, reports) if config.tensorboard else None

    def __enter__(self) -> Self:
        return self

    def add(self, report: EpochReport) -> None:
        """Add an epoch; the curves are drawn anew at most every few seconds."""
        self._reports.append(report)
        if self._events is not None:
            self._events.add(report)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw_curves()
            self._drawn = time.monotonic()

    def finish(self, figures: Mapping[str, "Figure"]) -> None:
        """Draw the curves a last time, and keep the figures of the best weights, by file name."""
        self._draw_curves()
        for name, figure in figures.items():
            picture = png(figure)
            write_atomic(self._plots / f"{name}.png", picture)
            if self._events is not None:
                self._events.add_picture(name, picture, len(self._reports))

    def _draw_curves(self) -> None:
        if self._reports:
            figure = curves(self._reports, self._metric)
            write_atomic(self._plots / "curves.png", png(figure))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()


class EventFile:
    """TensorBoard's view of a run, begun anew each time."""

    def __init__(self, folder: Path, reports: Sequence[EpochReport]) -> None:
        """Write the epochs done before, at the times that they took."""
        from torch.utils.tensorboard import SummaryWriter

        if folder.is_dir():
            shutil.rmtree(folder)
        self._writer = SummaryWriter(str(private_folder(folder)))
        moment = time.time() - sum(report.seconds for report in reports)
        for report in reports:
            moment += report.seconds
            self.add(report, moment)

    def add(self, report: EpochReport, moment: float | None = None) -> None:
        """Add an epoch's figures; those that the data cannot support are left out."""
        names = ("train_loss", "val_auc", "val_tar", "learning_rate", "images_per_second")
        scalars = {name: getattr(report, name) for name in names}
        scalars |= {f"losses/{name}": value for name, value in report.losses.items()}
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, report.epoch, walltime=moment)
        self._writer.flush()

    def add_picture(self, name: str, png: bytes, epoch: int) -> None:
        """Add a picture."""
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))  # (H, W, 3)
        self._writer.add_image(name, pixels, epoch, dataformats="HWC")

    def close(self) -> None:
        """Write what is left, and end."""
        self._writer.close()
