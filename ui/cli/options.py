"""The options that every command takes, defined once."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from data.distribution import VERSION
from data.errors import ArgumentError
from recognition.matching import Matching
from ui.settings import Device, Settings

from . import arguments, output, streams

Command = TypeVar("Command", bound=Callable[..., int])

DONE = "what was asked for is done all the same"
UNCHANGED = "nothing was changed"
GOES_ON = "what was finished is kept, and the same command goes on"
"""What has become of a command's work where its result cannot be printed."""

MAX_ID = 2**63 - 1
"""The largest number that a person or a photograph may have: SQLite's."""

MAX_SEED = 2**31 - 1
MOST_EPOCHS = 100_000
MOST_FACES = 10_000
"""Bounds of options that have no closer one."""

OTHER_PEOPLE = 3
"""The exit code that says: not the same person."""


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder of the gallery and of downloaded weights, instead of LIKENESS_HOME.",
    ),
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        metavar="DIR|postgresql://HOST/DB",
        help="Where people are kept, instead of LIKENESS_GALLERY or the data folder.",
    ),
]
IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="milvus://HOST/NAME",
        help="Where vectors are searched, instead of LIKENESS_INDEX or this machine.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "--backbone",
        metavar="NAME",
        help="Network, one of `likeness models list`; two joined, as dlib_resnet+mobilefacenet; "
        "or both, which means these two.",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights file (safetensors); it says itself which network it is for.",
    ),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option("--device", help="Where networks run; auto takes CUDA if there is one."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json-lines", help="Report progress on stdout, a line of JSON each.")
]

MatchOption = Annotated[
    Matching,
    typer.Option(
        "--match",
        help="Compare a face with the closest photograph of a person, with the mean of all, with "
        "the mean without the fifth at either end, or with a mean that weighs each photograph by "
        "attention, as `train-matching` learns it.",
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the figures too, as .png, .svg or .pdf."),
]


def _tell_version(asked: bool) -> None:
    """Print which version this is, and end."""
    if asked:
        output.print_line(f"likeness {VERSION}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_tell_version, help="Say which version this is."
    ),
]


def remember_settings(
    context: typer.Context,
    home: HomeOption = None,
    gallery: GalleryOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    debug: DebugOption = False,
    version: VersionOption = False,
) -> None:
    """Recognise faces and paint pictures in another picture's style, on your own machine."""
    given = {
        "home": home, "gallery": gallery, "index": index, "model": model, "weights": weights,
        "device": device,
    }  # fmt: skip
    context.obj = Settings().overridden_by(given)


def options_of(defaults: object, helps: Mapping[str, str]) -> tuple[inspect.Parameter, ...]:
    """An option for each field of a config that `helps` names; its type and default are its own.

    Args:
        defaults: A config that holds the default values.
        helps: What the help says about each field that becomes an option.
    """
    parameters = []
    hints = get_type_hints(type(defaults))
    for name, text in helps.items():
        default = getattr(defaults, name)
        several = isinstance(default, tuple)  # the option may be given again and again
        each = get_args(hints[name])[0] if several else type(default)
        kind: Any = list[each] if several else each  # type: ignore[valid-type]
        option = typer.Option(metavar={int: "N", float: "X", str: "NAME"}.get(each), help=text)
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=list(default) if several else default,
                annotation=Annotated[kind, option],
            )
        )
    return tuple(parameters)


def options_by_name(options: Mapping[str, Any]) -> tuple[inspect.Parameter, ...]:
    """Options that are None where they are not given, of their names and annotations."""
    return tuple(
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    )


def _is_default(context: typer.Context, name: str) -> bool:
    """Whether an option has its value because the user gave none."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT"


def command(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    fields: Sequence[inspect.Parameter] = (),
    given_alone: bool = False,
    tells_given: bool = False,
    became: str = DONE,
) -> Callable[[Command], Command]:
    """Register a function as a command that also takes the shared options.

    The function gets them as its first argument, and returns the exit code. An option that stands
    after the command goes before the same one in front of it. A command's own option goes before a
    shared one of its name.

    Args:
        app: The group that the command joins.
        name: What the user types.
        example: A command line, shown at the end of the command's help.
        fields: More options, which the function takes as `**fields`; its keyword-only parameters
            stand behind them in the help.
        given_alone: Whether of those it gets none but the ones that the user gave.
        tells_given: Whether it gets as `given` the names of its options that the user gave.
        became: What has become of the work where its result cannot be printed.
    """

    def register(function: Command) -> Command:
        def wrapper(context: typer.Context, **values: Any) -> int:
            given = {name: values.pop(name) for name in names}
            del values["debug"]  # read by main(), which must know it even where parsing fails
            if given_alone:
                for field in fields:
                    if _is_default(context, field.name):
                        del values[field.name]
            arguments.check_numbers(values)
            if tells_given:
                values["given"] = {name for name in values if not _is_default(context, name)}
            if values.get("as_json") and values.get("json_lines"):
                raise ArgumentError("--json is one document, --json-lines are many: choose one")
            try:
                code = function(context.obj.overridden_by(given), **values)
                sys.stdout.flush()
            except streams.PrintingError as error:
                if became == UNCHANGED and isinstance(error, BrokenPipeError):
                    raise  # whoever read it has seen enough
                words = GOES_ON if error.midway else became
                raise output.UnprintedError(output.unprinted(error, words)) from error
            return code

        own = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.name not in {"settings", *(["given"] if tells_given else [])}
            and parameter.kind is not parameter.VAR_KEYWORD
        ]
        # A command's own option goes before a shared one of its name, which stands in front of it.
        taken = {parameter.name for parameter in own}
        shared = [
            parameter
            for parameter in inspect.signature(remember_settings).parameters.values()
            if parameter.name not in {*taken, "version"}
        ]
        names = [field.name for field in fields_of(Settings) if field.name not in taken]
        first = [one for one in own if one.kind is not one.KEYWORD_ONLY]
        last = [one for one in own if one.kind is one.KEYWORD_ONLY]
        ordered = (*first, *fields, *last, *shared)
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in ordered]
        wrapper.__doc__ = function.__doc__
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, epilog=f"Example: {example}")(wrapper)
        return function

    return register
