"""A run: what it leaves, that it goes on with the same bytes, and what it refuses."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.config import read, read_recipe, to_toml
from data.errors import AppError, ArgumentError, DatasetError, TrainingError
from data.tensors import read_metadata
from recognition.detection.annotations import BoxedPhotograph
from recognition.detection.average_precision import PrecisionCurve
from recognition.detection.methods import one_stage
from recognition.detection.methods.registry import load
from recognition.detection.one_stage import OneStageDetector
from recognition.detection.one_stage_network import OneStageNetwork
from recognition.detection.training import trainer
from recognition.detection.training.config import (
    DetectorTrainingConfig,
    MosaicConfig,
    MosaicSourceConfig,
    configure,
)
from recognition.detection.training.trainer import DetectorReport, rate_factor, train
from ui.cli import output
from ui.cli.main import main

KEPT = ("best.safetensors", "last.safetensors", "state.safetensors")


def result_of(config: DetectorTrainingConfig) -> dict[str, bytes]:
    return {name: (config.out / name).read_bytes() for name in KEPT}


def folder_of(config: DetectorTrainingConfig) -> dict[Path, bytes]:
    """All that lies in a run's folder."""
    return {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()}


def test_a_run_leaves_weights_that_a_detector_takes(config: DetectorTrainingConfig) -> None:
    reports: list[DetectorReport] = []
    done = train(config, reports.append, command="likeness train-detector x.toml")
    assert [each.step for each in reports] == [2, 4]
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [each.as_json() for each in reports]
    assert done.average_precision == max(each.average_precision for each in reports)
    assert read_metadata(done.weights)["command"] == "likeness train-detector x.toml"
    _, network = load(done.weights)
    assert isinstance(network, OneStageNetwork)
    OneStageDetector(network.fold())
    card = (config.out / "model-card.md").read_text()
    assert "`likeness train-detector x.toml`, from random weights" in card
    assert "6 photographs (portraits); 2 photographs (boxed from number 1, 2, boxed)" in card
    assert f"average precision {done.average_precision:.3f}" in card
    spelled = config.out / "config.toml"
    assert read(DetectorTrainingConfig, read_recipe(spelled), spelled.parent) == config
    before = result_of(config)
    assert train(config) == done  # nothing is left to do
    assert result_of(config) == before


