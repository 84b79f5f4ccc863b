"""The docstring of each package is a map of its modules: none is missing, none is gone."""

import ast
import re
from pathlib import Path

import pytest

import data

ROOT = Path(str(data.__file__)).parent.parent
PACKAGES = sorted(
    path.parent
    for name in ("backbones", "data", "recognition", "style", "ui")
    for path in (ROOT / name).rglob("__init__.py")
)
_ALIKE = {
    "backbones/networks",
    "backbones/shelf",
    "style/presets",
    "ui/cli/commands",
    "ui/page/pages",
}
"""Packages of modules of one kind, which the docstring describes as such."""


def _told(package: Path) -> set[str]:
    """What the map names: words that begin a line, before two blanks or a line's end."""
    words = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    heads = [re.split(r"  |$", line.strip(), maxsplit=1)[0] for line in words.splitlines()[1:]]
    return {name.rstrip("/") for head in heads for name in re.split(r", | ", head)}


def _there(package: Path) -> set[str]:
    """The modules of a package, and the packages in it."""
    return {
        path.stem
        for path in package.iterdir()
        if (path.suffix == ".py" and not path.name.startswith("_"))
        or (path / "__init__.py").is_file()
    }


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_is_on_its_package_s_map(package: Path) -> None:
    there = _there(package)
    if len(there) > 1 and package.relative_to(ROOT).as_posix() not in _ALIKE:
        assert there - _told(package) == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_on_a_map_is_gone(package: Path) -> None:
    words = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    named = re.findall(r"^ *([a-z_]+)/?  +\w", words, flags=re.MULTILINE)
    assert set(named) - _there(package) <= {"B", "N", "D", "C", "H", "W"}
