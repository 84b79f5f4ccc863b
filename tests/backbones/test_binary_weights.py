"""Files whose filters are bits: what is read computes what was written, bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from backbones.binary_weights import METADATA_KEY, pack_filters, unpack_filters
from backbones.blocks.binary import BinaryConv2d, sign
from backbones.compression.file import Compression, Method
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import create
from backbones.weights import compress_weights, load_backbone, weights_file
from data.errors import WeightsError
from data.tensors import read_tensors, write_tensors

MEMBERS = ("xnor_vgg_small", "bwn_vgg_small", "xnor_resnet18", "bwn_resnet18")


def _network(name: str) -> Backbone:
    network = create(name, seed=0).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
        if isinstance(module, BinaryConv2d):
            module.weight[0, 0] = 0  # a zero counts as above
            module.weight[1] = 0.25  # all alike, but for a last one of no size
            module.weight[2] = 0
    return network


def _write(network: Backbone, path: Path) -> Path:
    write_tensors(
        path, *pack_filters(network, network.state_dict(), weights_metadata(network.spec))
    )
    return path


@pytest.mark.parametrize("name", MEMBERS)
def test_a_loaded_network_computes_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    network = _network(name)
    path = _write(network, tmp_path / "bits.safetensors")
    loaded = load_backbone(None, weights=path).backbone.to(memory_format=torch.contiguous_format)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(images), network(images))
    # The float emulation: every filter written out as α B by hand.
    twin = create(name, seed=0).requires_grad_(False)
    twin.load_state_dict(network.state_dict())
    for module in twin.modules():
        if isinstance(module, BinaryConv2d):
            module.weight.copy_(module.scales() * sign(module.weight))
    assert torch.equal(loaded(images), twin(images))
    again = _write(loaded, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_a_number_takes_a_bit_and_a_filter_one_float(tmp_path: Path) -> None:
    network = _network("xnor_vgg_small")
    held = read_tensors(_write(network, tmp_path / "bits.safetensors")).tensors
    layers = {n: m for n, m in network.named_modules() if isinstance(m, BinaryConv2d)}
    assert len(layers) == 5
    for name, layer in layers.items():
        bits, scales = held[f"{name}.weight/bits"], held[f"{name}.weight/scales"]
        assert bits.numel() * bits.element_size() == layer.weight.numel() / 8
        assert (scales.dtype, scales.numel()) == (torch.float32, layer.out_channels)
        assert f"{name}.weight" not in held
    plain = tmp_path / "plain.safetensors"
    write_tensors(plain, network.state_dict(), weights_metadata(network.spec))
    assert (tmp_path / "bits.safetensors").stat().st_size < plain.stat().st_size / 25


def test_other_networks_are_written_as_they_are() -> None:
    network = create("squeezenet1_1", seed=0)
    tensors, fields = pack_filters(network, network.state_dict(), {"a": "b"})
    assert fields == {"a": "b"}
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    assert unpack_filters(tensors, fields, "a file") == tensors


def test_bits_can_be_compressed_further(tmp_path: Path) -> None:
    path = _write(_network("bwn_vgg_small"), tmp_path / "bits.safetensors")
    wanted = Compression(methods=frozenset({Method.QUANTIZE}), bits=1)
    small = compress_weights(weights_file(path, None), tmp_path / "small.safetensors", wanted)
    assert METADATA_KEY not in small.file.metadata
    assert load_backbone(None, weights=small.file.path).backbone.spec.name == "bwn_vgg_small"


@pytest.mark.parametrize(
    "field",
    [
        "no JSON",
        "[]",
        "[" * 100_000,
        json.dumps({"conv2.1.weight": [128, 128, 3, 4]}),
        json.dumps({"conv2.1.weight": [-128, 128, 3, 3]}),
        json.dumps({"conv2.1.weight": [2**70, 128, 3, 3]}),
        json.dumps({"nowhere": [4, 4]}),
        json.dumps({"conv1.0.weight": [128, 3, 3, 3]}),
    ],
)
def test_damaged_descriptions_of_bits_are_refused_in_one_line(field: str, tmp_path: Path) -> None:
    network = _network("xnor_vgg_small")
    tensors, fields = pack_filters(network, network.state_dict(), weights_metadata(network.spec))
    path = tmp_path / "bits.safetensors"
    write_tensors(path, tensors, fields | {METADATA_KEY: field})
    with pytest.raises(WeightsError, match="bits") as caught:
        load_backbone(None, weights=path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
