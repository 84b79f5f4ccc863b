"""`calibrate`: the gallery's own threshold, for a wanted rate of strangers who get a name."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recognition.results import Calibration, Use
from ui.settings import Settings

from ... import wording
from ...wording import count
from .. import output
from ..destinations import check_picture, kept
from ..options import JsonOption, command

if TYPE_CHECKING:
    from recognition.calibration import Calibrated


app = typer.Typer()

_DEFAULT_FPIR = 0.01


@command(app, "calibrate", example="likeness calibrate --fpir 0.01 --data others")
def calibrate(
    settings: Settings,
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            metavar="RATE",
            min=0,
            max=1,
            help="The part of strangers whom `identify` may give a name; 0.01 where neither rate "
            "is given.",
        ),
    ] = None,
    far: Annotated[
        float | None,
        typer.Option(
            "--far",
            metavar="RATE",
            min=0,
            max=1,
            help="The part of pairs of two people whom `verify` may take for one.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="People whom the network was not trained on, a folder each; else those enrolled.",
        ),
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option("--identities", metavar="FILE", help="Whom of --data to use, one a line."),
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned", help="The photographs of --data are faces aligned at five points, 112×112."
        ),
    ] = False,
    prior: Annotated[
        float,
        typer.Option(
            "--prior",
            metavar="P",
            min=0,
            max=1,
            help="How likely it is before looking that a face is of somebody enrolled, or that two "
            "photographs show one person.",
        ),
    ] = 0.5,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw how the probabilities hold: .png, .svg or .pdf."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Give the gallery its own thresholds, and a probability beside each similarity.

    The threshold holds for as many people and photographs as are enrolled now; `identify` says
    when the gallery has outgrown it. In brackets are 95 % intervals, for other people than those
    it was measured on. What these cannot support is refused.
    """
    if plot is not None:
        from data.plotting import PLOT_SUFFIXES

        inputs = [identities] if identities else []
        check_picture(plot, inputs=inputs, suffixes=PLOT_SUFFIXES)
    if fpir is None and far is None:
        fpir = _DEFAULT_FPIR
    with settings.recognition_service() as service, output.progress_bar("embedding") as progress:
        found = service.thresholds.calibrate(
            fpir=fpir,
            far=far,
            data=data,
            identities=identities,
            aligned=aligned,
            prior=prior,
            progress=progress,
        )
    misplaced = None if plot is None else _draw(found, plot, settings.home)
    if as_json:
        output.print_json(_json(found))
    else:
        _print(found)
    for image in found.unreadable:
        output.print_failure(image.image, image.error)
    if misplaced is not None:
        output.print_error(misplaced)
    return 1 if found.unreadable or misplaced else 0


def _draw(found: "Calibrated", path: Path, home: Path | None) -> str | None:
    """The reliability diagram into a picture; in a line, why it is elsewhere."""
    from data.plotting import save_figure
    from recognition.evaluation.plots import reliability_figure

    if found.reliability is None:
        output.print_warning("there are no probabilities to draw: nothing is drawn")
        return None
    figure = reliability_figure(found.reliability)
    _, misplaced = kept(path, home, lambda place: save_figure(figure, place))
    return misplaced


def _json(found: "Calibrated") -> dict[str, object]:
    """Everything as JSON's own types."""
    calibrations = [asdict(one) for one in found.calibrations]
    for one in calibrations:
        del one["doubt"]  # a new one has none
    held = found.reliability
    return {
        "calibrations": calibrations,
        "reliability": None if held is None else asdict(held),
        "left_out": list(found.left_out),
        "unreadable": [asdict(image) for image in found.unreadable],
    }


def _print(found: "Calibrated") -> None:
    """The figures for people, one a line."""
    for one in found.calibrations:
        output.print_line(_line(one))
    first = found.calibrations[0]
    output.print_line(f"measured on: {first.data}")
    if found.reliability is None:
        output.print_line("no probabilities: too few people have two photographs")
    else:
        error = wording.percent(found.reliability.error)
        output.print_line(f"probabilities, prior {first.prior:g}: calibration error {error}")
    if found.left_out:
        people = count(len(found.left_out), "person is", "people are")
        output.print_warning(f"{people} enrolled and were not used: {', '.join(found.left_out)}")


def _line(one: Calibration) -> str:
    """One threshold, its interval, and what it is for."""
    low, high = map(wording.similarity, (one.threshold_low, one.threshold_high))
    rates = " … ".join(f"{100 * end:.2g} %" for end in (one.rate_low, one.rate_high))
    what = "FPIR" if one.use is Use.IDENTIFY else "FAR"
    size = (
        f", {count(one.people, 'person', 'people')} enrolled by "
        f"{count(one.templates, 'photograph')}"
        if one.use is Use.IDENTIFY
        else ""
    )
    return (
        f"{one.use}: threshold {one.threshold:.3f} [{low}, {high}] for {what} "
        f"{100 * one.rate:.3g} % [{rates}]{size}"
    )
