"""A run: what it leaves, that it goes on with the same bytes, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.config import read, read_recipe, to_toml
from data.errors import AppError, ArgumentError, TrainingError
from data.tensors import read_metadata
from recognition.detection.one_stage import OneStageDetector, load_network
from recognition.detection.training import trainer
from recognition.detection.training.config import (
    DetectorTrainingConfig,
    MosaicConfig,
    MosaicSourceConfig,
    configure,
)
from recognition.detection.training.trainer import DetectorReport, rate_factor, train

KEPT = ("best.safetensors", "last.safetensors", "state.safetensors")


def result_of(config: DetectorTrainingConfig) -> dict[str, bytes]:
    return {name: (config.out / name).read_bytes() for name in KEPT}


def test_a_run_leaves_weights_that_a_detector_takes(config: DetectorTrainingConfig) -> None:
    reports: list[DetectorReport] = []
    done = train(config, reports.append, command="likeness train-detector x.toml")
    assert [each.step for each in reports] == [2, 4]
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [each.as_json() for each in reports]
    assert done.average_precision == max(each.average_precision for each in reports)
    assert read_metadata(done.weights)["command"] == "likeness train-detector x.toml"
    OneStageDetector(load_network(done.weights))
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


def test_other_settings_are_refused_and_change_nothing(config: DetectorTrainingConfig) -> None:
    train(replace(config, steps=2))
    before = result_of(config)
    with pytest.raises(TrainingError, match="other settings"):
        train(replace(config, rate=0.1))
    assert result_of(config) == before


def test_a_loss_that_is_no_number_stops_the_run(
    config: DetectorTrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(replace(config, steps=2))
    before = result_of(config)
    real = trainer.losses

    def spoiled(values: torch.Tensor, told: torch.Tensor) -> dict[str, torch.Tensor]:
        return real(values, told) | {"box": values.sum() * float("nan")}

    monkeypatch.setattr(trainer, "losses", spoiled)
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
