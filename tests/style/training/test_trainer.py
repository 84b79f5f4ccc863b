import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from backbones.weights import load_backbone
from data.config import read, read_recipe, to_toml
from data.errors import ArgumentError, TrainingError
from data.tensors import read_metadata, read_tensors
from style.training.config import (
    ConvolutionPrecision,
    StyleOptimizerConfig,
    StyleTrainingConfig,
    configure,
)
from style.training.trainer import rate_at, train

ROOT = Path(__file__).resolve().parents[3]
WRITTEN = {
    "best.safetensors",
    "config.toml",
    "last.safetensors",
    "metrics.jsonl",
    "model-card.md",
    "state.json",
    "state.safetensors",
}


def test_a_run_leaves_weights_metrics_and_a_card(config):
    reports = []
    result = train(config, reports.append, command="likeness train-style-net x.toml")
    assert {path.name for path in config.out.iterdir()} == WRITTEN
    assert [report.step for report in reports] == [2, 4, 6]
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [report.as_json() for report in reports]
    assert result.distance == min(report.held_out["distance"] for report in reports)
    assert [report.step for report in reports if report.best][-1] == result.best_step
    loaded = load_backbone(None, weights=result.weights)
    assert loaded.backbone.spec.name == "vgg_slim"
    says = read_metadata(result.weights)
    assert says["teacher"].startswith("vgg16, SHA-256 ")
    assert says["training_data"].startswith("4 photographs")
    card = (config.out / "model-card.md").read_text()
    assert "`likeness train-style-net x.toml`, from random weights" in card
    assert "| features.relu4_2 |" in card


def test_the_loss_falls(config, quick):
    longer = replace(config, moments=0.0, steps=24, every=8, optimizer=quick, averaging=0.5)
    reports = []
    train(longer, reports.append)
    assert reports[-1].losses["total"] < 0.8 * reports[0].losses["total"]


def test_a_decoder_is_trained_by_the_same_call(drafting):
    result = train(replace(drafting, precision=ConvolutionPrecision.BF16))
    assert read_metadata(result.weights)["architecture"] == "draft_decoder"
    assert math.isfinite(result.distance)


def test_bfloat16_touches_neither_weights_nor_losses(config):
    result = train(replace(config, precision=ConvolutionPrecision.BF16, steps=2))
    tensors = read_tensors(result.weights).tensors
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def stopped(config, after):
    """Run, and stop behind a checkpoint, as a kill would."""

    class StopError(Exception):
        pass

    def report(done):
        if done.step == after:
            raise StopError

    with pytest.raises(StopError):
        train(config, report)


@pytest.mark.parametrize("task", ["config", "drafting"])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(task, request, tmp_path):
    whole = request.getfixturevalue(task)
    broken = replace(whole, out=tmp_path / "broken")
    train(whole)
    stopped(broken, after=2)
    stopped(broken, after=4)
    train(broken)
    for name in ("best", "last", "state"):
        expected = (whole.out / f"{name}.safetensors").read_bytes()
        assert (broken.out / f"{name}.safetensors").read_bytes() == expected, name


def test_a_run_that_was_killed_goes_on(config):
    recipe = config.out.parent / "recipe.toml"
    recipe.write_text(to_toml(replace(config, steps=400, every=2)))
    program = (
        "import sys; from pathlib import Path; from style.training.config import configure;"
        "from style.training.trainer import train; train(configure(Path(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", program, str(recipe)], env=environment)
    deadline = time.monotonic() + 280
    while not (config.out / "state.safetensors").is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = read_metadata(config.out / "state.safetensors")["state"]
    done = json.loads(state)["step"]
    steps = []
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, steps=400, every=2), lambda report: _stop(report, steps))
    assert steps == [done + 2]


def _stop(report, steps):
    steps.append(report.step)
    raise KeyboardInterrupt


def test_another_run_in_the_folder_is_not_gone_on_with(config):
    stopped(config, after=2)
    before = {path: path.read_bytes() for path in config.out.iterdir()}
    others = [replace(config, **change) for change in ({"moments": 0.5}, {"steps": 9}, {"seed": 5})]
    for other in [*others, replace(config, data=replace(config.data, batch=1))]:
        with pytest.raises(TrainingError, match="other settings"):
            train(other)
        assert {path: path.read_bytes() for path in config.out.iterdir()} == before
    train(replace(config, every=3))  # how often it is looked at changes nothing


def test_what_is_no_number_stops_the_run_and_leaves_the_weights(config):
    stopped(config, after=2)
    before = (config.out / "last.safetensors").read_bytes()

    def spoil(done, total):
        if done == 3:
            raise AssertionError("went on")

    import style.training.distillation as distilling

    original = distilling.feature_distance
    distilling.feature_distance = lambda *maps: original(*maps) * math.nan
    try:
        with pytest.raises(TrainingError, match="the features became nan in step 3"):
            train(config, progress=spoil)
    finally:
        distilling.feature_distance = original
    assert (config.out / "last.safetensors").read_bytes() == before


def test_the_rate_rises_in_a_line_and_falls_in_half_a_wave():
    config = StyleOptimizerConfig(warmup=0.2)
    factors = [rate_at(config, step, 50) / config.rate for step in range(50)]
    assert factors[9] == 1
    assert all(a < b for a, b in pairwise(factors[:10]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[30] == pytest.approx(0.5, abs=0.01)
    assert factors[-1] < 0.01


def test_a_config_survives_being_written(config):
    path = config.out.parent / "again.toml"
    path.write_text(to_toml(config))
    assert read(StyleTrainingConfig, read_recipe(path), path.parent) == config


def test_flags_win_over_a_recipe(config):
    path = config.out.parent / "again.toml"
    path.write_text(to_toml(config))
    other = configure(path, steps=9, seed=None, out=Path("elsewhere"))
    assert (other.steps, other.seed) == (9, config.seed)
    assert other.out == Path("elsewhere").absolute()


@pytest.mark.parametrize("name", ["style-net", "style-draft"])
def test_the_recipes_of_the_repository_are_valid(name):
    config = configure(ROOT / "recipes" / f"{name}.toml")
    assert config.backbone == "vgg_slim"
    assert config.data.photographs == ROOT / "var" / "bsds500"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"forced": 1.5}, "forced is 1.5"),
        ({"teacher": None}, "learns from a teacher"),
        ({"teacher": "vgg20"}, "no backbone is named 'vgg20'"),
        ({"backbone": "vgg20"}, "no backbone is named 'vgg20'"),
        ({"averaging": math.nan}, "averaging is nan"),
    ],
)
def test_impossible_values_are_refused(config, values, message):
    with pytest.raises(ArgumentError, match=message):
        replace(config, **values)
