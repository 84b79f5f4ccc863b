"""Compressed files: read back exactly, used like any weights, refused where they are damaged."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.compression.file import METADATA_KEY, Compression, Method, compress, expand
from backbones.dlib_file import SHA256, installed_file
from backbones.metadata import weights_metadata
from backbones.places import find_weights, weights_file
from backbones.registry import create
from backbones.weights import compress_weights, load_backbone, relative_change
from data.errors import ArgumentError, WeightsError
from data.tensors import read_metadata, read_tensors, write_tensors
from ui.cli.main import main

WAYS = [
    frozenset(chosen)
    for size in (1, 2, 3)
    for chosen in combinations((Method.PRUNE, Method.QUANTIZE, Method.HUFFMAN), size)
    if set(chosen) != {Method.HUFFMAN}
]
OTHER_WAYS = [
    frozenset(chosen)
    for chosen in ({Method.SVD}, {Method.PQ}, {Method.PQ, Method.HUFFMAN}, {Method.HASH})
]


def way(methods: frozenset[Method]) -> str:
    return "+".join(sorted(methods))


def some_tensors() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "conv.weight": torch.randn(16, 8, 3, 3, generator=draw),
        "odd.weight": torch.randn(7, 331, generator=draw) * torch.logspace(-3, 2, 7)[:, None],
        "half.weight": torch.randn(40, 30, generator=draw).half(),
        "one.weight": torch.full((32, 64), 0.25),
        "zero.weight": torch.zeros(32, 64),
        "conv.bias": torch.randn(16, generator=draw),
        "small.weight": torch.randn(3, 3, generator=draw),
        "count": torch.tensor(7),
    }
    tensors["odd.weight"][3] = 0  # a filter that was never used
    return tensors


@pytest.mark.parametrize("methods", WAYS, ids=way)
@pytest.mark.parametrize("bits", [1, 5, 8])
def test_what_is_read_is_what_each_way_promises(methods: frozenset[Method], bits: int) -> None:
    tensors = some_tensors()
    compression = Compression(methods=methods, bits=bits, sparsity=0.7)
    parts, text = compress(tensors, compression)
    back = expand(parts, {METADATA_KEY: text}, "a file")
    assert back.keys() == tensors.keys()
    for name in ("conv.bias", "small.weight", "count"):
        assert torch.equal(back[name], tensors[name])  # as it was
    for name in ("conv.weight", "odd.weight", "half.weight", "one.weight", "zero.weight"):
        whole, found = tensors[name].float(), back[name]
        assert found.dtype == torch.float32
        assert found.shape == whole.shape
        size = whole.numel()
        if Method.PRUNE in methods:
            assert (found != 0).sum() <= size - round(size * 0.7)
            kept = found != 0
        else:
            kept = torch.ones_like(found, dtype=torch.bool)
        if Method.QUANTIZE in methods:
            rows = (whole.double() ** 2).reshape(len(whole), -1).mean(1).sqrt()
            rows[rows == 0] = 1
            shared = (found.double().reshape(len(whole), -1) / rows[:, None]).reshape(-1)
            values = np.unique(np.round(shared[kept.reshape(-1)].numpy(), 4))
            assert len(values) <= 2**bits + 1
        else:
            assert torch.equal(found[kept], whole[kept])
    again = expand(*map(dict, (parts, {METADATA_KEY: text})), "a file")
    assert all(torch.equal(again[name], back[name]) for name in back)


def test_more_bits_come_nearer_and_huffman_changes_nothing_but_the_size() -> None:
    tensors = {"a.weight": torch.randn(64, 256, generator=torch.Generator().manual_seed(1))}

    def tried(bits: int, *methods: Method) -> tuple[float, int, Tensor]:
        parts, text = compress(tensors, Compression(methods=frozenset(methods), bits=bits))
        back = expand(parts, {METADATA_KEY: text}, "a file")["a.weight"]
        size = sum(part.numel() * part.element_size() for part in parts.values())
        return float((back - tensors["a.weight"]).norm()), size, back

    errors = [tried(bits, Method.QUANTIZE)[0] for bits in range(1, 9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * float(tensors["a.weight"].norm())
    _, packed, plain = tried(6, Method.QUANTIZE)
    _, shorter, coded = tried(6, Method.QUANTIZE, Method.HUFFMAN)
    assert torch.equal(plain, coded)
    assert shorter < packed
    assert packed == pytest.approx(64 * 256 * 6 / 8, rel=0.1)


def test_gaps_longer_than_a_symbol_are_filled() -> None:
    weight = torch.zeros(4, 5000)
    weight[0, 0], weight[0, 4999], weight[2, 255], weight[3, 4998] = 1.0, 2.0, -3.0, 4.0
    compression = Compression(methods=frozenset({Method.PRUNE}), sparsity=1 - 4 / weight.numel())
    parts, text = compress({"a": weight}, compression)
    assert torch.equal(expand(parts, {METADATA_KEY: text}, "a file")["a"], weight)


@pytest.mark.parametrize("methods", [{Method.PRUNE}, {Method.PRUNE, Method.QUANTIZE}])
def test_of_each_tensor_one_number_stays_whatever_is_pruned(methods: set[Method]) -> None:
    weight = torch.randn(32, 32, generator=torch.Generator().manual_seed(2))
    compression = Compression(methods=frozenset(methods), sparsity=0.9999)
    parts, text = compress({"a": weight}, compression)
    back = expand(parts, {METADATA_KEY: text}, "a file")["a"]
    assert int((back != 0).sum()) == 1


def test_zeros_at_the_end_are_written_too() -> None:
    weight = torch.zeros(4, 5000)
    weight[0, 7] = 1.0
    compression = Compression(methods=frozenset({Method.PRUNE}), sparsity=0.99999)
    parts, text = compress({"a": weight}, compression)
    assert torch.equal(expand(parts, {METADATA_KEY: text}, "a file")["a"], weight)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = create("mobilefacenet", input_size=(32, 16), embedding_size=8, seed=3)
    path = tmp_path / "net.safetensors"
    metadata = weights_metadata(
        network.spec, mirror=True, threshold=0.3, threshold_provenance="a test", licence="MIT"
    ) | {"impostor_tail": "{}", "pair_limits": "0.01 2.31"}
    write_tensors(path, network.state_dict(), metadata)
    return path


def test_a_compressed_file_is_used_like_any(weights: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    compression = Compression(methods=frozenset({Method.QUANTIZE, Method.HUFFMAN}), bits=8)
    written = compress_weights(weights_file(weights, None), small, compression).file
    assert small.stat().st_size < 0.5 * weights.stat().st_size
    before, after = (load_backbone(None, weights=path) for path in (weights, small))
    assert (after.threshold, after.tail) == (None, None)  # measured with other numbers
    assert "pair_limits" not in written.metadata
    assert (after.mirror, after.input_size) == (before.mirror, before.input_size)
    assert written.metadata["compressed_from"] == before.weights.sha256
    assert written.metadata["licence"] == "MIT"
    assert "compression_settings" not in written.metadata  # as in files of before
    images = torch.rand(3, 3, 32, 16, generator=torch.Generator().manual_seed(4))
    one, other = before.backbone.embedding(images), after.backbone.embedding(images)
    assert torch.cosine_similarity(one, other).min() > 0.99
    assert 0.001 < relative_change(before.weights, written) < 0.03  # though counts are large


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (Method.SVD, "energy 0.9"),
        (Method.PQ, "centroids 256, seed 0"),
        (Method.HASH, "ratio 0.25, seed 0"),
    ],
)
def test_a_file_says_by_which_numbers_it_was_made(
    tmp_path: Path, method: Method, settings: str
) -> None:
    network, weights = create("lenet5", seed=3), tmp_path / "net.safetensors"
    write_tensors(weights, network.state_dict(), weights_metadata(network.spec))
    small, wanted = tmp_path / "small.safetensors", Compression(methods=frozenset({method}))
    made = compress_weights(weights_file(weights, None), small, wanted).file
    assert made.metadata["compressed_by"] == method
    assert made.metadata["compression_settings"] == settings


def test_nothing_is_compressed_twice_or_over_itself(weights: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    compression = Compression(methods=frozenset({Method.QUANTIZE}))
    written = compress_weights(weights_file(weights, None), small, compression).file
    with pytest.raises(WeightsError, match="compressed already"):
        compress_weights(written, tmp_path / "smaller.safetensors", compression)
    with pytest.raises(ArgumentError, match="the weights themselves"):
        compress_weights(weights_file(weights, None), weights, compression)
    with pytest.raises(WeightsError, match="not finite"):
        compress({"a": torch.full((40, 40), float("nan"))}, compression)


def damage(text: str, parts: dict[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """The same file, damaged or hostile in many ways."""
    said = json.loads(text)

    texts = [
        "", "[]", "{}", "null", '{"version": 3, "tensors": {}}', '{"version": 1, "tensors": []}',
        '{"version": 1, "tensors": {"a": 3}}',
    ]  # fmt: skip
    wrong: dict[str, list[Any]] = {
        "shape": [[], [2**39, 2**39], [-1, 4], [True, 4], "32", [0, 80]],
        "numbers": [10**30, 1, None, -1, 2.5],
        "gaps": [0, "x", 2**39],
        "seed": [-1, 2**31, "0", None, True],
        "form": ["knots", 3, []],
    }
    for key, values in wrong.items():
        for name, one in said["tensors"].items():
            texts += [
                json.dumps(said | {"tensors": {name: one | {key: value}}})
                for value in values
                if key in one
            ]
    without = [
        {other: part for other, part in parts.items() if other != name}
        for name in parts
        if "/" in name
    ]
    typed = [{**parts, name: parts[name].double()} for name in parts if name.endswith("/codes")]
    shaped = [
        {**parts, name: made}
        for name in parts
        if name.endswith(("/codebook", "/left", "/right", "/buckets"))
        for made in (parts[name][..., :0], parts[name][:0], parts[name].flatten()[None, None])
    ]
    cut = [{**parts, name: parts[name][:1]} for name in parts if "/" in name]
    return [(text, parts) for text in texts] + [
        (text, other) for other in without + typed + shaped + cut
    ]


@pytest.mark.parametrize("methods", WAYS + OTHER_WAYS, ids=way)
def test_what_is_damaged_is_refused_in_one_line(methods: frozenset[Method]) -> None:
    tensors = {"conv.weight": torch.randn(16, 80, generator=torch.Generator().manual_seed(5))}
    parts, text = compress(tensors, Compression(methods=methods))
    for other, altered in damage(text, parts):
        with pytest.raises(WeightsError, match=r"^net: ") as caught:
            expand(altered, {METADATA_KEY: other}, "net")
        assert "\n" not in str(caught.value)


HOSTILE = {
    "no vectors' length": (
        {"form": "product", "shape": [40, 40], "numbers": 40},
        {"codebook": (4, 0), "scale": (40,)},
    ),
    "one number for all weights": (
        {"form": "hashed", "shape": [2**14, 2**14], "numbers": 1, "seed": 0},
        {"buckets": (1,)},
    ),
    "a few numbers for very many weights": (
        {"form": "hashed", "shape": [2**10, 2**12, 8, 8], "numbers": 2000, "seed": 0},
        {"buckets": (2000,)},
    ),
    "a product over nothing": (
        {"form": "low_rank", "shape": [2**12, 2**12]},
        {"left": (2**12, 0), "right": (0, 2**12)},
    ),
    "values at places that are not written": (
        {"shape": [2**14, 2**14], "numbers": 1, "gaps": 1, "shared": False},
        {"values": (1,)},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_few_bytes_are_no_tensor_of_any_size(name: str) -> None:
    described, shapes = HOSTILE[name]
    parts = {f"a/{part}": torch.ones(shape) for part, shape in shapes.items()}
    text = json.dumps({"version": 2, "tensors": {"a": described}})
    with pytest.raises(WeightsError, match=r"^net: a compressed tensor"):
        expand(parts, {METADATA_KEY: text}, "net")


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError, OverflowError])
def test_what_reading_cannot_do_is_damage(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    parts, text = compress(some_tensors(), Compression(methods=frozenset({Method.HASH})))
    monkeypatch.setattr("backbones.compression.file.hashed_places", fail)
    with pytest.raises(WeightsError, match="net: a compressed tensor is cut off or damaged"):
        expand(parts, {METADATA_KEY: text}, "net")


@pytest.mark.parametrize("numbers", [1024, 1025, 1535, 2047, 4096, 5001])
def test_what_the_least_ratio_writes_can_be_read(numbers: int) -> None:
    weight = torch.randn(1, numbers, generator=torch.Generator().manual_seed(6))
    compression = Compression(methods=frozenset({Method.HASH}), ratio=1 / 1024)
    parts, text = compress({"a": weight}, compression)
    assert expand(parts, {METADATA_KEY: text}, "a file")["a"].shape == weight.shape


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--method", "huffman"], "name prune, quantize, svd"),
        (["--method", "zip"], "choose from prune, quantize, huffman, svd, pq, hash"),
        (["--method", "svd,pq"], "do not go together"),
        (["--method", "quantize,hash"], "do not go together"),
        (["--method", "svd,huffman"], "no codes that huffman could shorten"),
        (["--method", "svd", "--energy", "0"], "energy is 0.0; expected above 0"),
        (["--method", "svd", "--energy", "1"], "makes no tensor smaller"),
        (["--method", "svd", "--rank", "4000"], "makes no tensor smaller"),
        (["--method", "svd", "--rank", "0"], "greater than or equal to 1"),
        (["--method", "pq", "--centroids", "5000"], "less than or equal to 4096"),
        (["--method", "pq", "--length", "0"], "greater than or equal to 1"),
        (["--method", "hash", "--ratio", "1"], "makes no tensor smaller"),
        (["--method", "hash", "--ratio", "nan"], "ratio"),
        (["--method", "hash", "--ratio", "0.0009"], "ratio is 0.0009; expected 1/1024 to 1"),
        (["--steps", "200"], "--steps is for training: give --photographs DIR"),
        (["--batch-size", "8"], "--batch-size is for training"),
        (["--rate", "0.001"], "--rate is for training"),
        (["--seed", "0"], "--seed is for hash and pq, and for training by --photographs DIR"),
        (["--method", "prune", "--bits", "8"], "--bits is for quantize, and --method is prune"),
        (["--sparsity", "0.5"], "--sparsity is for prune, and --method is huffman,quantize"),
        (["--method", "pq", "--energy", "0.9"], "--energy is for svd, and --method is pq"),
        (["--rank", "4"], "--rank is for svd"),
        (["--method", "hash", "--centroids", "16"], "--centroids is for pq"),
        (["--method", "svd", "--length", "4"], "--length is for pq"),
        (["--method", "prune,quantize", "--ratio", "0.5"], "--ratio is for hash"),
        (["--method", "svd", "--rank", "4", "--energy", "0.9"], "--rank takes the place of"),
        (["--method", ""], "it is empty"),
        (["--bits", "0"], "greater than or equal to 1"),
        (["--bits", "9"], "less than or equal to 8"),
        (["--sparsity", "1"], "below 1"),
        (["--sparsity", "nan"], "less than or equal to 1"),
        (["-o", "small.bin"], "small.bin is not .safetensors"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    out = ["-o", str(tmp_path / "small.safetensors")]
    assert main(["models", "compress", str(weights), *out, *options]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [weights]


def test_the_command_says_what_came_of_it(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small.safetensors"
    words = ["models", "compress", str(weights), "-o", str(small), "--bits", "5", "--json"]
    assert main([*words, "--method", "prune,quantize,huffman", "--sparsity", "0.6"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == small.stat().st_size < told["bytes_before"] / 3
    assert told["methods"] == ["huffman", "prune", "quantize"]
    assert 0 < told["relative_change"] < 1
    assert main(["models", "compress", str(weights), "-o", str(small)]) == 0
    assert "times smaller" in capsys.readouterr().out
    assert main(["models", "compress", "vgg19", "-o", str(small)]) == 1  # no weights at hand


def test_dlibs_network_comes_along_and_is_nearly_the_published_one() -> None:
    file = find_weights("dlib_resnet")
    assert file is not None
    assert file.path.stat().st_size <= 5_000_000
    assert "CC0" in file.metadata["licence"]
    assert file.path.with_suffix(".md").is_file()  # its model card
    assert file.metadata["compressed_from"] == SHA256
    original = installed_file()
    assert original is not None
    assert relative_change(weights_file(original, None), file) < 0.025
    loaded = load_backbone("dlib_resnet")
    theirs = load_backbone("dlib_resnet", weights=original)
    images = torch.rand(4, 3, 150, 150, generator=torch.Generator().manual_seed(6))
    one, other = theirs.backbone.embedding(images), loaded.backbone.embedding(images)
    assert torch.cosine_similarity(one, other).min() > 0.999
    assert read_tensors(file.path).tensors.keys() > {"stem.bias", "embed.weight/codes"}


def test_the_command_trains_by_photographs_without_names(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces, draw = tmp_path / "faces", np.random.default_rng(0)
    faces.mkdir()
    for number in range(24):
        coarse = draw.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((112, 112)).save(faces / f"{number}.png")
    (faces / "text.png").write_text("no picture")
    small = tmp_path / "small.safetensors"
    words = ["models", "compress", str(weights), "-o", str(small), "--method", "prune"]
    words += ["--photographs", str(faces), "--steps", "3", "--batch-size", "4"]
    assert main([*words, "--json"]) == 0
    told = json.loads((answer := capsys.readouterr()).out)
    assert told["cosine_untrained"] <= told["cosine"] <= 1
    assert "1 photographs are not used" in answer.err
    assert "3 steps a stage of 4 out of 24" in read_metadata(small)["compression_training"]
    if not torch.cuda.is_available():  # the network would be trained where it is asked for
        assert main(["--device", "cuda", *words]) == 2
        assert "no NVIDIA GPU" in capsys.readouterr().err
    for number in range(5, 24):
        (faces / f"{number}.png").unlink()
    assert main(words) == 2
    assert "5 usable photographs are too few" in capsys.readouterr().err
