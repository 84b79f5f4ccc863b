"""Every command has help with an example, and docs/cli.md is what the help says."""

from pathlib import Path

import pytest

from ui.cli.reference import command_help, reference

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
COMMANDS = dict(command_help())


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "the help has changed: python -m ui.cli.reference > docs/cli.md"
    )


def test_all_commands_are_there() -> None:
    names = {path.removeprefix("likeness").strip() for path in COMMANDS}
    assert names == {
        "",
        "align",
        "app",
        "calibrate",
        "detect",
        "doctor",
        "enroll",
        "evaluate detect",
        "evaluate identify",
        "evaluate lfw",
        "evaluate style",
        "evaluate tails",
        "gallery audit",
        "gallery backup",
        "gallery check",
        "gallery copy",
        "gallery decrypt",
        "gallery encrypt",
        "gallery export",
        "gallery import",
        "gallery index",
        "gallery info",
        "gallery put-aside",
        "gallery re-embed",
        "gallery restore",
        "gallery rotate",
        "identify",
        "models compress",
        "models download",
        "models info",
        "models list",
        "models look",
        "people check",
        "people delete",
        "people erase",
        "people exclude",
        "people group",
        "people history",
        "people list",
        "people consent",
        "people expiring",
        "people merge",
        "people move",
        "people rename",
        "people restore",
        "people show",
        "people split",
        "people tell-apart",
        "people undo",
        "stylize",
        "styles",
        "train",
        "train-detector",
        "train-matching",
        "train-style-net",
        "tune",
        "verify",
    }


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "likeness"])
def test_a_command_explains_itself(path: str) -> None:
    text = " ".join(COMMANDS[path].split())
    assert f"Example: {path} " in f"{text} "
    summary = text.split("[OPTIONS]")[1]
    assert len(summary) > 40
    for option in ("--home", "--model", "--weights", "--device", "--debug"):
        assert option in text
    assert f"## {path}\n" in PAGE.read_text(encoding="utf-8")
