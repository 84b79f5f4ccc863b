"""Figures of matplotlib: made without its global state, written whole or not at all."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from .files import atomic_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PLOT_SUFFIXES = (".png", ".svg", ".pdf")
"""The formats in which a figure can be saved."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
"""Okabe and Ito's, which the colour-blind can tell apart."""

_SIZE = (5.4, 4.2)  # inches


def new_figure(panels: int = 1) -> "tuple[Figure, list[Axes]]":
    """Return a figure and so many empty axes, at most three in a row."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A matplotlibrc in the folder that this was started in may ask for TeX, and that for a program.
    matplotlib.rcdefaults()

    columns = 2 if panels == 4 else min(panels, 3)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_SIZE[0] * columns, _SIZE[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, columns, 1 + number) for number in range(panels)]


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure whole or not at all, in the format of the path's suffix.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with atomic_output(path, mode=0o666) as temporary:
        figure.savefig(temporary, dpi=150)
