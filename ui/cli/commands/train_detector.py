"""`train-detector`: boxed and unboxed photographs, and a teacher, make a detector of faces."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recognition.detection.methods.config import DetectorMethod
from ui.settings import Settings

from .. import output
from ..options import GOES_ON, MAX_SEED, JsonLinesOption, JsonOption, command
from .training_options import SetOption, given, variables

if TYPE_CHECKING:
    from recognition.detection.training.trainer import DetectorReport


app = typer.Typer()


@command(
    app,
    "train-detector",
    example="likeness train-detector recipes/detector.toml",
    became=GOES_ON,
)
def train_detector(
    settings: Settings,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file, such as recipes/detector.toml.")
    ],
    method: Annotated[
        DetectorMethod | None,
        typer.Option(metavar="NAME", help="The family of detectors, instead of the recipe's."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run, instead of the recipe's.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=10_000_000, help="Length of the run, instead of the recipe's."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=MAX_SEED, help="Instead of the recipe's.")
    ] = None,
    setting: SetOption = None,
    as_json: JsonOption = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Train a detector on mosaics of photographs that a teacher has labelled.

    The families are one_stage, sliding_window, localise, yolo_v1 to yolo_v4, rcnn, fast_rcnn and
    faster_rcnn; recipes/detectors has a recipe for each. The mosaics are made first, which takes a
    while. An interrupted run goes on where its last checkpoint left it. Its folder gets
    metrics.jsonl, best.safetensors, last.safetensors and a model card.
    """
    from recognition.detection.training.config import PREFIX, configure
    from recognition.detection.training.trainer import train

    keys = setting or []
    config = configure(
        recipe,
        environment=os.environ,
        settings=keys,
        method=method,
        out=out,
        steps=steps,
        seed=seed,
        device=settings.device and str(settings.device),
    )
    words = [*variables(PREFIX), "likeness", "train-detector", str(recipe)]
    words += ["--method", method] if method is not None else []
    words += ["--steps", str(steps)] if steps is not None else []
    words += ["--seed", str(seed)] if seed is not None else []
    words += given(keys)
    line = shlex.join(words)
    with output.progress_bar("training", shown=not json_lines) as advance:

        def making(done: int, total: int) -> None:
            advance(done, total, "mosaics")
            if json_lines:
                now = {"kind": "progress", "stage": "mosaics", "done": done, "total": total}
                output.print_json(now, compact=True)

        def report(now: "DetectorReport") -> None:
            if json_lines:
                output.print_json({"kind": "checkpoint", **now.as_json()}, compact=True)
            elif not as_json:
                _print(now)

        result = train(config, report, making=making, progress=advance, command=line)
    found = {
        "run": str(result.out),
        "weights": str(result.weights),
        "best_step": result.best_step,
        "average_precision": result.average_precision,
    }
    if json_lines:
        output.print_json({"kind": "result", **found}, compact=True)
    elif as_json:
        output.print_json(found)
    else:
        output.print_line(f"{result.weights}: from step {result.best_step}")
    return 0


def _print(report: "DetectorReport") -> None:
    """One checkpoint in a line."""
    parts = [
        f"step {report.step} of {report.steps}: loss {report.losses['total']:.4f}",
        f"AP {report.average_precision:.3f}",
        f"recall {report.recall:.3f} at precision 0.82",
        f"{report.mosaics_per_second:.0f} mosaics/s",
        *(["the best so far"] if report.best else []),
    ]
    output.print_line(", ".join(parts))
