import json
import math
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backbones.metadata import weights_metadata
from backbones.registry import create
from backbones.spec import Alignment
from backbones.training.optimizers import OptimizerConfig, OptimizerName
from backbones.weights import load_backbone
from data.config import to_toml
from data.errors import AppError, ArgumentError, DatasetError, TrainingError
from data.files import sha256_of
from data.tensors import read_metadata, read_tensors, write_tensors
from recognition.faces.embedding import FaceEmbedder
from recognition.learning.choices import LossName, Metric, Precision, Sampling, Targets
from recognition.learning.config import BatchConfig, LossConfig, TrainingConfig, configure
from recognition.learning.reports import EpochReport, TrainingProgress
from recognition.learning.trainer import train

pytestmark = pytest.mark.usefixtures("undrawn")

OF_VIEWS = {LossName.FEATURES}
FILES = ("best.safetensors", "last.safetensors", "state.safetensors")


class HaltError(Exception):
    """Stands for whatever stops a process from within."""


def digests(folder: Path) -> list[str]:
    return [sha256_of(folder / name) for name in FILES]


def test_a_run_leaves_what_it_promises(config: TrainingConfig) -> None:
    reports: list[EpochReport] = []
    stages: dict[str, int] = {}
    result = train(
        config,
        reports.append,
        progress=lambda now: stages.update({now.stage: now.done}),
        command="likeness train --data photographs",
    )
    names = {path.name for path in config.out.iterdir()}
    others = {"state.json", "metrics.jsonl", "config.toml", "model-card.md", "plots"}
    assert names == {*FILES, *others}
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert {"train_loss", "val_auc", "val_tar", "learning_rate", "seconds"} <= json.loads(
        lines[0]
    ).keys()
    assert tuple(reports) == result.epochs
    assert set(stages) == {"photographs", "epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"}
    best = max(reports, key=lambda report: report.val_auc or 0)
    assert result.best_epoch == best.epoch
    assert read_metadata(result.weights)["epoch"] == str(best.epoch)
    assert configure(config.out / "config.toml") == config
    card = (config.out / "model-card.md").read_text()
    assert sha256_of(result.weights) in card
    assert "likeness train --data photographs" in card
    assert str(config.out) not in card


def test_the_weights_serve_at_once_and_say_what_they_are(config: TrainingConfig) -> None:
    result = train(replace(config, mirror=True))
    embedder = FaceEmbedder(load_backbone(None, weights=result.weights))
    assert embedder.model_id == "tiny"
    assert embedder.embed(torch.rand(2, 3, 112, 112)).shape == (2, 32)
    # Twelve photographs of three people give 48 impostor pairs: no FAR of 1 % can be measured.
    assert embedder.threshold is None
    assert result.measured["validation"].impostor == 48


def test_training_separates_people(config: TrainingConfig) -> None:
    result = train(replace(config, epochs=15))
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss
    trained = result.measured["training"].auc
    assert trained is not None
    assert trained > 0.95


