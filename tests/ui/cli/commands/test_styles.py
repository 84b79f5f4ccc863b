"""`styles`: the presets listed and drawn; what the command line refuses of them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from style.presets.registry import PRESETS
from ui.cli.main import main


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["styles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["style", "shows"]
    assert [line.split("\t")[0] for line in lines[1:]] == [f"preset:{p.name}" for p in PRESETS]
    assert main(["styles", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == [f"preset:{p.name}" for p in PRESETS]


def test_presets_are_drawn_into_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "pictures"
    command = ["styles", "--draw", str(folder), "--only", "woodcut", "--only", "preset:engraving"]
    assert main([*command, "--size", "80"]) == 0
    files = [folder / "woodcut.png", folder / "engraving.png"]
    assert capsys.readouterr().out.splitlines() == [str(file) for file in files]
    assert sorted(folder.iterdir()) == sorted(files)
    with Image.open(files[0]) as picture:
        assert picture.size == (80, 80)
        before = picture.tobytes()
    assert main([*command, "--size", "80", "--seed", "5", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in listed] == [str(file) for file in files]
    with Image.open(files[0]) as picture:
        assert picture.tobytes() != before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--draw", "DIR", "--size", "4"], "'--size'"),
        (["--draw", "DIR", "--size", "1000000"], "'--size'"),
        (["--draw", "DIR", "--seed", "-1"], "'--seed'"),
        (["--draw", "DIR", "--only", "moasic"], "expected one of mosaic, "),
        (["--size", "200"], "go with --draw"),
        (["--only", "mosaic"], "go with --draw"),
        (["--draw", "FILE"], "no folder"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    (tmp_path / "file").write_text("kept")
    places = {"DIR": str(tmp_path / "new"), "FILE": str(tmp_path / "file")}
    assert main(["styles", *(places.get(word, word) for word in options)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
