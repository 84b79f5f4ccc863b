"""A run's folder: lines of metrics that belong to checkpoints, and whose run it is."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch

from backbones.training.model_card import write_model_card
from backbones.training.run_folder import RunFolder, fingerprint
from data.config import Configuration, File
from data.errors import ArgumentError, TrainingError
from data.tensors import read_tensors


@dataclass(frozen=True)
class Told:
    step: int
    loss: float

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Configuration):
    out: File
    word: str = "x"


def folder(path: Path) -> RunFolder[Told]:
    return RunFolder(path, Told, unit="step")


def test_lines_past_the_checkpoint_are_dropped_and_written_anew(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    assert run.reports(0) == []
    for before, step in ((0, 2), (2, 4), (4, 6)):
        run.append(Told(step, step / 2), after=before)
    assert [each.step for each in run.reports(4)] == [2, 4]
    run.append(Told(6, 9.0), after=4)
    assert run.reports(6)[-1] == Told(6, 9.0)
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks steps"),
        ('{"loss": 1.0, "step": 2}\n', "lacks steps"),
        ('{"loss": 1.0, "step": 2}\n{"loss"', "is damaged"),
        ('{"loss": 1.0}\n', "is damaged"),
        ('{"loss": 1.0, "step": 4, "more": 1}\n', "is damaged"),
        ("[1]\n", "is damaged"),
        (None, "is damaged"),
    ],
)
def test_lines_that_are_missing_or_damaged_are_refused(
    tmp_path: Path, text: str | None, words: str
) -> None:
    run = folder(tmp_path)
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(TrainingError, match=words):
        run.reports(4)


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="cannot create the folder"):
        folder(tmp_path / "file" / "run")


def test_the_best_weights_stay_where_the_last_ones_are_worse(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.write_weights({"w": torch.ones(2)}, {"step": "1"}, best=True)
    run.write_weights({"w": torch.zeros(2)}, {"step": "2"}, best=False)
    assert read_tensors(run.best).metadata["step"] == "1"
    assert read_tensors(run.last).metadata["step"] == "2"


def test_a_fingerprint_changes_with_what_decides_and_with_nothing_else(tmp_path: Path) -> None:
    config = Settings(out=tmp_path)
    of = fingerprint(config, {"out"}, [b"a", b"b"])
    assert of == fingerprint(replace(config, out=tmp_path / "x"), {"out"}, [b"a", b"b"])
    others = [
        fingerprint(replace(config, word="y"), {"out"}, [b"a", b"b"]),
        fingerprint(config, {"out"}, [b"b", b"a"]),
        fingerprint(config, {"out"}, [b"ab"]),
        fingerprint(config, {"out"}, [b"a", b"b", b""]),
        fingerprint(config, set(), [b"a", b"b"]),
    ]
    assert len({of, *others}) == 6


def test_a_card_says_what_the_header_does_not_record(tmp_path: Path) -> None:
    run = folder(tmp_path)
    run.write_weights({"w": torch.ones(250_000)}, {"seed": "7"}, best=True)
    template = "{file} {size:.1f} {seed} {objective} {title}"
    write_model_card(tmp_path, run.best, template, header=("seed", "objective"), title="T")
    card = (tmp_path / "model-card.md").read_text()
    assert card == "best.safetensors 1.0 7 not recorded T"
