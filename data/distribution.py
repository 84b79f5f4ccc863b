"""This application as a package: its name, its version, and how to install what is missing of it.

The package index has a project called `likeness` that is somebody else's. So no message and no page
of the documentation tells anybody to install that name: whatever is missing, `install_command` has
the words for it.
"""

import os
import shlex
import sys
from importlib import metadata
from pathlib import Path

NAME = "likeness-faces"
"""What the package is called, unlike the command and the project."""

VERSION = "0.1.0"

_WHEEL = "FILE.whl"  # what somebody without a checkout has installed from

_ROOT = Path(__file__).resolve().parents[1]


def install_command(extra: str = "") -> str:
    """The command line that installs an extra into this very environment, from where the user is.

    In a checkout the checkout is installed with it. Elsewhere the packages of the extra are named
    one by one, so that no index is asked for this one.

    Args:
        extra: One of those in pyproject.toml; empty: the application itself, anew.
    """
    pip = [*_pip(), "install"]
    if (_ROOT / "pyproject.toml").is_file():
        place = "." if _here() == _ROOT else str(_ROOT)
        return shlex.join([*pip, "-e"]) + " " + _quoted(f"{place}[{extra}]" if extra else place)
    if not extra:
        return shlex.join([*pip, "--force-reinstall"]) + f" {_WHEEL}"
    packages = packages_of(extra) or [f"{_WHEEL}[{extra}]"]
    return " ".join([shlex.join(pip), *map(_quoted, packages)])


def package_command(requirement: str) -> str:
    """The command line that installs one package into this very environment, again if need be.

    Args:
        requirement: The package as pip takes it, with its version.
    """
    return " ".join([shlex.join([*_pip(), "install", "--force-reinstall"]), _quoted(requirement)])


def packages_of(extra: str) -> list[str]:
    """The packages that an extra asks for, with their versions, as pip takes them."""
    try:
        wanted = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        wanted = []
    marks = [f'extra == "{extra}"', f"extra == '{extra}'"]
    return [
        requirement.partition(";")[0].strip()
        for requirement in wanted
        if any(mark in requirement for mark in marks)
    ]


def _pip() -> list[str]:
    """This environment's own pip, by the shortest path that leads to it."""
    python = Path(sys.executable)
    if not python.with_name("pip").is_file():
        return [_short(python), "-m", "pip"]
    return [_short(python.with_name("pip"))]


def _short(path: Path) -> str:
    """A path as seen from the working folder, where it is below that."""
    with_links = Path(os.path.normpath(path))  # a virtual environment is told by its own links
    here = _here()
    if here is None or not with_links.is_relative_to(here):
        return str(with_links)
    short = str(with_links.relative_to(here))
    return short if os.sep in short else os.path.join(os.curdir, short)  # noqa: PTH118


def _here() -> Path | None:
    """The working folder; None where it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _quoted(word: str) -> str:
    """A word for any shell; zsh takes brackets for a pattern."""
    return f"'{word}'" if "'" not in word and set(word) & set("[]<>=~! ") else shlex.quote(word)
