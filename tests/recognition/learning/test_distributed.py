import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ports import free_port

from backbones.metadata import weights_metadata
from backbones.registry import create
from backbones.spec import Norm
from backbones.training.distributed import Team, join_team, leads
from backbones.training.optimizers import OptimizerConfig, OptimizerName
from backbones.weights import load_backbone
from data.config import to_toml
from data.errors import ArgumentError
from data.tensors import read_metadata, write_tensors
from recognition.learning.choices import LossName, Sampling
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from recognition.learning.reports import EpochReport, TrainingProgress
from recognition.learning.trainer import check_batch, train

SCRIPT = Path(__file__).parent / "distributed_run.py"


class HaltError(Exception):
    """Stands for whatever stops a process from within."""


@pytest.fixture(scope="module")
def base(people: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Four losses over batches of four people, by a rule that feels a gradient's length."""
    folder = tmp_path_factory.mktemp("runs")
    teacher = folder / "teacher.safetensors"
    network = create("tiny", embedding_size=20, seed=3)
    write_tensors(teacher, network.state_dict(), weights_metadata(network.spec))
    names = (LossName.DISTILL, LossName.TRIPLET, LossName.ARCFACE, LossName.PAIR)
    return TrainingConfig(
        data=DataConfig(folder=people, cache=folder / "aligned"),
        out=folder / "run",
        backbone="steady",
        norm=Norm.GROUP,
        embedding_size=16,
        teacher=teacher,
        losses=tuple(LossConfig(name=name, weight=0.5) for name in names),
        epochs=3,
        batch=BatchConfig(people=4, photographs=2),
        optimizer=OptimizerConfig(name=OptimizerName.MOMENTUM, rate=0.01, clip=50.0),
        averaging=0.9,
        device="cpu",
    )


@pytest.fixture(scope="module")
def runs(base: TrainingConfig) -> dict[str, TrainingConfig]:
    """What the processes below train, one after the other, each in a folder of its name."""
    by_photograph = BatchConfig(people=4, photographs=2, sampling=Sampling.PHOTOGRAPHS)
    unnamed = replace(base.data, unlabelled=base.data.folder / "person_00")
    kinds = {
        "group": base,
        "unnamed": replace(base, data=unnamed, batch=by_photograph),
        "continued": base,
        "batch": replace(base, norm=Norm.BATCH, backbone="tiny"),
        "poisoned": replace(base, norm=Norm.BATCH),
        "uneven": replace(base, batch=BatchConfig(people=3, photographs=2)),
    }
    return {name: replace(kind, out=base.out.parent / name) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def two(runs: dict[str, TrainingConfig]) -> list[dict[str, dict[str, Any]]]:
    """What each of two processes under torchrun saw of each run."""
    folder = next(iter(runs.values())).out.parent

    def stop(report: EpochReport) -> None:
        raise HaltError

    with pytest.raises(HaltError):
        train(runs["continued"], stop)  # by one process, so far
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    recipes = [folder / f"{name}.toml" for name in runs]
    for recipe, config in zip(recipes, runs.values(), strict=True):
        recipe.write_text(to_toml(config))
    subprocess.run(
        [sys.executable, *torchrun, SCRIPT, folder, *recipes],
        capture_output=True,
        check=False,
        timeout=280,
    )
    seen = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    return [dict(zip(runs, results, strict=True)) for results in seen]


def one(config: TrainingConfig, out: Path) -> tuple[list[float], list[dict[str, float]]]:
    """The same by this process: each step's loss, each epoch's terms."""
    steps: list[TrainingProgress] = []
    result = train(replace(config, out=out), progress=steps.append)
    losses = [now.loss for now in steps if now.loss is not None]
    return losses, [dict(report.losses) for report in result.epochs]


@pytest.mark.parametrize("name", ["group", "unnamed"])
def test_two_processes_follow_the_loss_curve_of_one(
    name: str,
    runs: dict[str, TrainingConfig],
    two: list[dict[str, dict[str, Any]]],
    tmp_path: Path,
) -> None:
    alone, terms = one(runs[name], tmp_path / "one")
    for process in two:
        assert process[name]["error"] is None
        together = [losses["total"] for losses in process[name]["losses"]]
        assert together == pytest.approx(alone, rel=1e-4, abs=1e-4)
    assert abs(alone[0] - alone[-1]) > 0.1  # a curve that could differ
    lines = (runs[name].out / "metrics.jsonl").read_text().splitlines()
    for line, expected in zip(lines, terms, strict=True):
        assert json.loads(line)["losses"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    first, second = (
        load_backbone(None, weights=out / "last.safetensors").backbone.state_dict()
        for out in (runs[name].out, tmp_path / "one")
    )
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["group", "unnamed", "continued", "batch"])
def test_both_end_with_the_same_weights_statistics_and_averages(
    name: str, two: list[dict[str, dict[str, Any]]]
) -> None:
    first, second = (process[name] for process in two)
    assert first["error"] is second["error"] is None
    assert first["weights"] == second["weights"] is not None
    assert first["losses"] == second["losses"]


def test_two_processes_go_on_with_the_run_of_one(two: list[dict[str, dict[str, Any]]]) -> None:
    for process in two:
        whole, rest = process["group"]["losses"], process["continued"]["losses"]
        assert len(rest) == len(whole) * 2 // 3
        for losses, expected in zip(rest, whole[-len(rest) :], strict=True):
            assert losses == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_is_no_number_in_one_process_stops_all_and_leaves_the_last_good_weights(
    runs: dict[str, TrainingConfig], two: list[dict[str, dict[str, Any]]]
) -> None:
    for process in two:
        assert process["poisoned"]["error"].startswith("TrainingError: the loss is nan in epoch 2")
    assert read_metadata(runs["poisoned"].out / "last.safetensors")["epoch"] == "1"


def test_a_batch_that_cannot_be_dealt_out_is_refused_by_all(
    runs: dict[str, TrainingConfig], two: list[dict[str, dict[str, Any]]]
) -> None:
    for process in two:
        assert process["uneven"]["error"].startswith(
            "ArgumentError: a batch of 3 people cannot be dealt out to 2 processes"
        )
    assert not runs["uneven"].out.exists()


def test_a_killed_process_ends_the_run_with_a_clear_error(
    base: TrainingConfig, tmp_path: Path
) -> None:
    recipe = tmp_path / "endless.toml"
    recipe.write_text(to_toml(replace(base, out=tmp_path / "endless", epochs=100_000)))
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(tmp_path), str(recipe)],
            env=os.environ | meeting | {"WORLD_SIZE": "2", "RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    assert processes[0].stdout is not None
    assert next(processes[0].stdout) == "epoch 1\n"
    processes[1].send_signal(signal.SIGKILL)
    _, said = processes[0].communicate(timeout=280)
    processes[1].communicate()
    assert processes[0].returncode == 1
    assert "TrainingError: another process of this run has ended" in said
    kept = load_backbone(None, weights=tmp_path / "endless" / "last.safetensors")
    assert kept.backbone.spec.norm is Norm.GROUP


def test_one_process_alone_is_a_team_that_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    rows = torch.rand(3, 2)
    team, device = join_team("cpu")
    assert team == Team() == Team(rank=0, size=1)
    assert device == torch.device("cpu")
    assert torch.equal(team.own(rows), rows)
    assert team.gather(rows) is rows
    assert leads()


def test_rows_are_dealt_out_in_order() -> None:
    rows = torch.arange(12).view(6, 2)
    assert torch.equal(torch.cat([Team(rank, 3).own(rows) for rank in range(3)]), rows)


def test_only_the_first_process_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not leads()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert leads()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ArgumentError, match="WORLD_SIZE is 'two': torchrun sets a number"):
        leads()


def test_an_environment_that_is_not_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="start them with torchrun"):
        join_team("cpu")


@pytest.mark.parametrize(
    ("batch", "size", "message"),
    [
        (BatchConfig(people=8, photographs=2), 3, "8 people cannot be dealt out to 3 processes"),
        (BatchConfig(), 2, "7 people cannot be dealt out to 2"),
        (
            BatchConfig(people=5, photographs=3, sampling=Sampling.PHOTOGRAPHS),
            2,
            "15 photographs cannot be dealt out to 2",
        ),
        (BatchConfig(people=4, photographs=1), 4, "4 processes leave each 1 photograph"),
    ],
)
def test_batches_must_be_dealt_out_evenly(batch: BatchConfig, size: int, message: str) -> None:
    check_batch(Team(), batch, people=7, photographs=20)
    with pytest.raises(ArgumentError, match=message):
        check_batch(Team(0, size), batch, people=7, photographs=20)
