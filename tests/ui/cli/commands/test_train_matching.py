"""`train-matching`, and what `identify`'s evaluation makes of it, on pictures of known faces."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from recognition.attention_file import find_attention
from recognition.learning import attention_fit
from ui.cli import embedding_options
from ui.cli.main import main
from ui.settings import Settings

D = 16


@dataclass(frozen=True)
class Embedder:
    """What is asked of a network beside its embeddings."""

    model_id: str = "seeded"
    weights_digest: str = "cd" * 32
    dimension: int = D
    is_mirrored: bool = True
    is_as_measured: bool = True
    tail: str | None = None


def find(images: Sequence[Image.Image]) -> list[list[npt.NDArray[np.float32]]]:
    """The first pixel says who it is, and which photograph; each third one is damaged."""
    found = []
    for image in images:
        red, green, blue = image.getpixel((0, 0))
        own = np.random.default_rng([red, green]).normal(size=D)
        noise = np.random.default_rng([red, green, blue]).normal(size=D)
        vector = own + (3.0 if blue % 3 == 0 else 0.3) * noise
        vector /= np.linalg.norm(vector)
        vector[0] = 1.5 * (blue % 3 == 0)
        found.append([(vector / np.linalg.norm(vector)).astype(np.float32)])
    return found


@pytest.fixture(autouse=True)
def stand_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_options, "plain_finder", lambda way, settings: find)
    monkeypatch.setattr(Settings, "face_embedder", lambda self, **terms: Embedder())
    monkeypatch.setattr(attention_fit, "_STEPS", 40)
    monkeypatch.setattr(attention_fit, "_TRIALS", 3)
    monkeypatch.setattr(attention_fit, "_PARTS", 2)
    monkeypatch.setattr(attention_fit, "_RATE", 0.2)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    for number in range(60):
        place = tmp_path / "known" / f"p{number:03}"
        place.mkdir(parents=True)
        for take in range(6):
            Image.new("RGB", (8, 8), (number, 1, take)).save(place / f"{take}.png")
    return tmp_path / "known"


def test_what_is_trained_is_found_and_names_more_of_those_it_knows(
    known: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "not.txt").write_text("p007\np008\n")
    words = ["--people", str(known), "--leave-out", str(tmp_path / "not.txt")]
    assert main(["train-matching", *words]) == 0
    assert "trained on 58 people in 348 photographs" in capsys.readouterr().out
    query = find_attention("seeded", "cd" * 32, D, home=home).query
    assert query[0] < -1  # damaged photographs count less

    def rank_1(rule: str) -> float:
        people = ["--people", str(known), "--enrol", "30", "--templates", "4", "--draws", "10"]
        assert main(["evaluate", "identify", *people, "--match", rule, "--json"]) == 0
        return float(json.loads(capsys.readouterr().out)["rank_1"])

    assert rank_1("attention") > rank_1("mean")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["evaluate", "identify", "--match", "attention"], "no attention over templates"),
        (
            ["evaluate", "identify", "--match", "mean", "--specialist", "vgg_slim"],
            "specialists are asked by the best",
        ),
        (["train-matching", "-o", "query.json"], "is not .safetensors"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    words: list[str], reason: str, known: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--people", str(known)]) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("folder.safetensors", "is a folder"),
        ("file/query.safetensors", "is no folder"),
        (None, "is no folder"),
    ],
)
def test_a_place_that_takes_no_result_is_refused_before_any_work(
    known: Path,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str | None,
    reason: str,
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").touch()
    if place is None:
        home.mkdir(exist_ok=True)
        (home / "attention").touch()
    monkeypatch.setattr(
        embedding_options,
        "plain_finder",
        lambda way, settings: lambda images: pytest.fail("it began"),
    )
    out = [] if place is None else ["-o", str(tmp_path / place)]
    assert main(["train-matching", "--people", str(known), *out]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("error:") == 1


def test_too_few_people_of_several_photographs_are_refused(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "only.txt").write_text("".join(f"p{number:03}\n" for number in range(20)))
    words = ["--people", str(known), "--identities", str(tmp_path / "only.txt")]
    assert main(["train-matching", *words]) == 2
    assert "20 people have three photographs" in capsys.readouterr().err
