"""The command line: `likeness …`.

Nothing here or in `ui.cli.commands` imports torch before a command needs it, so that help comes at
once. Every command parses, makes one call to a service, and prints what came back.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import typer

from data.errors import AppError, ArgumentError
from data.files import printable
from data.threads import give_way
from ui.cli.start import INTERRUPTED

from . import arguments, output, streams
from .options import remember_settings

LONG_WORK = frozenset(
    {
        "align",
        "enroll",
        "evaluate",
        "stylize",
        "train",
        "train-detector",
        "train-matching",
        "train-style-net",
        "tune",
    }
)
"""Commands that may take minutes: they run at a low priority."""


_SERVES: Mapping[str, tuple[str, ...]] = {
    "enroll": ("enroll",),
    "recognise": ("identify", "verify", "detect"),
    "people": ("people",),
    "gallery": ("gallery",),
    "calibrate": ("calibrate",),
    "evaluate": ("evaluate",),
    "align": ("align",),
    "train": ("train",),
    "train_detector": ("train-detector",),
    "train_matching": ("train-matching",),
    "train_style_net": ("train-style-net",),
    "tune": ("tune",),
    "stylize": ("stylize",),
    "styles": ("styles",),
    "models": ("models",),
    "doctor": ("doctor",),
    "serve": ("app",),
}
"""Each module of `commands`, in the order of help, and the first words that need it."""

_WITH_VALUE = frozenset(
    {"--home", "--gallery", "--index", "--model", "--backbone", "--weights", "--device"}
)
"""Options that may stand before a command and take the next word."""


@cache
def commands(name: str | None = None) -> Any:
    """The commands as they are run; help is without boxes, which would cost a tenth of a second.

    To import every module of commands takes longer than many a command.

    Args:
        name: Of the command that is meant: then the modules that serve it are all that there is.
            None, or the name of no command: all of them.
    """
    application = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 100},
    )
    application.callback()(remember_settings)
    needed = [module for module, served in _SERVES.items() if name in served]
    for module in needed or _SERVES:
        application.add_typer(import_module(f".commands.{module}", __package__).app)
    return typer.main.get_command(application)


def _first_word(words: Sequence[str]) -> str | None:
    """The command's name, behind the shared options; None where nothing stands there."""
    left = iter(words)
    for word in left:
        if word in _WITH_VALUE:
            next(left, None)
        elif word != "--debug" and word.partition("=")[0] not in _WITH_VALUE:
            return word
    return None


def main(argv: Sequence[str]) -> int:
    """Run one command line.

    Args:
        argv: The words after `likeness`.

    Returns:
        0 done; 1 something failed, or one item of a batch; 2 bad arguments, a missing path or an
        unusable data set; 3 `verify` found other people; 130 interrupted.
    """
    words = list(argv) or ["--help"]
    try:
        command = commands(_first_word(words))
        arguments.check_environment(os.environ)
        arguments.refuse_empty(command, words)
        code = _invoke(command, words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except (KeyboardInterrupt, typer.Abort):
        output.print_error("interrupted")
        return INTERRUPTED
    except Exception as error:
        if streams.INTERRUPTION.happened:
            output.print_error("interrupted")
            return INTERRUPTED
        if "--debug" in words:
            traceback.print_exception(error)
        return _report(error)


def _invoke(command: Any, words: Sequence[str]) -> int:
    """Run what a command line asks for."""
    try:
        with command.make_context("likeness", list(words)) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as ended:  # help, and the version
        return ended.exit_code


def _report(error: Exception) -> int:
    """Say in one line what went wrong; the exit code for it."""
    if isinstance(error, AppError):
        output.print_error(str(error))
        return error.exit_code
    if isinstance(error, streams.PrintingError):  # help, or what only tells
        output.print_error(output.unprinted(error, "nothing was changed"))
        return AppError.exit_code
    if isinstance(error, typer.TyperException):
        output.print_error(_sentence(error))
        return ArgumentError.exit_code
    # No bad input should come this far: a bug, a full disk or a lack of memory.
    output.print_error(f"{type(error).__name__}: {error} (--debug shows where)")
    return AppError.exit_code


def _sentence(error: typer.TyperException) -> str:
    """A usage error in this application's form: one line, no capital, no full stop, a way on."""
    words = map(printable, error.format_message().split())  # a word may be of any length
    text = " ".join(words).removesuffix(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    place = context.command_path if context else "likeness"
    return f"{text[:1].lower()}{text[1:]}; see {place} --help"


def _silence_stdout() -> None:
    """Send what is still buffered for a closed pipe nowhere, so that exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def run() -> None:
    """The console script."""
    streams.prepare()
    streams.INTERRUPTION.watch()
    # Python would put the working folder first where the processes started here look for modules.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # those of libraries are for us, not for the user
    if LONG_WORK.intersection(sys.argv[1:]):
        give_way()
    code = main(sys.argv[1:])
    streams.INTERRUPTION.ignore()
    sys.exit(code)


if __name__ == "__main__":  # `torchrun -m ui.cli.main train …`
    run()
