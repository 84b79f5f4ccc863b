"""The reference of the command line, from its help: `python -m ui.cli.reference > docs/cli.md`."""

from collections.abc import Iterator

import typer

from . import main

_INTRODUCTION = """\
# The command line

Results go to stdout, errors and progress to stderr; an error is one line. Every command that reads
takes `--json`. A name or a path that begins with `-` goes behind `--`.

| exit code | what it says |
|---|---|
| 0 | done |
| 1 | something failed, be it one item of a batch |
| 2 | bad arguments, a missing path, a data set that cannot be used; nothing was done |
| 3 | `verify`: two people; `stylize --keep-identity`: not the person any more, although painted |
| 130 | interrupted |

In JSON a list is an array of objects with `name`; an image that failed is `{"image", "error"}`;
rates are fractions; a figure that the data cannot support is null.

This page is what `likeness COMMAND --help` prints.
It is written by `python -m ui.cli.reference > docs/cli.md`.
"""


def command_help() -> Iterator[tuple[str, str]]:
    """Every command with its help.

    Yields:
        The words that call the command, such as `likeness people list`, and its help in lines of
        at most 100 characters, groups of commands left out.
    """
    root = main.commands()
    context = typer.Context(root, info_name="likeness", terminal_width=100)
    yield "likeness", root.get_help(context)
    yield from _below(context)


def _below(context: typer.Context) -> Iterator[tuple[str, str]]:
    """The commands of a group, and those of the groups in it."""
    for name, command in context.command.commands.items():  # type: ignore[attr-defined]
        inner = typer.Context(command, info_name=name, parent=context, terminal_width=100)
        if hasattr(command, "commands"):
            yield from _below(inner)
        else:
            yield inner.command_path, command.get_help(inner)


def reference() -> str:
    """The whole page, in Markdown."""
    sections = [f"## {path}\n\n```\n{text.strip()}\n```\n" for path, text in command_help()]
    return "\n".join([_INTRODUCTION, *sections])


if __name__ == "__main__":
    print(reference(), end="")
