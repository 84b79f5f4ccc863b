"""What a picture will take, as the command line tells it."""

from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from style.planning import Plan


def show(plan: "Plan", *, as_json: bool) -> None:
    """The whole plan on stdout."""
    if as_json:
        output.print_json(plan.as_json())
        return
    rows = [
        (
            f"{scale.size[1]}×{scale.size[0]}",
            str(scale.steps),
            "–" if scale.tile is None else f"{scale.tile} px",
            output.gigabytes(scale.memory),
            output.duration(scale.seconds),
        )
        for scale in plan.scales
    ]
    output.print_table(("size", "steps", "tiles", "memory", "time"), rows)
    output.print_line(_summary(plan))


def tell(plan: "Plan") -> None:
    """One line on stderr, before the painting."""
    output.print_note(_summary(plan))


def time_left(seconds: float | None) -> str:
    """What stands at the end of a progress bar."""
    return "" if seconds is None else f"about {output.duration(seconds)} left"


def _summary(plan: "Plan") -> str:
    """Memory, time and tiles in one line."""
    memory, limit = output.gigabytes(plan.memory), output.gigabytes(plan.limit)
    line = f"takes about {output.duration(plan.seconds)} and {memory} of memory, of {limit} at most"
    in_tiles = [scale for scale in plan.scales if scale.tile is not None]
    if not in_tiles:
        return line
    first, last = in_tiles[0], in_tiles[-1]
    return f"{line}; in tiles of {last.tile} px from {max(first.size)} px on"