def test_an_interrupted_run_ends_with_the_same_bytes(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    train(config)
    other = replace(config, out=tmp_path / "other")
    (other.out).mkdir()

    def stop(report: DetectorReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(other, stop)
    assert "2" in read_metadata(other.out / "last.safetensors")["step"]
    train(other)
    assert result_of(other) == result_of(config)
    ours, theirs = (
        [
            json.loads(line)["losses"]
            for line in (each.out / "metrics.jsonl").read_text().splitlines()
        ]
        for each in (config, other)
    )
    assert ours == theirs


def test_the_length_may_change_until_the_rate_falls(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    flat = replace(config, cooldown=0.0)
    train(flat)
    shorter = replace(flat, out=tmp_path / "other", steps=2)
    train(shorter)
    train(replace(shorter, steps=4))
    assert result_of(shorter)["state.safetensors"] == result_of(flat)["state.safetensors"]


def test_the_length_may_not_change_once_the_rate_falls(config: DetectorTrainingConfig) -> None:
    done = replace(config, cooldown=0.5)  # the rate falls after step 2
    train(done)
    before = folder_of(config)
    for steps in (1, 2, 3, 5, 8, 1000):
        with pytest.raises(TrainingError, match="keep --steps 4") as refused:
            train(replace(done, steps=steps))
        assert "\n" not in str(refused.value)
    assert folder_of(config) == before
    train(done)
    assert folder_of(config) == before


@pytest.mark.parametrize(
    ("cooldown", "other", "allowed"),
    [
        (0.5, 8, True),  # either rate falls after step 2, or later
        (0.5, 3, False),  # the wanted one would have fallen after step 1
        (0.0, 3, True),
        (0.0, 2, True),  # it is done
        (0.0, 1, False),  # less than what is done
        (1.0, 8, False),  # it falls from the first step on
        (1.0, 4, True),
    ],
)
def test_a_length_is_changed_only_to_what_began_alike(
    config: DetectorTrainingConfig, tmp_path: Path, cooldown: float, other: int, allowed: bool
) -> None:
    def stop(report: DetectorReport) -> None:
        raise KeyboardInterrupt

    stopped = replace(config, cooldown=cooldown)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, stop)  # after 2 of 4 steps
    wanted, before = replace(stopped, steps=other), folder_of(config)
    if not allowed:
        with pytest.raises(TrainingError, match="keep --steps 4"):
            train(wanted)
        assert folder_of(config) == before
        return
    train(wanted)
    whole = replace(wanted, out=tmp_path / "whole")
    train(whole)
    assert result_of(wanted)["state.safetensors"] == result_of(whole)["state.safetensors"]


@pytest.mark.parametrize("change", ["rate", "seed", "side", "count", "source"])
def test_other_settings_are_refused_and_change_nothing(
    config: DetectorTrainingConfig, change: str
) -> None:
    train(config)
    before = folder_of(config)
    changed: dict[str, DetectorTrainingConfig] = {
        "rate": replace(config, rate=0.1),
        "seed": replace(config, seed=4),
        "side": replace(config, mosaics=replace(config.mosaics, side=96)),
        "count": replace(config, mosaics=replace(config.mosaics, count=60)),
        "source": replace(config, sources=config.sources[:1]),
    }
    with pytest.raises(TrainingError, match="other settings"):
        train(changed[change])
    assert folder_of(config) == before


def test_a_card_counts_the_steps_that_were_completed(config: DetectorTrainingConfig) -> None:
    train(config)
    metrics, card = config.out / "metrics.jsonl", config.out / "model-card.md"
    lines, told = metrics.read_text(), card.read_text()
    assert "| 4 of 4, the best after" in told
    last = json.loads(lines.splitlines()[-1])
    metrics.write_text(lines + json.dumps(last | {"step": 6}) + "\n")  # killed before its state
    train(config)
    assert card.read_text() == told
    for damaged in ("", "\n", lines + "{", lines + '{"step": 4}\n', lines.splitlines()[0]):
        metrics.write_text(damaged)
        with pytest.raises(TrainingError, match="metrics"):
            train(config)


@pytest.mark.parametrize(
    ("faces", "settings", "why"),
    [
        ("", {}, "no box of a face"),
        ("<difficult>1</difficult>", {}, "no box of a face"),
        (None, {"skip": 4}, "no photograph is left"),
        (None, {"skip": 9, "count": 1}, "no photograph is left"),
        (None, {"only": "absent.png\n"}, "no photograph is left"),
        (None, {"excluded": "images\n"}, "no photograph is left"),
        (None, {"only": "0.png\n1.png\n"}, "no photograph is left"),  # and 2 are passed over
    ],
)
def test_validation_without_a_face_is_refused_before_anything_is_made(
    config: DetectorTrainingConfig,
    tmp_path: Path,
    faces: str | None,
    settings: dict[str, str | int],
    why: str,
) -> None:
    for path in (tmp_path / "boxed/annotations").iterdir():
        if faces == "":
            path.write_text("<annotation></annotation>")
        elif faces is not None:
            path.write_text(path.read_text().replace("<object>", f"<object>{faces}"))
    given: dict[str, Any] = {}
    for key, value in settings.items():
        given[key] = value
        if isinstance(value, str):
            (tmp_path / key).write_text(value)
            given[key] = (tmp_path / key,)
    unlabelled = replace(config, validation=replace(config.validation, **given))
    with pytest.raises(DatasetError, match=why):
        train(unlabelled)
    assert not config.out.exists()


def test_validation_takes_what_its_lists_let_through(
    config: DetectorTrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = trainer.curve_of

    def curve_of(detector: OneStageDetector, boxed: list[BoxedPhotograph]) -> PrecisionCurve:
        seen.extend(each.path.name for each in boxed)
        return real(detector, boxed)

    monkeypatch.setattr(trainer, "curve_of", curve_of)
    (tmp_path / "only").write_text("0.png\n1.png\n3.png\n")
    (tmp_path / "excluded").write_text("0.png\n")
    source = replace(config.validation, only=(tmp_path / "only",), skip=1)
    train(replace(config, steps=1, validation=replace(source, excluded=(tmp_path / "excluded",))))
    assert seen == ["3.png"]


def test_the_command_tells_of_mosaics_and_then_of_checkpoints(
    config: DetectorTrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(to_toml(replace(config, mosaics=replace(config.mosaics, count=50))))
    assert main(["train-detector", str(recipe), "--json-lines"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["progress", "progress", "checkpoint", "checkpoint", "result"]
    assert [(line["stage"], line["done"], line["total"]) for line in lines[:2]] == [
        ("mosaics", 48, 50),
        ("mosaics", 50, 50),
    ]
    assert main(["train-detector", str(recipe), "--steps", "1"]) == 1
    assert "keep --steps 4" in capsys.readouterr().err
    for flags in ([], ["--json"]):
        assert main(["train-detector", str(recipe), *flags]) == 0
        assert "mosaics" not in capsys.readouterr().out


def test_the_bar_names_the_mosaics_while_they_are_made(
    config: DetectorTrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int, str]] = []

    @contextmanager
    def progress_bar(description: str, *, shown: bool = True) -> Iterator[object]:
        yield lambda done, total, stage="", note="": told.append((done, total, stage))

    monkeypatch.setattr(output, "progress_bar", progress_bar)
    recipe = tmp_path / "r.toml"
    recipe.write_text(to_toml(replace(config, steps=2)))
    assert main(["train-detector", str(recipe)]) == 0
    assert told == [(10, 10, "mosaics"), (1, 2, ""), (2, 2, "")]


def test_validation_is_no_source_of_mosaics(config: DetectorTrainingConfig) -> None:
    changes: list[dict[str, Any]] = [{"share": 0.5}, {"share": 0}, {"scene": True}]
    for given in changes:
        with pytest.raises(ArgumentError, match="leave both out"):
            replace(config, validation=replace(config.validation, **given))


def test_a_loss_that_is_no_number_stops_the_run(
    config: DetectorTrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, cooldown=0.0)
    train(replace(config, steps=2))
    before = result_of(config)
    real = one_stage.losses

    def spoiled(values: torch.Tensor, told: torch.Tensor) -> dict[str, torch.Tensor]:
        return real(values, told) | {"box": values.sum() * float("nan")}

    monkeypatch.setattr(one_stage, "losses", spoiled)
    with pytest.raises(TrainingError, match="step 3"):
        train(config)
    assert result_of(config) == before


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [rate_factor(step, 100, 10, 0.4) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == 1.0
    assert set(rates[10:61]) == {1.0}
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[80] == pytest.approx((1 + 1e-3) / 2)
    assert rates[99] < 0.01
    assert [rate_factor(step, 200, 10, 0.4) for step in range(61)] == rates[:61]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch": 0},
        {"rate": float("nan")},
        {"cooldown": 1.5},
        {"seed": -1},
        {"sources": ()},
    ],
)
def test_numbers_out_of_range_are_refused(
    config: DetectorTrainingConfig, change: dict[str, object]
) -> None:
    with pytest.raises(ArgumentError):
        replace(config, **change)  # type: ignore[arg-type]


def test_recipes_are_checked_before_anything_is_read(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="multiple of 32"):
        MosaicConfig(side=100)
    with pytest.raises(ArgumentError, match="annotations"):
        replace(config, validation=MosaicSourceConfig(photographs=tmp_path))
    recipe = tmp_path / "r.toml"
    recipe.write_text(to_toml(config).replace("steps = 4", "steps = 6"))
    assert configure(recipe).steps == 6
    assert configure(recipe, steps=9).steps == 9
    recipe.write_text("unknown = 1\n" + to_toml(config))
    with pytest.raises(ArgumentError, match="unknown"):
        configure(recipe)
    missing = replace(config, teacher=tmp_path / "absent.safetensors")
    with pytest.raises(AppError):
        train(missing)
    assert not config.out.exists()
