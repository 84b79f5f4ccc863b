"""`evaluate style`: how good painted pictures are, by a network that did not paint them."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError, WeightsError
from ui.settings import Settings

from ... import wording
from .. import output
from ..destinations import check_folder, check_picture, kept
from ..options import UNCHANGED, JsonOption, PlotOption, command
from ..paintings import Sources, find_paintings, read_manifest
from ..style_words import is_preset, shelf_folder, style_file

if TYPE_CHECKING:
    from PIL.Image import Image

    from recognition.portraits import PortraitFaces, PortraitRecogniser
    from style.evaluation.judge import Judge
    from style.evaluation.paintings import Judged, Painting
    from style.results import Resemblance


# Whether the people of a photograph are still themselves in a painting of it.


class FacesKept:
    """Looks what became of faces, for `judge_paintings`; loads its networks only then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recogniser: PortraitRecogniser | None = None
        self._photograph: Image | None = None
        self._faces: PortraitFaces | None = None

    def __call__(self, photograph: "Image", picture: "Image") -> "list[Resemblance]":
        """What became of each face of a photograph, of the picture's size; none where it has none.

        Raises:
            WeightsError: The recognisers' weights are not at hand, or carry no threshold.
        """
        from style.results import Resemblance

        if self._photograph != photograph:  # pictures of one photograph often come together
            self._photograph, self._faces = photograph, self._look_at(photograph)
        if (known := self._faces) is None:
            return []
        return [
            Resemblance(similarity=each, threshold=known.threshold)
            for each in known.similarities(picture)
        ]

    def _look_at(self, photograph: "Image") -> "PortraitFaces | None":
        """The faces of a photograph; None where there is none."""
        from recognition.portraits import PortraitRecogniser

        if self._recogniser is None:
            chosen = self._settings
            self._recogniser = PortraitRecogniser(home=chosen.home, device=chosen.chosen_device)
        try:
            return self._recogniser.look_at(photograph)
        except ArgumentError:  # it holds no face
            return None


# `evaluate style`: how good painted pictures are, by a network that did not paint them.

app = typer.Typer()

_COLUMNS = ("picture", "style distance", "content distance", "self-similarity", "faces kept")


@command(
    app,
    "style",
    example="likeness evaluate style painted/ --content harbour.jpg --style starry_night.jpg",
    became=UNCHANGED,
)
def style(
    settings: Settings,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PICTURE]...", help="Painted pictures, or folders of them."),
    ] = None,
    content: Annotated[
        Path | None,
        typer.Option(
            "--content",
            metavar="FILE",
            help="The photograph of them all; else each picture names its own.",
        ),
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="STYLE",
            help="A style of them all, a picture or a preset (preset:mosaic), may be repeated; "
            "else each picture names its own.",
        ),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--sources",
            metavar="DIR",
            help="Where to look for what pictures name, may be repeated; beside them in any case.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="A list in JSON instead: objects with `picture`, `content` and `styles`, which "
            "may be presets.",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="NAME|FILE",
            help="The network that judges, with --weights or those at hand, or a file of weights; "
            "else one at hand that did not paint, squeezenet1_0 before others.",
        ),
    ] = None,
    faces: Annotated[
        bool,
        typer.Option("--faces/--no-faces", help="Whether to look what became of faces."),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write verdicts.json and verdicts.png here too."
        ),
    ] = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> int:
    """Judge painted pictures by a network that was not optimised.

    Style distance: 0 is the style, 1 the untouched photograph. Content distance: 0 is the
    photograph, 1 as far from it as it varies within itself. Self-similarity: 1 is the
    photograph's structure, 0 none of it. Faces kept: those of the photograph that a recogniser
    finds again and takes for the same person.
    """
    inputs = [path for path in (content, manifest) if path is not None]
    inputs += [Path(style) for style in styles or () if not is_preset(style)]
    _check(inputs, sources or (), out, plot)
    if (manifest is None) == (not pictures):
        raise ArgumentError("give either pictures to judge, or --manifest")
    failed: list[Judged] = []
    if manifest is not None:
        if content is not None or styles or sources:
            raise ArgumentError("--manifest names photographs and styles itself: give it alone")
        paintings, painters = read_manifest(manifest, settings.home)
    else:
        named = Sources(
            content=content,
            styles=tuple(style_file(style, settings.home) for style in styles or ()),
            folders=(*(sources or ()), shelf_folder(settings.home)),
        )
        paintings, failed, painters = find_paintings(pictures or (), named, apart=out)
    judged, name = _judged(settings, judge, paintings, painters, faces=faces)
    judged += failed
    misplaced = _write(judged, name, out, plot, settings.home)
    if as_json:
        output.print_json(_json(judged, name))
    else:
        _print(judged)
    for each in judged:
        if each.error is not None:
            output.print_failure(str(each.painting.picture), each.error)
    for line in misplaced:
        output.print_error(line)
    return 1 if misplaced or any(each.error is not None for each in judged) else 0


