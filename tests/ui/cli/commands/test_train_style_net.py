"""`train-style-net`: a recipe into weights, and refusals in one line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.tensors import write_tensors
from ui.cli.main import main

RECIPE = """
task = "network"
out = "run"
teacher = "vgg19_quarter"
teacher_weights = "teacher.safetensors"
steps = 2
every = 1
[data]
photographs = "photographs"
held_out = 1
crop = 64
batch = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe beside a folder of photographs and a teacher."""
    network = create("vgg19_quarter", seed=0)
    metadata = weights_metadata(network.spec)
    write_tensors(tmp_path / "teacher.safetensors", network.state_dict(), metadata)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for shade in (40, 120, 200):
        picture = Image.linear_gradient("L").resize((80, 80)).point(lambda x, s=shade: x * s // 255)
        picture.convert("RGB").save(folder / f"{shade}.png")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_becomes_weights(
    recipe: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train-style-net", str(recipe), "--json-lines"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["checkpoint", "checkpoint", "result"]
    assert lines[-1]["weights"] == str(recipe.parent / "run" / "best.safetensors")
    assert Path(lines[-1]["weights"]).is_file()
    assert main(["train-style-net", str(recipe)]) == 0  # it is done: nothing is left to do
    assert "best.safetensors: from step" in capsys.readouterr().out
    assert main(["train-style-net", str(recipe), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == lines[-1]["weights"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps = 2", "steps = 0"), "steps is 0"),
        (("steps = 2", "paces = 2"), "no key 'paces'"),
        (('task = "network"', 'task = "dance"'), "choose from network, draft"),
        (('task = "network"', "task = ["), "is not TOML"),
        (('"photographs"', '"nowhere"'), "no file or folder"),
        (("held_out = 1", "held_out = 3"), "3 usable photographs"),
        (('"teacher.safetensors"', '"nothing.safetensors"'), "no file"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    recipe: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    recipe.write_text(RECIPE.replace(*change))
    assert main(["train-style-net", str(recipe)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (recipe.parent / "run").exists()


def test_a_recipe_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train-style-net", str(tmp_path / "nothing.toml")]) == 2
    assert "no recipe at" in capsys.readouterr().err
