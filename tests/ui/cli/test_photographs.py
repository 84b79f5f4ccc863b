"""The whole way on real photographs, with trained weights: each command once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.images import load_image, read_settings
from ui.cli.main import main

pytestmark = pytest.mark.shared


@pytest.fixture
def likeness(
    capsys: pytest.CaptureFixture[str], home: Path, teacher_weights: Path
) -> Callable[..., Any]:
    """Runs a command with `--json` and gives what it printed, after checking its exit code."""

    def run(*arguments: str | Path, code: int = 0) -> Any:
        options = ["--json", "--device", "cpu", "--weights", str(teacher_weights)]
        assert main([*map(str, arguments), *options]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_people_are_enrolled_identified_and_verified(
    likeness: Callable[..., Any],
    lfw_photos: Path,
    teacher_weights: Path,
    shared: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gul, agassi = lfw_photos / "Abdullah_Gul", lfw_photos / "Andre_Agassi"
    first, *others = sorted(gul.iterdir())
    enrol = ["enroll", str(first), "--weights", str(teacher_weights), "--name", "Abdullah Gul"]
    assert main([*enrol, "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "enrolled Abdullah Gul: 1 photograph\n"

    landscape = shared / "images" / "content" / "golden_gate.jpg"
    stranger = sorted(agassi.iterdir())[0]
    known, unknown, nobody = likeness("identify", others[0], stranger, landscape)
    assert known["faces"][0]["person"] == "Abdullah Gul"
    assert known["faces"][0]["matches"][0]["cosine_similarity"] > 0.4
    assert all(face["person"] is None for face in unknown["faces"])
    assert nobody["faces"] == []

    assert likeness("verify", first, others[0])["same_person"] is True
    other = likeness("verify", first, stranger, code=3)
    assert other["same_person"] is False
    # By the impostor tail that was measured for these weights, no longer by their header.
    assert other["cosine_similarity"] < other["threshold"] == pytest.approx(0.40, abs=0.02)


def test_every_face_of_a_group_is_found(likeness: Callable[..., Any], shared: Path) -> None:
    path = shared / "images" / "portraits" / "multiface.jpg"
    [result] = likeness("detect", path)
    width, height = load_image(path).size
    assert len(result["faces"]) >= 5
    for face in result["faces"]:
        x1, y1, x2, y2 = face["box"]
        assert 0.5 < face["detection_score"] <= 1
        for x, y in face["landmarks"]:
            assert x1 < x < x2
            assert y1 < y < y2
            assert 0 < x < width
            assert 0 < y < height


def test_a_small_protocol_is_verified(
    likeness: Callable[..., Any], lfw_photos: Path, tmp_path: Path
) -> None:
    several = [person for person in sorted(lfw_photos.iterdir()) if len(list(person.iterdir())) > 1]
    numbers = {p.name: [int(f.stem[-4:]) for f in sorted(p.iterdir())] for p in several[:8]}
    names = list(numbers)
    lines = ["2\t4"]
    for fold in (names[:4], names[4:]):
        lines += [f"{name}\t{numbers[name][0]}\t{numbers[name][1]}" for name in fold]
        pairs = zip(fold, [*fold[1:], fold[0]], strict=True)
        lines += [f"{a}\t{numbers[a][0]}\t{b}\t{numbers[b][1]}" for a, b in pairs]
    protocol = tmp_path / "pairs.txt"
    protocol.write_text("\n".join(lines) + "\n")
    result = likeness("evaluate", "lfw", "--images", lfw_photos, "--pairs", protocol)
    assert len(result["folds"]) == 2
    assert result["mean"] >= 0.9
    assert result["missed"] == 0


def test_a_photograph_is_painted(
    shared: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = shared / "images" / "content" / "lion.jpg"
    manner = shared / "images" / "style" / "starry_night.jpg"
    weights = shared / "weights" / "squeezenet1_0-imagenet.safetensors"
    out = tmp_path / "painted.png"
    options = ["--backbone", "squeezenet1_0", "--weights", str(weights), "--device", "cpu"]
    options += ["--size", "64", "--steps", "12", "--json-lines"]
    assert main(["stylize", str(content), str(manner), "-o", str(out), *options]) == 0
    _plan, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[-1]["losses"]["style"] < lines[0]["losses"]["style"]
    with Image.open(out) as painted:
        assert max(painted.size) == 64
    settings = read_settings(out)
    assert settings is not None
    assert (settings["backbone"], settings["steps"]) == ("squeezenet1_0", 12)