def _check(
    inputs: Sequence[Path], sources: Sequence[Path], out: Path | None, plot: Path | None
) -> None:
    """Refuse inputs that are not there, and places that cannot be written, before any work."""
    from data.plotting import PLOT_SUFFIXES

    for path in inputs:
        if not path.is_file():
            raise ArgumentError(f"there is no file {path}; check the path")
    for path in sources:
        if not path.is_dir():
            raise ArgumentError(f"{path} is no folder: name one that holds photographs and styles")
    if out is not None:
        check_folder(out)
    if plot is not None:
        check_picture(plot, inputs=inputs, suffixes=PLOT_SUFFIXES)


def _judged(
    settings: Settings,
    judge: str | None,
    paintings: "Sequence[Painting]",
    painters: set[str],
    *,
    faces: bool,
) -> "tuple[list[Judged], str]":
    """All the verdicts, and the judge's name."""
    from backbones.weights import resolve_device
    from style.evaluation.paintings import judge_paintings

    name, network = _judge(settings, judge, painters)
    look = FacesKept(settings) if faces else None
    device = resolve_device(settings.chosen_device)
    judged = []
    with output.progress_bar("judging") as progress:
        for each in judge_paintings(paintings, network, faces=look, device=device):
            judged.append(each)
            progress(len(judged), len(paintings))
    return judged, name


def _judge(settings: Settings, judge: str | None, painters: set[str]) -> "tuple[str, Judge]":
    """The judging network and its name."""
    from backbones.registry import available
    from backbones.weights import load_backbone
    from style.evaluation.judge import Judge, choose_judge

    if judge is None and settings.weights is None:
        judge = choose_judge(painters, settings.home)
    file = None if judge is None or judge in available() else Path(judge)
    loaded = load_backbone(
        judge if file is None else None,
        weights=file or settings.weights,
        home=settings.home,
        device=settings.chosen_device,
    )
    name = loaded.backbone.spec.name
    if not loaded.backbone.spec.style_taps:
        raise WeightsError(f"{name} has no taps for style: choose another judge")
    if name in painters:
        output.print_warning(
            f"{name} painted some of these pictures, and judges its own work: take another --judge"
        )
    return name, Judge.of(loaded.backbone)


def _write(
    judged: "Sequence[Judged]", name: str, out: Path | None, plot: Path | None, home: Path | None
) -> list[str]:
    """Write what is to be written; a line for each that is elsewhere."""
    from data.files import write_atomic
    from data.plotting import save_figure
    from style.evaluation.paintings import verdicts_figure

    results: list[tuple[Path, Callable[[Path], None]]] = []
    names = [output.one_line(each.painting.picture.stem) for each in judged]

    def draw(path: Path) -> None:
        save_figure(verdicts_figure(judged, names), path)

    if plot is not None:
        results.append((plot, draw))
    if out is not None:
        with suppress(OSError):  # writing says what is wrong with it
            out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_json(judged, name), indent=2).encode()
        results.append((out / "verdicts.json", lambda path: write_atomic(path, text, mode=0o666)))
        results.append((out / "verdicts.png", draw))
    lines = [kept(path, home, write)[1] for path, write in results]
    return [line for line in lines if line is not None]


def _json(judged: "Sequence[Judged]", name: str) -> dict[str, object]:
    """Everything for a program."""
    from style.evaluation.paintings import summary

    return {
        "judge": name,
        "pictures": [each.to_json() for each in judged],
        "mean": dict(summary(judged)),
    }


def _print(judged: "Sequence[Judged]") -> None:
    """The table for people, and the means where there are several."""
    from style.evaluation.paintings import summary

    rows = []
    for each in judged:
        if (verdict := each.verdict) is not None:
            numbers = (verdict.style_distance, verdict.content_distance, verdict.self_similarity)
            kept = f"{each.faces_kept} of {len(each.faces)}" if each.faces else "–"
            rows.append([str(each.painting.picture), *map(_number, numbers), kept])
    if len(rows) > 1:
        means = summary(judged)
        names = ("style_distance", "content_distance", "self_similarity")
        kept = wording.percent(means["faces_kept"], 0)
        rows.append(["mean", *(_number(means[name]) for name in names), kept])
    output.print_table(_COLUMNS, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
