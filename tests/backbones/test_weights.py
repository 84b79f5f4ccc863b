import dataclasses
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from backbones import registry
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import download_weights, find_weights, load_backbone, resolve_device
from data.errors import ArgumentError, WeightsError
from data.files import sha256_of
from data.tensors import read_tensors, write_tensors


@pytest.fixture(scope="module")
def network() -> Backbone:
    """A small MobileFaceNet, for quick files."""
    return create("mobilefacenet", input_size=(32, 16), embedding_size=8, seed=0)


@pytest.fixture
def weights_file(network: Backbone, tmp_path: Path) -> Path:
    """Its weights, with a threshold."""
    path = tmp_path / "small.safetensors"
    metadata = weights_metadata(
        network.spec, mirror=True, threshold=0.25, threshold_provenance="a test"
    )
    write_tensors(path, network.state_dict(), metadata)
    return path


def test_the_file_alone_says_what_it_is(network: Backbone, weights_file: Path) -> None:
    loaded = load_backbone(None, weights=weights_file)
    assert loaded.backbone.spec == network.spec
    assert (loaded.input_size, loaded.alignment) == ((32, 16), Alignment.FIVE_POINT)
    assert (loaded.threshold, loaded.threshold_provenance) == (0.25, "a test")
    assert loaded.mirror
    assert loaded.weights.sha256 == sha256_of(weights_file)
    assert loaded.weights.architecture == "mobilefacenet"
    images = torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded.backbone(images), network(images), rtol=1e-3, atol=1e-3)


def test_loaded_weights_are_frozen_in_eval_mode_and_whole(weights_file: Path) -> None:
    backbone = load_backbone("mobilefacenet", weights=weights_file).backbone
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    assert not any(tensor.is_meta for tensor in (*backbone.parameters(), *backbone.buffers()))


def test_the_teacher_is_read_with_its_threshold(teacher_weights: Path) -> None:
    loaded = load_backbone(None, weights=teacher_weights)
    assert loaded.backbone.spec.name == "mobilefacenet"
    assert loaded.backbone.spec.dimension == 128
    assert loaded.input_size == (112, 96)
    assert loaded.threshold == 0.267
    assert "LFW" in (loaded.threshold_provenance or "")
    assert loaded.mirror


def test_a_file_that_says_nothing_needs_a_name(network: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    write_tensors(path, create("vgg19_quarter", seed=0).state_dict(), {"arch": "VGG, smaller"})
    with pytest.raises(WeightsError, match=r"does not say.*--model"):
        load_backbone(None, weights=path)
    loaded = load_backbone("vgg19_quarter", weights=path)
    assert (loaded.threshold, loaded.mirror) == (None, False)


def test_neither_a_name_nor_a_file_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="--model or --weights"):
        load_backbone(None)


def test_with_none_at_hand_one_line_says_what_to_fetch_and_where_to_put_it(home: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_backbone("vgg19")
    message = str(caught.value)
    assert "likeness models download vgg19" in message
    assert str(home / "weights" / "vgg19.safetensors") in message
    assert "\n" not in message
    with pytest.raises(WeightsError) as caught:
        load_backbone("mobilefacenet")
    assert "download" not in str(caught.value)
    assert not home.exists()


def test_an_unknown_network_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="choose from"):
        load_backbone("vgg20")


# --- files that are not what they should be --------------------------------------------------


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def _pickle(good: Path) -> bytes:
    return pickle.dumps(_Payload(good.parent / "executed"))


def _zipped_pickle(good: Path) -> bytes:
    path = good.parent / "zipped"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _pickle(good))
    return path.read_bytes()


def _old_pickle(good: Path) -> bytes:
    return pickle.dumps(_Payload(good.parent / "executed"), protocol=0)


def _cut(share: float) -> Callable[[Path], bytes]:
    return lambda good: good.read_bytes()[: int(good.stat().st_size * share)]


def _large_header(good: Path) -> bytes:
    return struct.pack("<Q", 100_000_000) + b"{" + b" " * 1_000_000


