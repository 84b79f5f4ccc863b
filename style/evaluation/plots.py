"""Verdicts drawn: how near to the style, how near to the photograph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.plotting import COLOURS, new_figure

from .paintings import Judged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_MOST_NAMES = 30  # beyond it names only hide the dots
_LONGEST = 28  # characters of a name


def verdicts_figure(judged: Sequence[Judged], names: Sequence[str]) -> "Figure":
    """Return style distance over content distance, a dot a picture.

    Pictures of one photograph have one colour and one shape. The untouched photograph lies at
    (0, 1); nearer to the corner is better in both.

    Args:
        judged: Those without a verdict are left out.
        names: What each of them is called.
    """
    figure, (axes,) = new_figure()
    shown = [
        (each.painting.content, each.verdict, name)
        for each, name in zip(judged, names, strict=True)
        if each.verdict is not None
    ]
    contents = list(dict.fromkeys(content for content, *_ in shown))
    for number, content in enumerate(contents):
        dots = [
            (verdict.content_distance, verdict.style_distance)
            for one, verdict, _ in shown
            if one == content
        ]
        axes.scatter(
            *zip(*dots, strict=True),
            color=COLOURS[number % len(COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=content.stem,
        )
    places = [(verdict.content_distance, verdict.style_distance) for _, verdict, _ in shown]
    right = 1.15 * max((x for x, _ in places), default=1.0) or 1.0
    if len(shown) <= _MOST_NAMES:
        for place, (*_, name) in zip(places, shown, strict=True):
            left = place[0] < right / 2
            label = axes.annotate(
                name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…",
                place,
                (6 if left else -6, 0),
                textcoords="offset points",
                ha="left" if left else "right",
                va="center",
                fontsize="x-small",
            )
            label.set_in_layout(False)  # a long name must not squeeze the axes
    axes.axhline(1, color="0.5", linestyle="--", linewidth=1)
    axes.set_xlim(0, right)
    axes.set_ylim(0, 1.1 * max((y for _, y in places), default=1.0) or 1.1)
    axes.set_xlabel("content distance: 0 is the photograph")
    axes.set_ylabel("style distance: 0 is the style, 1 untouched")
    axes.set_title("Painted pictures, judged")
    axes.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)
    if len(contents) > 1:
        axes.legend(fontsize="small")
    return figure
