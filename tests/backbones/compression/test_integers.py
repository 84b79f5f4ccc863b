"""int8: rounding against NumPy; the same answers from float32, from integers and from a file."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.compression.file import (
    METADATA_KEY,
    Compression,
    Method,
    expand,
    input_ends,
    represent,
    write_forms,
)
from backbones.compression.integers import (
    LARGEST,
    LEAST_ALIKE,
    Accelerated,
    calibrate,
    import_openvino,
    integer_form,
    is_accelerated,
    round_layers,
)
from backbones.compression.retraining import Retraining
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.places import WeightsFile, weights_file
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, compress_weights, load_backbone
from data.errors import ArgumentError, WeightsError
from data.tensors import write_tensors
from recognition.faces.embedding import FaceEmbedder
from ui.cli.main import main

INT8 = Compression(methods=frozenset({Method.INT8}))
SIZE = (32, 32)


def pictures(count: int = 40) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 6, 6, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def network(alignment: Alignment = Alignment.FIVE_POINT) -> Backbone:
    made = create("mobilefacenet", seed=3, input_size=SIZE, embedding_size=16)
    made.spec = replace(made.spec, alignment=alignment)
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    made = network()
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    write_tensors(path, made.state_dict(), weights_metadata(made.spec))
    return weights_file(path, None)


@pytest.fixture(scope="module")
def small(original: WeightsFile) -> LoadedBackbone:
    path = original.path.with_name("int8.safetensors")
    compress_weights(original, path, INT8, Retraining(pictures=pictures(), steps=0))
    return load_backbone(None, weights=path)


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 3, 3), (6, 1, 5, 5)])
def test_weights_are_the_nearest_of_127_steps(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    tensor[1] = 0
    tensor[2] *= 1e-4
    form = integer_form(tensor, (0.0, 1.0))
    rows = tensor.reshape(shape[0], -1).numpy().astype(np.float64)
    for row, codes, scale in zip(rows, form.codes.reshape(shape[0], -1), form.scale, strict=True):
        largest = np.abs(row).max()
        assert float(scale) == pytest.approx(largest / LARGEST if largest else 1.0)
        assert np.array_equal(codes.numpy(), np.round(row / float(scale)))
    off = (form.tensor() - tensor).reshape(shape[0], -1).abs().amax(1)
    assert bool((off <= form.scale / 2 * (1 + 1e-5)).all())
    # What is integers already stays what it is.
    again = integer_form(form.tensor(), (0.0, 1.0))
    assert torch.equal(again.codes, form.codes)


@pytest.mark.parametrize(("low", "high"), [(-1.5, 3.0), (0.0, 2.0), (-2.0, 0.0), (0.0, 0.0)])
def test_a_layer_computes_what_integers_would(low: float, high: float) -> None:
    draw = torch.Generator().manual_seed(2)
    backbone = network()
    key = "blocks.0.conv.0.weight"
    layer = backbone.get_submodule(key.removesuffix(".weight"))
    assert isinstance(layer, nn.Conv2d)
    form = integer_form(layer.weight, (low, high))
    layer.weight.data = form.tensor()
    round_layers(backbone, {key: form.ends})
    x = torch.randn(2, layer.in_channels, 4, 4, generator=draw) * 2
    step = max(-low, high, 1e-12) / (127 if low < 0 else 255)
    whole = np.clip(np.round(x.numpy().astype(np.float64) / step), -128 if low < 0 else 0, 255)
    whole = np.minimum(whole, 127) if low < 0 else whole
    # Sums of products of integers, as a processor makes them, and only then the steps.
    sums = np.einsum("bihw,oi->bohw", whole, form.codes[:, :, 0, 0].numpy().astype(np.float64))
    wanted = sums * step * form.scale.numpy()[None, :, None, None]
    assert np.allclose(layer(x).numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_ends_are_what_flows_in() -> None:
    backbone = network()
    found = calibrate(backbone, pictures())
    assert found.keys() == {
        f"{name}.weight" for name, m in backbone.named_modules() if isinstance(m, nn.Conv2d)
    }
    images = pictures()[:32].float() / 255
    means = [backbone.normalise(part).aminmax() for part in images.split(16)]
    last = backbone.normalise(pictures()[32:].float() / 255).aminmax()
    lows = [float(low) for low, _ in [*means, last]]
    assert found["conv1.conv.weight"][0] == pytest.approx(sum(lows) / 3)
    assert all(low <= 0 <= high for low, high in found.values())


def test_a_file_of_integers_answers_nearly_as_the_original(
    original: WeightsFile, small: LoadedBackbone
) -> None:
    assert small.weights.path.stat().st_size < 0.4 * original.path.stat().st_size
    before = load_backbone(None, weights=original.path).backbone
    images = pictures().float() / 255
    with torch.no_grad():
        alike = torch.cosine_similarity(before.embedding(images), small.backbone.embedding(images))
    assert 0.97 < float(alike.min()) < 1
    assert input_ends(small.weights.metadata, "net").keys() == set(calibrate(before, pictures()))


def test_integers_give_gradients_too(small: LoadedBackbone) -> None:
    images = (pictures(2).float() / 255).requires_grad_(True)
    small.backbone.embedding(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("groups", "kernel", "stride"), [(1, 3, 1), (1, 1, 1), (1, 3, 2), (8, 3, 1), (8, 3, 2)]
)
@pytest.mark.parametrize("low", [-2.0, 0.0])
def test_openvino_computes_sums_of_integers(
    groups: int, kernel: int, stride: int, low: float
) -> None:
    if not is_accelerated():
        pytest.skip("the extra int8 is not installed")
    openvino = import_openvino()
    draw = torch.Generator().manual_seed(kernel + stride)
    layer = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=groups, bias=False)
    holder = nn.ModuleDict({"layer": layer}).requires_grad_(False)
    form = integer_form(torch.randn(layer.weight.shape, generator=draw), (low, 2.0))
    layer.weight.data = form.tensor()
    round_layers(holder, {"layer.weight": form.ends})  # type: ignore[arg-type]
    step = 2.0 / (127 if low < 0 else 255)
    whole = torch.randint(-127 if low < 0 else 0, 128, (2, 8, 7, 7), generator=draw)
    with warnings.catch_warnings(action="ignore"):  # torch's, that tracing grows old
        model = openvino.convert_model(layer, example_input=torch.zeros(1, 8, 7, 7))
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # NumPy's own sums of integers, place by place.
    padded = np.pad(whole.numpy(), ((0, 0), (0, 0), *[(kernel // 2, kernel // 2)] * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    windows = windows[:, :, ::stride, ::stride]
    codes, each = form.codes.numpy().astype(np.int64), 8 // groups
    sums = []
    for output in range(8):
        first = output * groups // 8 * each  # of the channels that this one sees
        seen = windows[:, first : first + each]
        sums.append(np.einsum("bihwyx,iyx->bhw", seen, codes[output]))
    wanted = np.stack(sums, 1)
    scaled = wanted * step * form.scale.numpy()[None, :, None, None]
    found = compiled((whole * step).float().numpy())[0]
    assert np.allclose(found, scaled, rtol=1e-4, atol=1e-4 * scaled.std())


@pytest.mark.parametrize("name", ["mobilefacenet", "dlib_resnet"])
def test_openvino_answers_as_the_network_itself(name: str) -> None:
    if not is_accelerated():
        pytest.skip("the extra int8 is not installed")
    backbone = load_backbone(name).backbone
    smooth = torch.nn.functional.interpolate(pictures(12).float(), backbone.spec.input_size)
    ends = calibrate(backbone, smooth[:8].round().to(torch.uint8))
    state = backbone.state_dict()
    for key, own in ends.items():
        state[key].copy_(integer_form(state[key], own).tensor())
    round_layers(backbone, ends)
    quick = Accelerated(backbone)
    for count in (1, 4):
        images = smooth[8 : 8 + count] / 255
        with torch.inference_mode():
            alike = torch.cosine_similarity(quick(images), backbone.embedding(images))
        assert quick._compiled is not None
        assert float(alike.min()) > 0.99


def test_a_translation_that_answers_otherwise_is_not_used(
    small: LoadedBackbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick = Accelerated(small.backbone)
    monkeypatch.setattr(quick, "_translated", lambda: lambda x: [np.ones((len(x), 16), np.float32)])
    images = pictures(6).float() / 255
    for _ in range(2):
        assert torch.equal(quick(images), small.backbone.embedding(images))
    assert len(caplog.messages) == 1
    assert "OpenVINO is not used for mobilefacenet" in caplog.text

    def refuse() -> None:
        raise RuntimeError("no such operation\nand where")

    broken = Accelerated(small.backbone)
    monkeypatch.setattr(broken, "_translated", refuse)
    assert torch.equal(broken(images), small.backbone.embedding(images))
    assert caplog.messages[-1].endswith("no such operation")


@pytest.mark.parametrize("sizes", [(0, 3), (0, 0, 3, 0), (3, 0)])
def test_no_image_is_no_reason_to_do_without_the_translation(
    small: LoadedBackbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sizes: tuple[int, ...],
) -> None:
    """A first photograph without a face asks about none; the next one is answered quickly."""
    quick = Accelerated(small.backbone)
    answered: list[int] = []

    def translated(images: np.ndarray) -> list[np.ndarray]:
        answered.append(len(images))
        return [small.backbone.embedding(torch.from_numpy(images)).detach().numpy()]

    monkeypatch.setattr(quick, "_translated", lambda: translated)
    for size in sizes:
        images = pictures(3).float()[:size] / 255
        assert torch.equal(quick(images), small.backbone.embedding(images))
    assert not caplog.messages
    assert answered == [3, 3]  # once to be tried, once to answer


def test_openvino_tells_nobody(
    small: LoadedBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_accelerated():
        pytest.skip("the extra int8 is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    Accelerated(small.backbone)(pictures(1).float() / 255)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401


def test_no_network_answers_otherwise_by_openvino(small: LoadedBackbone) -> None:
    """Random weights are what OpenVINO has been seen to translate wrongly."""
    if not is_accelerated():
        pytest.skip("the extra int8 is not installed")
    assert small.accelerated is not None
    images = pictures(5).float() / 255
    alike = torch.cosine_similarity(small.accelerated(images), small.backbone.embedding(images))
    assert float(alike.min()) > LEAST_ALIKE


def test_an_embedder_takes_what_is_faster_and_gradients_where_they_are_asked_for(
    small: LoadedBackbone,
) -> None:
    asked: list[int] = []

    def quick(images: Tensor) -> Tensor:
        asked.append(len(images))
        return torch.ones(len(images), 16)

    embedder = FaceEmbedder(replace(small, accelerated=quick))  # type: ignore[arg-type]
    faces = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(3))
    assert np.allclose(embedder.embed(faces), 0.25)
    assert asked == [3]
    faces.requires_grad_(True)
    embedder.differentiable(faces)[:, 0].sum().backward()
    assert faces.grad is not None
    assert asked == [3]
    slow = FaceEmbedder(replace(small, accelerated=None)).embed(faces.detach())
    assert np.allclose(np.linalg.norm(slow, axis=1), 1, atol=1e-5)


def test_training_beside_integers_comes_nearer(original: WeightsFile, tmp_path: Path) -> None:
    retraining = Retraining(pictures=pictures(), steps=20, batch=8, rate=3e-3)
    made = compress_weights(original, tmp_path / "trained.safetensors", INT8, retraining)
    assert made.untrained is not None
    assert made.trained is not None
    assert made.untrained < made.trained
    loaded = load_backbone(None, weights=made.file.path).backbone
    before = load_backbone(None, weights=original.path).backbone
    judges = pictures()[::10].float() / 255
    with torch.no_grad():
        alike = torch.cosine_similarity(before.embedding(judges), loaded.embedding(judges))
    assert float(alike.median()) == pytest.approx(made.trained, abs=1e-4)


def test_what_does_not_fit_is_refused(original: WeightsFile, tmp_path: Path) -> None:
    place = tmp_path / "a.safetensors"
    with pytest.raises(ArgumentError, match="--photographs"):
        compress_weights(original, place, INT8)
    paints = create("vgg19_quarter", seed=0)
    write_tensors(tmp_path / "v.safetensors", paints.state_dict(), weights_metadata(paints.spec))
    with pytest.raises(ArgumentError, match="paints"):
        compress_weights(
            weights_file(tmp_path / "v.safetensors", None),
            place,
            INT8,
            Retraining(pictures=pictures()),
        )
    assert not place.exists()


@pytest.mark.parametrize(
    "ends", [[1, 2], [-2, -1], ["0", 1], [float("inf"), 1], [0], None, [True, 2]]
)
def test_damaged_ends_are_refused(ends: object) -> None:
    tensors = {"a.weight": torch.randn(4, 8)}
    forms = represent(tensors, INT8, {"a.weight": (-1.0, 1.0)})
    parts, text = write_forms(tensors, forms, INT8)
    assert input_ends({METADATA_KEY: text}, "net") == {"a.weight": (-1.0, 1.0)}
    said = json.loads(text)
    said["tensors"]["a.weight"]["ends"] = ends
    wrong = {METADATA_KEY: json.dumps(said)}
    for read in (lambda: input_ends(wrong, "net"), lambda: expand(parts, wrong, "net")):
        with pytest.raises(WeightsError, match=r"^net: "):
            read()
    cut = dict(parts) | {"a.weight/integers": parts["a.weight/integers"].float()}
    with pytest.raises(WeightsError, match=r"^net: "):
        expand(cut, {METADATA_KEY: text}, "net")


def test_the_command_wants_photographs(
    original: WeightsFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "compress", str(original.path), "-o", str(tmp_path / "a.safetensors")]
    assert main([*words, "--method", "int8"]) == 2
    assert "--photographs" in capsys.readouterr().err
    assert main([*words, "--method", "int8,huffman"]) == 2
    assert "int8 writes no codes" in capsys.readouterr().err