def test_an_interrupted_run_ends_with_the_same_bytes(
    config: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(config, averaging=0.9, optimizer=OptimizerConfig(rate=0.01))
    train(replace(config, out=tmp_path / "whole"))
    for epoch, step in [(1, 1), (2, 3), (3, 2)]:

        def stop(
            now: TrainingProgress, at: tuple[str, int] = (f"epoch {epoch} of 3", step)
        ) -> None:
            if (now.stage, now.done) == at:
                raise HaltError

        with pytest.raises(HaltError):
            train(config, progress=stop)
    done: list[int] = []
    result = train(config, lambda report: done.append(report.epoch))
    assert done == [3]
    assert digests(config.out) == digests(tmp_path / "whole")
    assert [report.epoch for report in result.epochs] == [1, 2, 3]


@pytest.mark.parametrize("name", list(OptimizerName))
def test_every_optimizer_resumes_byte_for_byte(
    config: TrainingConfig, tmp_path: Path, name: OptimizerName
) -> None:
    optimizer = OptimizerConfig(name=name, rate=0.01)
    config = replace(config, epochs=2, optimizer=optimizer)
    train(replace(config, out=tmp_path / "whole"))

    def stop(report: EpochReport) -> None:
        raise HaltError

    with pytest.raises(HaltError):
        train(config, stop)
    train(config)
    assert digests(config.out) == digests(tmp_path / "whole")


def test_a_network_aligned_by_the_eyes_is_taught_by_one_aligned_at_five_points(
    config: TrainingConfig, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    network = create("tiny", embedding_size=16, seed=3)
    write_tensors(teacher, network.state_dict(), weights_metadata(network.spec))
    config = replace(
        config,
        backbone="tiny_eyes",
        teacher=teacher,
        losses=(LossConfig(name=LossName.DISTILL),),
        epochs=2,
    )
    result = train(config)
    loaded = load_backbone(None, weights=result.weights)
    assert (loaded.alignment, loaded.input_size) == (Alignment.EYES, (96, 96))
    by_eyes = read_tensors(config.out / "teacher-targets.safetensors").tensors["targets"]
    train(replace(config, backbone="tiny", out=tmp_path / "five"))
    at_five = read_tensors(tmp_path / "five" / "teacher-targets.safetensors").tensors["targets"]
    assert torch.equal(by_eyes, at_five)
    before = digests(config.out)
    assert train(config).epochs == result.epochs
    assert digests(config.out) == before


def test_a_finished_run_is_not_run_again(config: TrainingConfig) -> None:
    first = train(config)
    before = digests(config.out)
    stages = set[str]()
    again = train(config, progress=lambda now: stages.add(now.stage))
    assert stages == {"photographs"}
    assert digests(config.out) == before
    assert again.epochs == first.epochs


def test_another_runs_folder_is_refused(config: TrainingConfig) -> None:
    train(config)
    before = digests(config.out)
    with pytest.raises(TrainingError, match="other settings"):
        train(replace(config, seed=1))
    assert digests(config.out) == before


@pytest.mark.slow
@pytest.mark.timeout(1200)  # each start of a process imports torch, which takes its time in company
def test_kill_at_any_moment_and_resume_equals_uninterrupted(
    config: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(config, epochs=4)
    train(replace(config, out=tmp_path / "whole"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(config))
    rng, kills = random.Random(0), 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "killed_run.py"), str(recipe)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines_to_wait = rng.randint(2, 8)
            for number, line in enumerate(process.stdout):
                if number == lines_to_wait:
                    process.send_signal(signal.SIGKILL)
                    break
                assert line != "finished\n"
        kills += process.returncode == -signal.SIGKILL
    train(config)
    assert kills == 3
    assert digests(config.out) == digests(tmp_path / "whole")


def test_a_loss_that_is_no_number_stops_at_once_and_keeps_the_last_good_weights(
    config: TrainingConfig,
) -> None:
    train(replace(config, epochs=1))
    good = digests(config.out)
    steps: list[TrainingProgress] = []
    # The settings differ in nothing that is recorded but the batch that turns bad.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "recognition.learning.trainer.digest_of", lambda *_, **__: _fingerprint(config)
        )
        patch.setattr(
            "recognition.learning.epoch.EpochLoop._autocast",
            lambda loop: _poison(loop._parts.network),
        )
        with pytest.raises(TrainingError, match=r"the loss is nan in epoch 2, step 1: lower"):
            train(replace(config, epochs=2), progress=steps.append)
    assert [now for now in steps if now.stage != "photographs"] == []
    assert digests(config.out) == good


def test_weights_spoiled_by_the_last_step_of_an_epoch_are_not_saved(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(now: TrainingProgress) -> None:
        if now.stage == "epoch 2 of 3" and now.done == now.total:
            spoiled.append(now.done)

    spoiled: list[int] = []
    finite = torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda x: finite(x) & (not spoiled))
    with pytest.raises(TrainingError, match="a weight is no finite number after epoch 2"):
        train(config, progress=spoil)
    assert read_metadata(config.out / "last.safetensors")["epoch"] == "1"


def _fingerprint(config: TrainingConfig) -> str:
    document = json.loads((config.out / "state.json").read_text())
    return str(document["config"])


def _poison(network: torch.nn.Module) -> torch.autograd.grad_mode.set_grad_enabled:
    with torch.no_grad():
        next(network.parameters()).fill_(math.nan)
    return torch.set_grad_enabled(True)


def test_a_rate_far_too_high_ends_in_a_training_error_not_in_weights(
    config: TrainingConfig,
) -> None:
    config = replace(
        config,
        losses=(LossConfig(name=LossName.SOFTMAX),),
        optimizer=OptimizerConfig(name=OptimizerName.SGD, rate=100, clip=None, weight_decay=10),
        epochs=30,
    )
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(config)
    for path in config.out.glob("*.safetensors"):
        load = read_metadata(path)
        assert load


def test_patience_ends_a_run_that_no_longer_improves(config: TrainingConfig) -> None:
    still = replace(config, optimizer=OptimizerConfig(rate=1e-12, weight_decay=0), epochs=50)
    result = train(replace(still, patience=2, averaging=0.0))
    assert len(result.epochs) < 50
    assert len(result.epochs) == result.best_epoch + 2


def test_a_teacher_and_photographs_without_names(config: TrainingConfig, tmp_path: Path) -> None:
    network = create("tiny", embedding_size=16, seed=3)
    teacher = tmp_path / "teacher.safetensors"
    write_tensors(teacher, network.state_dict(), weights_metadata(network.spec))
    config = replace(
        config,
        data=replace(config.data, unlabelled=config.data.folder / "person_00"),
        teacher=teacher,
        losses=(
            LossConfig(name=LossName.DISTILL),
            LossConfig(name=LossName.RELATIONAL, weight=0.5),
            LossConfig(name=LossName.TRIPLET, weight=0.1),
        ),
        batch=BatchConfig(people=4, photographs=2, sampling=Sampling.PHOTOGRAPHS),
        epochs=8,
    )
    result = train(config)
    first, last = result.epochs[0].losses, result.epochs[-1].losses
    assert set(first) == {"distill", "relational", "triplet"}
    assert last["distill"] < 0.7 * first["distill"]
    says = read_metadata(result.weights)
    assert says["training_data"].endswith("taught by teacher.safetensors")
    assert "4 photographs without names" in says["training_data"]
    assert says["objective"] == "1 distill + 0.5 relational + 0.1 triplet"


def test_half_precision_trains_and_saves_whole_numbers(config: TrainingConfig) -> None:
    result = train(replace(config, precision=Precision.BF16, channels_last=False))
    assert load_backbone(None, weights=result.weights).backbone.fc.weight.dtype == torch.float32


@pytest.mark.parametrize("name", list(LossName))
def test_every_loss_trains(config: TrainingConfig, tmp_path: Path, name: LossName) -> None:
    network = create("tiny", embedding_size=20, seed=3)
    teacher = tmp_path / "teacher.safetensors"
    write_tensors(teacher, network.state_dict(), weights_metadata(network.spec))
    result = train(
        replace(
            config,
            losses=(LossConfig(name=name, taps=("only",) if name in OF_VIEWS else ()),),
            teacher=teacher if name.needs_teacher else None,
            targets=Targets.VIEWS if name in OF_VIEWS else Targets.PHOTOGRAPHS,
            epochs=1,
        )
    )
    assert math.isfinite(result.epochs[0].train_loss)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"batch": BatchConfig(people=8, photographs=2)}, DatasetError),
        ({"metric": Metric.TAR}, DatasetError),
        ({"backbone": "resnot"}, ArgumentError),
        ({"device": "gpu"}, ArgumentError),
        ({"teacher": Path("missing.safetensors")}, ArgumentError),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    config: TrainingConfig, changes: dict[str, object], kind: type[AppError]
) -> None:
    with pytest.raises(kind) as caught:
        train(replace(config, **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not config.out.exists()


def test_a_folder_that_cannot_be_made_is_refused(config: TrainingConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError):
        train(replace(config, out=tmp_path / "file" / "run"))


def test_the_pair_unit_is_kept_fitted_to_people_kept_out(config: TrainingConfig) -> None:
    pair = (LossConfig(name=LossName.PAIR),)
    result = train(
        replace(config, losses=pair, epochs=6, data=replace(config.data, split=(1, 1, 0)))
    )
    loaded = load_backbone(None, weights=result.weights)
    assert loaded.pair is not None
    held_out = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first, other = FaceEmbedder(loaded).embed(held_out)
    assert loaded.pair.value(first, first) > loaded.pair.value(first, other)
    assert loaded.pair.value(first, first) > 0
    without = train(replace(config, out=config.out.with_name("other"), epochs=1))
    assert load_backbone(None, weights=without.weights).pair is None
