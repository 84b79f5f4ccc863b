from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backbones.metadata import weights_metadata
from backbones.registry import create
from backbones.spec import Attention
from backbones.weights import initialise, load_backbone
from data.errors import ArgumentError, WeightsError
from data.files import sha256_of
from data.tensors import read_metadata, read_tensors, write_tensors
from recognition.learning.config import TrainingConfig
from recognition.learning.reports import EpochReport
from recognition.learning.trainer import train
from recognition.learning.transfer import freeze_stages, initial_weights

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A tiny network of another embedding size: its head cannot be taken over."""
    network = create("tiny", embedding_size=10, seed=9)
    path = tmp_path / "pretrained.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


def test_trunk_and_head_share_out_the_state() -> None:
    network = create("mobilefacenet", seed=0)
    trunk = network.trunk_keys()
    head = network.state_dict().keys() - trunk
    assert trunk < network.state_dict().keys()
    assert {key.partition(".")[0] for key in head} == {"linear7", "linear1"}


def test_the_trunk_is_taken_and_a_head_that_does_not_fit_is_not(pretrained: Path) -> None:
    network = create("tiny", embedding_size=16, seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert initialise(network, pretrained) is False
    given, after = read_tensors(pretrained).tensors, network.state_dict()
    assert torch.equal(after["conv.weight"], given["conv.weight"])
    assert torch.equal(after["fc.weight"], before["fc.weight"])
    whole = create("tiny", embedding_size=10, seed=1)
    assert initialise(whole, pretrained) is True
    assert all(torch.equal(value, given[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "nan", "normalisation", "other network"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: str) -> None:
    network = create("tiny", embedding_size=16, seed=1)
    state, says = network.state_dict(), weights_metadata(network.spec)
    if change == "missing":
        del state["conv.weight"]
    if change == "nan":
        state["conv.weight"] = state["conv.weight"] * torch.nan
    if change == "normalisation":
        says["normalisation"] = "RGB, mean 0 0 0, std 1 1 1"
    if change == "other network":
        says["architecture"] = "mobilefacenet"
    path = tmp_path / "bad.safetensors"
    write_tensors(path, state, says)
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        initialise(create("tiny", embedding_size=16, seed=2), path)


@pytest.mark.parametrize(("epoch", "frozen"), [(1, 5), (2, 5), (3, 4), (10, 1), (11, 0), (40, 0)])
def test_stages_are_let_go_from_the_output_on(epoch: int, frozen: int) -> None:
    network = create("mobilefacenet", seed=0).train().requires_grad_(True)
    assert freeze_stages(network, epoch, every=2) == frozen
    learning = {name.partition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert {"linear7", "linear1"} <= learning
    assert ("conv2" in learning) == (frozen < 5)
    assert ("conv1" in learning) == (frozen == 0)
    assert network.conv1.bn.training == (frozen == 0)


def test_a_frozen_stage_keeps_weights_and_statistics(
    config: TrainingConfig, pretrained: Path
) -> None:
    run = replace(config, init=pretrained, freeze=2, epochs=2)
    result = train(run)
    given, trained = (read_tensors(path).tensors for path in (pretrained, result.weights))
    for key in ("conv.weight", "bn.weight", "bn.running_mean"):
        assert torch.equal(trained[key], given[key])
    assert read_metadata(result.weights)["source"] == "likeness train, from pretrained.safetensors"
    free = train(replace(run, out=config.out.with_name("free"), epochs=3))
    last = read_tensors(free.out / "last.safetensors").tensors
    assert not torch.equal(last["conv.weight"], given["conv.weight"])
    assert not torch.equal(last["bn.running_mean"], given["bn.running_mean"])


def test_an_interrupted_run_begins_with_the_same_weights_or_not_at_all(
    config: TrainingConfig, pretrained: Path
) -> None:
    train(replace(config, init=pretrained, epochs=1))
    network = create("tiny", embedding_size=10, seed=11)
    write_tensors(pretrained, network.state_dict(), weights_metadata(network.spec))
    with pytest.raises(Exception, match="other settings or photographs"):
        train(replace(config, init=pretrained, epochs=1))


def test_freezing_random_weights_is_refused(config: TrainingConfig, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="give weights to init"):
        replace(config, freeze=2)
    with pytest.raises(ArgumentError, match="nowhere"):
        train(replace(config, init=tmp_path / "nowhere.safetensors"))
    assert not config.out.exists()


def test_dropout_changes_training_alone(config: TrainingConfig) -> None:
    plain = train(config)
    dropped = train(replace(config, dropout=0.5, out=config.out.with_name("dropped")))
    assert plain.epochs[0].train_loss != dropped.epochs[0].train_loss
    network = create("tiny", embedding_size=16, seed=0)
    images = torch.rand(2, 3, 112, 112)
    assert torch.equal(network.embedding(images), network.embedding(images))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ("tiny", "put a safetensors file at"),
        ("resnet50", "likeness models download resnet50"),
    ],
)
def test_a_name_without_weights_says_how_to_get_them(
    config: TrainingConfig, backbone: str, words: str
) -> None:
    run = replace(config, backbone=backbone, init=Path(backbone))
    with pytest.raises(WeightsError, match=f"no weights for {backbone} at hand.*--init") as caught:
        initial_weights(run)
    assert words in str(caught.value)


def test_another_networks_name_and_a_missing_file_are_told_apart(config: TrainingConfig) -> None:
    with pytest.raises(ArgumentError, match="init names the network squeezenet1_0"):
        initial_weights(replace(config, init=Path("squeezenet1_0")))
    with pytest.raises(ArgumentError, match="no-such-file"):
        initial_weights(replace(config, init=Path("no-such-file")))


@pytest.mark.parametrize("way", ["interrupted", "begun with", "another run's state"])
def test_a_run_goes_on_with_attention_where_its_weights_have_it(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Whatever map the present version finds too large for attention."""
    run = replace(
        config,
        backbone="staged",
        attention=Attention.NON_LOCAL,
        averaging=0.9,
        epochs=2,
    )

    def stop(report: EpochReport) -> None:
        raise KeyboardInterrupt

    whole = train(replace(run, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(run, stop)
    trained = read_tensors(whole.weights).tensors
    monkeypatch.setattr("backbones.blocks.attention.MOST_PLACES", 100)
    if way == "interrupted":
        again = train(run)
    elif way == "another run's state":
        again = train(replace(run, out=tmp_path / "other"), begin=run.out)
    else:
        again = train(replace(run, out=tmp_path / "other", init=whole.weights))
    found = read_tensors(again.weights).tensors
    assert found.keys() == trained.keys()
    if way != "begun with":
        assert sha256_of(again.weights) == sha256_of(whole.weights)
    fresh = create(run.backbone, attention=run.attention, seed=0)
    assert list(fresh.attention) == ["third"]
    assert set(fresh.state_dict()) < set(trained)
    assert load_backbone(None, weights=again.weights).backbone.state_dict().keys() == found.keys()
