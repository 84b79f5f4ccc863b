"""`detect`, `evaluate detect` and `train-detector`: options that reach a detector, and refusals."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

import data.assets
from recognition.detection import detector as module
from recognition.detection.detector import DetectorOptions, DetectorSpec, register_detector
from recognition.results import Face
from ui.cli.main import main

POINTS = ((12.0, 14.0), (18.0, 14.0), (15.0, 17.0), (12.0, 20.0), (18.0, 20.0))


class InTheCorner:
    """Finds one face in every picture, and remembers what it was asked for."""

    identity = "corner/1"

    def __init__(self, options: DetectorOptions) -> None:
        self.options = options

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        return [[Face((10.0, 10.0, 20.0, 22.0), 0.7, POINTS)] for _ in images]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[DetectorOptions]:
    """What the detector called `corner` was asked for."""
    monkeypatch.setattr(module, "_registered", dict(module._registered))
    seen: list[DetectorOptions] = []

    def make(device: torch.device | str, options: DetectorOptions) -> InTheCorner:
        seen.append(options)
        return InTheCorner(options)

    register_detector(
        DetectorSpec(name="corner", version=1, licence="", source="", minimum_score=0.5, make=make)
    )
    return seen


@pytest.fixture
def boxed(tmp_path: Path) -> list[str]:
    """Two photographs with their boxes, as options."""
    for folder in ("images", "boxes"):
        (tmp_path / folder).mkdir()
    for name, box in (("a", (10, 10, 20, 22)), ("b", (40, 40, 60, 60))):
        Image.new("RGB", (80, 80)).save(tmp_path / f"images/{name}.png")
        edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inner = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
        (tmp_path / f"boxes/{name}.xml").write_text(
            f"<annotation><object><bndbox>{inner}</bndbox></object></annotation>"
        )
    return [
        *("evaluate", "detect", "--images", str(tmp_path / "images")),
        *("--annotations", str(tmp_path / "boxes")),
    ]


def test_detect_asks_the_detector_named(
    asked: list[DetectorOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (80, 80)).save(tmp_path / "a.png")
    words = ["detect", str(tmp_path / "a.png"), "--detector", "corner", "--json"]
    assert main([*words, "--min-face", "30", "--min-score", "0.25"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["faces"][0]["box"] == [10, 10, 20, 22]
    assert (asked[0].minimum_face, asked[0].minimum_score) == (30, 0.25)
    assert main(words) == 0
    assert (asked[1].minimum_face, asked[1].minimum_score) == (None, None)


def test_a_gallery_goes_on_with_the_detector_that_it_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backbones.places._ASSETS", Path(str(data.assets.__file__)).parent)
    photograph = tmp_path / "a.png"
    Image.radial_gradient("L").convert("RGB").resize((80, 80)).save(photograph)
    words = ["enroll", str(photograph), "--name", "Ann", "--any-quality"]
    assert main([*words, "--model", "mobilefacenet", "--detector", "corner"]) == 0
    capsys.readouterr()
    # What the weights say of strangers was measured on the faces of another detector.
    assert main(["identify", str(photograph), "--json"]) == 2
    assert "give --threshold" in capsys.readouterr().err
    assert main(["identify", str(photograph), "--json", "--threshold", "0.9"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert [face["person"] for face in found["faces"]] == ["Ann"]
    assert main(["detect", str(photograph), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["faces"][0]["box"] == [10, 10, 20, 22]
    assert main(["identify", str(photograph), "--detector", "mtcnn"]) == 1
    assert "corner/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words", "why"),
    [
        ("detect", ["--detector", "yolo"], "no detector is called"),
        ("detect", ["--min-face", "0"], "min-face"),
        ("identify", ["--min-face", "nan"], "min-face"),
        ("detect", ["--min-face", "4"], "12"),
        ("identify", ["--min-score", "1.5"], "min-score"),
        ("detect", ["--min-score", "1"], "between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_line(
    command: str,
    words: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (80, 80)).save(tmp_path / "a.png")
    assert main([command, str(tmp_path / "a.png"), *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert why in line


def test_evaluate_detect_tells_figures_and_draws_misses(
    boxed: list[str],
    asked: list[DetectorOptions],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    misses = tmp_path / "misses"
    assert main([*boxed, "--detector", "corner", "--misses", str(misses), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["photographs"], found["faces"], found["score"]) == (2, 2, 0.5)
    assert found["recall"]["value"] == found["precision"]["value"] == 0.5
    assert [each.name for each in misses.iterdir()] == ["b.png"]
    assert asked[0].minimum_score == 0.05  # the curve goes on below the score in force
    assert main([*boxed, "--detector", "corner", "--skip", "1", "--min-score", "0.8"]) == 0
    out = capsys.readouterr().out
    assert "corner/1: 1 faces in 1 photographs" in out
    assert "recall at score 0.8" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--annotations", "absent"], "no folder"),
        (["--images", "absent"], "absent"),
        (["--skip", "2"], "passes over"),
        (["--at-precision", "nan"], "at-precision"),
        (["--detector", "mtcnn", "--detector-weights", "w"], "no weights but its own"),
        (["--detector-weights", "absent.safetensors"], "no file"),
        (["--detector-weights", "absent"], "no file"),
        (["--detector", "absent.safetensors"], "no file"),
    ],
)
def test_evaluate_detect_refuses_in_a_line(
    boxed: list[str], words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*boxed, *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert why in line


@pytest.mark.parametrize(
    "place", ["images", "images/new", "images/a/b", "boxes", "boxes/new", "link", "link/new"]
)
def test_misses_are_not_drawn_among_what_they_are_drawn_from(
    boxed: list[str], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "images")
    for images in (tmp_path / "images", tmp_path / "link", tmp_path / "images/b.png"):
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        words = [*boxed, "--images", str(images), "--detector", "corner"]
        assert main([*words, "--misses", str(tmp_path / place)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert "lies within" in line
        assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("place", [".", "images-missed", "missed/images"])
def test_misses_are_drawn_anywhere_else(
    boxed: list[str], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        words = ["--detector", "corner", "--misses", str(tmp_path / place), "--json"]
        assert main([*boxed, *words]) == 0
        assert json.loads(capsys.readouterr().out)["photographs"] == 2
        assert (tmp_path / place / "b.png").is_file()


def test_a_damaged_photograph_fails_alone(
    boxed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(boxed[3]) / "b.png").write_bytes(b"nothing")
    assert main([*boxed, "--detector", "corner"]) == 1
    printed = capsys.readouterr()
    assert "1 faces in 1 photographs" in printed.out
    assert "b.png" in printed.err


def test_no_detector_beside_aligned_faces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Ann").mkdir()
    Image.new("RGB", (112, 112)).save(tmp_path / "Ann" / "1.png")
    words = ["evaluate", "identify", "--people", str(tmp_path), "--aligned"]
    assert main([*words, "--compare-detector", "corner"]) == 2
    assert "leave the detector away" in capsys.readouterr().err


def test_train_detector_refuses_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('out = "run"\nteacher = "absent.safetensors"\nsources = []\n')
    assert main(["train-detector", str(recipe)]) == 2
    assert main(["train-detector", str(tmp_path / "absent.toml")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith("error: ") for line in errors)
    assert not (tmp_path / "run").exists()
