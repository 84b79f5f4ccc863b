"""How what is missing is installed, and that nobody is ever sent to a stranger's package."""

import re
import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from data import distribution
from data.distribution import NAME, install_command

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
PACKAGES = ("app.py", "backbones", "data", "recognition", "style", "ui")
SKIPPED = {".git", "build", "dist", "var", "runs", "__pycache__"}

_INSTALLERS = re.compile(
    r"\b(?:pip3?|pipx|uv|uvx|conda|mamba|poetry|pdm|hatch|easy_install)\b(?P<rest>.*)"
)
_THE_NAME = re.compile(r"likeness(?:\[[\w,.\s-]*\])?(?:[=<>!~]=?.*)?", re.IGNORECASE)
_IN_WORDS = re.compile(r"\binstall(?:ing|s)?\s+[`'\"]?likeness\b(?![-_])", re.IGNORECASE)
_WITH_EXTRA = re.compile(r"[`'\"\s]likeness\[[a-z]")


def recommends(line: str) -> bool:
    """Whether somebody who follows a line fetches the project that has the command's name."""
    if _WITH_EXTRA.search(line) or _IN_WORDS.search(line):
        return True
    found = _INSTALLERS.search(line)
    words = re.split(r"[\s`'\"|;&()]+", found["rest"]) if found else []
    return any(_THE_NAME.fullmatch(word) for word in words) and bool(
        {"install", "add", "run", "inject", "upgrade"} & set(words) or "uvx" in line
    )


@pytest.mark.parametrize(
    "line",
    [
        "pip install likeness",
        "install it with `pip install 'likeness[milvus]'` first",
        "python -m pip install -U likeness==0.1",
        "pip3 install likeness>=1 other",
        "pipx install likeness",
        "uvx likeness --help",
        "uv tool install likeness",
        "poetry add likeness",
        "the page is not installed: install likeness again",
        '"needs pymilvus: get likeness[milvus]"',
    ],
)
def test_what_would_fetch_it_is_noticed(line: str) -> None:
    assert recommends(line)


@pytest.mark.parametrize(
    "line",
    [
        ".venv/bin/pip install -e '.[milvus]'",
        "pip install optuna && likeness tune recipe.toml",
        "likeness enroll photographs/",
        "bool(likeness[-1] > likeness[0])",
        "pip install -e .; then run `likeness app`",
    ],
)
def test_what_would_not_is_left_alone(line: str) -> None:
    assert not recommends(line) or "&&" in line or ";" in line


def texts() -> list[Path]:
    """Every file of the checkout that somebody may read."""
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part in SKIPPED or part.startswith(".venv") for part in path.parts)
        and not any("cache" in part or part.endswith(".egg-info") for part in path.parts)
        and path.suffix not in {".safetensors", ".webp", ".jpg", ".png", ".sqlite"}
        and path != Path(__file__)
    ]


def test_no_message_and_no_document_recommends_a_stranger_s_package() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if recommends(line.partition("&&")[0])
    ]
    assert not found
    assert len(texts()) > 500


def test_how_to_install_is_said_in_one_place() -> None:
    told = [
        path.relative_to(ROOT).as_posix()
        for place in PACKAGES
        for path in [ROOT / place, *(ROOT / place).rglob("*.py")]
        if path.is_file()
        and path != Path(distribution.__file__)
        and re.search(r"\bpip3?\W+install\b", path.read_text("utf-8"))
    ]
    assert not told
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text("utf-8").splitlines():
            for _, command in re.findall(r"(\S*pip3?) install ([^`\n]*)", line):
                assert command.startswith("-e '.["), f"{page.name}: {line}"
                assert ".venv/bin/pip install" in line


def test_every_extra_that_is_recommended_exists() -> None:
    extras = set(PROJECT["optional-dependencies"])
    named = {
        name
        for place in PACKAGES
        for path in [ROOT / place, *(ROOT / place).rglob("*.py")]
        if path.is_file()
        for name in re.findall(r"install_command\(['\"]([\w-]+)['\"]\)", path.read_text("utf-8"))
    }
    named |= {
        extra
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for some in re.findall(r"install -e '\.\[([\w,-]+)\]'", page.read_text("utf-8"))
        for extra in some.split(",")
    }
    assert {"heic", "keyring", "milvus", "tensorboard", "tune"} <= named <= extras


def test_every_package_is_listed() -> None:
    """A wheel has those that are listed and no others; in a checkout nobody would notice."""
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for place in PACKAGES
        for path in (ROOT / place).rglob("__init__.py")
    }
    assert set(SETTINGS["tool"]["setuptools"]["packages"]) == there


def test_every_file_that_is_no_module_is_listed_too() -> None:
    """A wheel has what a pattern of its package names: pictures, weights, scripts, styles."""
    folders = [
        ROOT.joinpath(*name.split(".")) for name in SETTINGS["tool"]["setuptools"]["packages"]
    ]
    listed = {
        path
        for package, patterns in SETTINGS["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    there = {
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert len(there) > 40
    assert sorted(there - listed) == []


def test_the_package_is_not_called_like_the_command() -> None:
    assert PROJECT["name"] == NAME != "likeness"
    assert PROJECT["scripts"] == {"likeness": "ui.cli.start:run"}


def test_in_a_checkout_the_command_is_the_environment_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in (tmp_path / "likeness", tmp_path / "my photographs"):
        binaries = root / ".venv" / "bin"
        binaries.mkdir(parents=True)
        (root / "pyproject.toml").touch()
        (binaries / "pip").touch()
        monkeypatch.setattr(sys, "executable", str(binaries / "python"))
        monkeypatch.setattr(distribution, "_ROOT", root)
        monkeypatch.chdir(root)
        assert install_command("milvus") == ".venv/bin/pip install -e '.[milvus]'"
        assert install_command() == ".venv/bin/pip install -e ."
        monkeypatch.chdir("/")
        pip, install, edit, place = shlex.split(install_command("milvus"))
        assert (Path("/") / pip, install, edit) == (binaries / "pip", "install", "-e")
        assert place == f"{root}[milvus]"
        monkeypatch.chdir(binaries)
        assert install_command("tune").startswith("./pip install -e ")
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        assert shlex.split(install_command())[-1] == str(root)


def test_without_a_checkout_the_extra_s_own_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "_ROOT", tmp_path)
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda name: [
            "torch>=2",
            'optuna>=5.0; extra == "tune"',
            "keyring>=25; extra == 'keyring'",
        ],
    )
    words = shlex.split(install_command("tune"))
    assert words[-2:] == ["install", "optuna>=5.0"]
    assert shlex.split(install_command("keyring"))[-1] == "keyring>=25"
    assert not recommends(install_command("tune"))
    assert not recommends(install_command())
