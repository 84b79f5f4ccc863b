from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backbones.catalogue import describe
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import available, create, spec_of
from data.errors import ArgumentError
from data.tensors import write_tensors


@pytest.mark.parametrize("name", available())
def test_parameters_are_as_many_as_the_network_has(
    name: str, home: Path, shapes_of: Callable[[str], Backbone]
) -> None:
    description = describe(name)
    assert description.parameters == sum(p.numel() for p in shapes_of(name).parameters())
    assert description.spec.name == name
    assert (description.weights, description.problem) == (None, None)
    assert description.expected_at == home / "weights" / f"{name}.safetensors"
    assert not home.exists()


def test_weights_that_are_there_are_shown(tmp_path: Path) -> None:
    network = create("squeezenet1_0", seed=0)
    path = tmp_path / "weights" / "squeezenet1_0.safetensors"
    path.parent.mkdir()
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    description = describe("squeezenet1_0", home=tmp_path)
    assert description.weights is not None
    assert description.weights.path == path


def test_weights_that_cannot_be_used_are_shown_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "squeezenet1_0.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    description = describe("squeezenet1_0", home=tmp_path)
    assert description.weights is None
    assert "no safetensors file" in (description.problem or "")


def test_parameters_that_a_spec_does_not_say_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("squeezenet1_1")
    uncounted = replace(spec, parameters=None)
    monkeypatch.setattr("backbones.catalogue.spec_of", lambda name: uncounted)
    assert describe("squeezenet1_1").parameters == spec.parameters


def test_describing_does_not_disturb_the_default_device(home: Path) -> None:
    describe("mobilefacenet")
    assert torch.zeros(1).device.type == "cpu"


def test_an_unknown_network_is_told_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="choose from"):
        describe("vgg20")
