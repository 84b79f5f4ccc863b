"""`train`: photographs of people make a better embedding."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.settings import Settings

from ... import wording
from .. import output
from ..options import GOES_ON, JsonLinesOption, JsonOption, command, options_by_name
from .batches import batch_code, print_accounts
from .training_options import (
    TRAINING,
    CorruptOption,
    RecipeArgument,
    SetOption,
    command_line,
    configured,
    note,
)

if TYPE_CHECKING:
    from recognition.learning.config import TrainingConfig
    from recognition.learning.reports import EpochReport, TrainingProgress, TrainingResult


app = typer.Typer()

SECONDS_BETWEEN_LINES = 0.5
"""Progress as JSON comes no faster."""


@command(
    app,
    "train",
    example="likeness train --data photographs --loss triplet --out runs/first",
    fields=options_by_name(TRAINING),
    became=GOES_ON,
)
def train(
    settings: Settings,
    recipe: RecipeArgument = None,
    *,
    set_: SetOption = None,
    allow_corrupt: CorruptOption = False,
    check_gradient: Annotated[
        bool,
        typer.Option(
            "--check-gradient",
            help="Compare the gradient of one batch with two-sided differences, and train nothing.",
        ),
    ] = False,
    as_json: JsonOption = False,
    json_lines: JsonLinesOption = False,
    **flags: Any,
) -> int:
    """Train an embedding on photographs of people.

    An interrupted run goes on where it was. Its folder gets metrics.jsonl, plots,
    best.safetensors and last.safetensors; either file serves as --weights. Some of the people are
    kept out, to choose the best and to set its threshold. A recipe gives way to the environment
    (LIKENESS_TRAIN_EPOCHS=3, LIKENESS_TRAIN_OPTIMIZER__RATE=0.01), and that to the options.
    """
    from backbones.training.distributed import leads

    flags = {name: flags[name] for name in TRAINING}  # in one order, however they were given
    config = configured(settings, recipe, flags, set_ or (), allow_corrupt=allow_corrupt)
    if check_gradient:
        return _check_gradient(config, as_json=as_json or json_lines)
    words = command_line("train", settings, recipe, flags, set_ or ())
    result = _run(config, words, lines=not as_json and not json_lines, json_lines=json_lines)
    if not leads():
        return 0
    for doubt in result.doubts:
        output.print_warning(doubt)
    for missed in result.missed:
        output.print_warning(f"not used: {missed.path}: {missed.reason}")
    print_accounts(result.accounts)
    if json_lines:
        output.print_json({"kind": "result", **_result_as_json(result)}, compact=True)
    elif as_json:
        output.print_json(_result_as_json(result))
    else:
        output.print_line(result.verdict)
        output.print_line(f"{result.weights}: from epoch {result.best_epoch}")
    return batch_code((), result.accounts)


def _check_gradient(config: "TrainingConfig", *, as_json: bool) -> int:
    """Compare and say the worst; 1 where it is not right."""
    from recognition.learning.gradient_check import TOLERANCE, check_gradient

    with output.progress_bar("checking") as advance:
        found = check_gradient(config, lambda now: advance(now.done, now.total, now.stage, ""))
    worst = found.worst
    if as_json:
        tensors = [asdict(each) for each in found.tensors]
        summary = {"right": found.right, "loss": found.loss, "photographs": found.photographs}
        output.print_json(
            {"kind": "gradient", **summary, "worst": asdict(worst), "tensors": tensors},
            compact=True,
        )
        return 0 if found.right else 1
    idle = sum(not each.reached for each in found.tensors)
    output.print_line(
        f"{len(found.tensors)} parameter tensors on {found.photographs} photographs, loss "
        f"{found.loss:.4f}: the worst is {worst.name}, relative error {worst.error:.1e}"
        + (f"; {idle} do not move the loss" if idle else "")
    )
    if not found.right:
        output.print_line(f"The gradient is wrong: up to {TOLERANCE:.0e} would be rounding.")
    return 0 if found.right else 1


def _run(
    config: "TrainingConfig", command_line: str, *, lines: bool, json_lines: bool
) -> "TrainingResult":
    """Train with a progress bar for each stage.

    Args:
        config: The run.
        command_line: What the weights say of their making.
        lines: Whether each epoch has a line for people on stdout.
        json_lines: Whether progress and epochs have lines of JSON there.
    """
    from backbones.training.distributed import leads
    from recognition.learning.trainer import train as run

    if not leads():
        return run(config, command=command_line)
    print_progress = _ProgressLines()
    with output.progress_bar("training") as advance:

        def tell(now: "TrainingProgress") -> None:
            advance(now.done, now.total, now.stage, note(now))
            if json_lines:
                print_progress(now)

        def report(epoch: "EpochReport") -> None:
            if json_lines:
                _print_epoch_as_json(epoch)
            elif lines:
                _print_epoch(epoch)

        return run(config, report, progress=tell, command=command_line)


class _ProgressLines:
    """Prints progress as JSON, not too often; the last step of a stage always."""

    def __init__(self) -> None:
        self._printed = 0.0

    def __call__(self, now: "TrainingProgress") -> None:
        moment = time.monotonic()
        if now.done >= now.total or moment - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = moment
            output.print_json({"kind": "progress", **asdict(now)}, compact=True)


def _print_epoch_as_json(epoch: "EpochReport") -> None:
    output.print_json({"kind": "epoch", **epoch.as_json()}, compact=True)


def _result_as_json(result: "TrainingResult") -> dict[str, object]:
    return {
        "run": str(result.out),
        "weights": str(result.weights),
        "best_epoch": result.best_epoch,
        "epochs": len(result.epochs),
        "measured": {name: asdict(figures) for name, figures in result.measured.items()},
        "verdict": result.verdict,
        "not_used": [
            {"image": str(missed.path), "error": missed.reason} for missed in result.missed
        ],
        "doubts": list(result.doubts),
        "folders": [account.as_json() for account in result.accounts],
    }


def _print_epoch(epoch: "EpochReport") -> None:
    """One epoch in a line."""
    parts = [
        f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}",
        f"held-out AUC {wording.percent(epoch.val_auc)}",
        f"TAR at FAR 1 % {wording.percent(epoch.val_tar)}",
        f"{epoch.images_per_second:.0f} photographs/s",
        *(["the best so far"] if epoch.best else []),
    ]
    output.print_line(", ".join(parts))