def _html(good: Path) -> bytes:
    return b"<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "damage",
    [
        _pickle,
        _zipped_pickle,
        _old_pickle,
        *map(_cut, (0.0, 0.000001, 0.001, 0.5, 0.99)),
        _large_header,
        _html,
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused_in_one_line(
    weights_file: Path, damage: Callable[[Path], bytes], suffix: str
) -> None:
    bad = weights_file.with_name(f"bad{suffix}")
    bad.write_bytes(damage(weights_file))
    for name in (None, "mobilefacenet"):
        with pytest.raises(WeightsError) as caught:
            load_backbone(name, weights=bad)
        assert "\n" not in str(caught.value)
    assert not (weights_file.parent / "executed").exists()


def _rewritten(path: Path, change: dict[str, str]) -> Path:
    file = read_tensors(path)
    changed = path.with_name("changed.safetensors")
    write_tensors(changed, file.tensors, file.metadata | change)
    return changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "resnet18"}, "does not fit resnet18"),
        ({"architecture": "frobnicator"}, "no backbone is named 'frobnicator'"),
        ({"input_size": "112x112"}, r"linear7.conv.weight has the shape"),
        ({"input_size": "100x100"}, "multiple of 16"),
        ({"embedding": "512"}, r"linear1.* has the shape"),
        ({"threshold": "7"}, "threshold"),
        ({"alignment": "upside down"}, "alignment"),
    ],
)
def test_metadata_that_do_not_fit_the_tensors_are_refused(
    weights_file: Path, change: dict[str, str], reason: str
) -> None:
    changed = _rewritten(weights_file, change)
    with pytest.raises(WeightsError, match=reason) as caught:
        load_backbone(None, weights=changed)
    assert "changed.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_by_name(weights_file: Path) -> None:
    with pytest.raises(WeightsError, match="holds weights of mobilefacenet, expected resnet18"):
        load_backbone("resnet18", weights=weights_file)


# --- downloads -------------------------------------------------------------------------------


@pytest.fixture
def offered(
    publish: Callable[[bytes], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, torch.Tensor]], Any]:
    """Have SqueezeNet's weights published on this machine, whatever they are."""

    def offer(state: dict[str, torch.Tensor]) -> Any:
        path = tmp_path / "as published"
        torch.save(state, path)  # what publishers do
        content = path.read_bytes()
        publisher = publish(content)
        spec, builder = registry._entry("squeezenet1_0")
        source = dataclasses.replace(
            spec.weights[0],
            url=publisher.url,
            sha256=sha256_of(content),
            size=len(content),
            short_digest=None,
        )
        changed = dataclasses.replace(spec, weights=(source,))
        monkeypatch.setitem(registry._registered, "squeezenet1_0", (changed, builder))
        return publisher

    return offer


def _published_squeezenet() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return models.squeezenet1_0(weights=None).state_dict()


def test_a_download_is_kept_as_safetensors_without_the_classifier(
    offered: Callable[[dict[str, torch.Tensor]], Any], home: Path
) -> None:
    state = _published_squeezenet()
    publisher = offered(state)
    told: list[tuple[int, int]] = []
    file = download_weights("squeezenet1_0", progress=lambda *now: told.append(now))
    assert file.path == home / "weights" / "squeezenet1_0.safetensors"
    assert [path.name for path in file.path.parent.iterdir()] == ["squeezenet1_0.safetensors"]
    assert home.stat().st_mode & 0o077 == 0
    assert told[-1][0] == told[-1][1] == len(publisher.content)
    assert file.metadata["source"] == publisher.url
    assert file.metadata["source_sha256"] == sha256_of(publisher.content)
    assert file.metadata["training_data"] == "ImageNet-1K"
    assert not any("classifier" in key for key in read_tensors(file.path).tensors)
    loaded = load_backbone("squeezenet1_0")
    assert loaded.weights == file
    assert loaded.threshold is None
    torch.testing.assert_close(
        loaded.backbone.get_parameter("convolutions.0.weight"), state["features.0.weight"]
    )


def test_a_checked_file_of_another_network_is_not_kept(
    offered: Callable[[dict[str, torch.Tensor]], Any], home: Path
) -> None:
    offered(_published_squeezenet() | {"features.12.squeeze.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="has the shape"):
        download_weights("squeezenet1_0")
    assert find_weights("squeezenet1_0") is None


def test_a_failed_download_leaves_what_is_at_hand(
    offered: Callable[[dict[str, torch.Tensor]], Any], home: Path
) -> None:
    publisher = offered(_published_squeezenet())
    first = download_weights("squeezenet1_0")
    publisher.status = 500
    with pytest.raises(WeightsError, match="500"):
        download_weights("squeezenet1_0")
    assert find_weights("squeezenet1_0") == first


def test_what_nobody_publishes_cannot_be_fetched(home: Path) -> None:
    with pytest.raises(WeightsError, match="nobody publishes weights for mobilefacenet"):
        download_weights("mobilefacenet")
    with pytest.raises(ArgumentError, match="choose from"):
        download_weights("vgg20")
    assert not home.exists()


# --- devices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "gpu", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_devices(asked: str, gpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert resolve_device(asked).type == expected


@pytest.mark.parametrize("asked", ["cuda", "gpu", ""])
def test_a_device_that_is_not_there_is_never_replaced_silently(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="cpu"):
        resolve_device(asked)
