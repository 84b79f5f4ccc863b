"""Trained compressed networks: nearer to the original, with every zero and every share in place."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backbones.compression.file import Compression, Method, represent
from backbones.compression.forms import ValueForm, moved
from backbones.compression.retraining import LEAST_PICTURES, Retraining, tune
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.places import WeightsFile, weights_file
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import compress_weights, load_backbone
from data.errors import ArgumentError, TrainingError
from data.tensors import read_tensors, write_tensors

SMALL = "lenet5_modern"
SIZES = {
    SMALL: (32, 32),
    "mobilefacenet": (32, 16),
    "dlib_resnet": (103, 103),
    "vgg19_quarter": (32, 32),
    "squeezenet1_1": (48, 48),
}
WAYS: dict[str, dict[str, object]] = {
    "prune": {"sparsity": 0.5},
    "quantize": {"bits": 3},
    "prune,quantize,huffman": {"sparsity": 0.4, "bits": 4},
    "svd": {"energy": 0.8},
    "pq": {"centroids": 16},
    "hash": {"ratio": 0.5},
}


def wanted(methods: str) -> Compression:
    return Compression(methods=frozenset(map(Method, methods.split(","))), **WAYS[methods])  # type: ignore[arg-type]


def pictures(name: str, count: int = 40) -> Tensor:
    """Smooth blots, so that neighbours are alike as they are in photographs."""
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 6, 6, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, SIZES[name], mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def network(name: str) -> Backbone:
    made = create(name, seed=3, input_size=SIZES[name])
    if name == SMALL:  # taken for one that embeds faces
        made.spec = replace(made.spec, alignment=Alignment.FIVE_POINT)
    return made.requires_grad_(False)


def weights(name: str, folder: Path) -> WeightsFile:
    made = network(name)
    path = folder / f"{name}.safetensors"
    write_tensors(path, made.state_dict(), weights_metadata(made.spec))
    return weights_file(path, None)


@pytest.mark.parametrize("methods", WAYS)
def test_training_comes_nearer_by_every_way(methods: str, tmp_path: Path) -> None:
    file = weights(SMALL, tmp_path)
    retraining = Retraining(pictures=pictures(SMALL), steps=12, batch=12, rate=3e-3)
    done = list[tuple[int, int]]()
    path = tmp_path / "small.safetensors"
    made = compress_weights(
        file, path, wanted(methods), retraining, progress=lambda at, of: done.append((at, of))
    )
    assert made.untrained is not None
    assert made.trained is not None
    assert made.untrained < made.trained <= 1
    assert done[-1][0] == done[-1][1] == (24 if "prune,quantize" in methods else 12)
    assert "12 steps" in made.file.metadata["compression_training"]
    assert made.file.metadata["compressed_from"] == file.sha256
    # What the file answers is what was judged.
    before, after = (load_backbone(None, weights=one).backbone for one in (file.path, path))
    judges = pictures(SMALL)[::10].float() / 255
    with torch.no_grad():
        alike = torch.cosine_similarity(before.embedding(judges), after.embedding(judges))
    assert float(alike.median()) == pytest.approx(made.trained, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in SIZES if name != SMALL])
def test_networks_for_faces_and_for_style_are_trained(name: str, tmp_path: Path) -> None:
    file = weights(name, tmp_path)
    retraining = Retraining(pictures=pictures(name, 20), steps=2, batch=2)
    made = compress_weights(file, tmp_path / "small.safetensors", wanted("quantize"), retraining)
    assert made.untrained is not None
    assert made.trained is not None
    assert made.untrained <= made.trained
    if name == "vgg19_quarter":  # its first layer is a fixed map and no weight
        before, after = (read_tensors(one.path).tensors for one in (file, made.file))
        assert torch.equal(before["conv0.weight"], after["conv0.weight"])
        assert not torch.equal(before["conv11.bias"], after["conv11.bias"])


@pytest.mark.parametrize("methods", ["quantize", "prune,quantize,huffman", "svd"])
@pytest.mark.parametrize(
    ("name", "surplus"),
    [
        ("squeezenet1_1", {"classifier.1.weight": (100, 512, 1, 1)}),
        ("vgg19_quarter", {"conv11_aux.weight": (32, 64, 1, 1), "conv11_aux.bias": (32,)}),
        (SMALL, {"pair/mixed": (40, 60)}),
    ],
)
def test_what_the_network_does_not_use_stays_as_it_is_compressed(
    name: str, surplus: dict[str, tuple[int, ...]], methods: str
) -> None:
    """As ImageNet's classifier does, behind the maps that style is taken from."""
    original = network(name)
    draw = torch.Generator().manual_seed(7)
    more = {key: torch.randn(shape, generator=draw) for key, shape in surplus.items()}
    # Steep spectra, so that a product of narrow matrices is smaller than either.
    more = {
        k: t * torch.logspace(0, -6, len(t)).view(-1, *[1] * (t.ndim - 1)) for k, t in more.items()
    }
    tensors = {key: tensor.clone() for key, tensor in (original.state_dict() | more).items()}
    forms = represent(tensors, wanted(methods))
    assert any(key in forms for key in more)
    retraining = Retraining(pictures=pictures(name, 20), steps=2, batch=2)
    trained = frozenset(key for key, _ in original.named_parameters())
    tuned = tune(original, tensors, forms, retraining, trained=trained)
    assert tuned.forms.keys() == forms.keys()
    assert tuned.after > tuned.before  # or what was trained is not what is looked at here
    for key, tensor in more.items():
        assert torch.equal(tuned.tensors[key], tensor)
        if key in forms:
            assert torch.equal(tuned.forms[key].tensor(), forms[key].tensor())


@pytest.mark.parametrize("methods", WAYS)
def test_a_moved_form_is_the_same_form(methods: str) -> None:
    forms = represent(network(SMALL).state_dict(), wanted(methods))
    for form in forms.values():
        again = moved(form, torch.device("cpu"))
        assert torch.equal(again.tensor(), form.tensor())
        away = moved(form, torch.device("meta"))  # every part of it, or else this raises
        assert away.tensor().device.type == "meta"
        assert away.tensor().shape == form.shape


@pytest.mark.parametrize("methods", ["prune", "prune,quantize,huffman"])
def test_zeros_stay_zeros_and_shared_weights_stay_shared(methods: str) -> None:
    original = network("mobilefacenet")
    tensors = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    forms = represent(tensors, wanted(methods))
    retraining = Retraining(pictures=pictures("mobilefacenet", 20), steps=3, batch=6, rate=3e-3)
    trained = frozenset(name for name, _ in original.named_parameters())
    tuned = tune(original, tensors, forms, retraining, trained=trained)
    assert tuned.after > tuned.before
    for name, before in forms.items():
        after = tuned.forms[name]
        assert isinstance(before, ValueForm)
        assert isinstance(after, ValueForm)
        assert torch.equal(before.tensor() == 0, after.tensor() == 0)
        assert not torch.equal(before.values, after.values)
        if before.codes is not None:
            assert after.codes is before.codes
            assert after.values.shape == before.values.shape
    for name in tensors:  # what the teacher is made of stays, and so do statistics
        assert torch.equal(original.state_dict()[name], tensors[name])
        if "running" in name:
            assert torch.equal(tuned.tensors[name], tensors[name])


def test_what_training_spoils_is_not_kept() -> None:
    original = network(SMALL)
    tensors = original.state_dict()
    forms = represent(tensors, wanted("quantize"))
    retraining = Retraining(pictures=pictures(SMALL), steps=4, batch=8, rate=1.0)
    tuned = tune(original, tensors, forms, retraining, trained=frozenset())
    assert tuned.before == tuned.after
    assert all(tuned.forms[name] is form for name, form in forms.items())


def test_equal_lessons_give_equal_files(tmp_path: Path) -> None:
    file = weights(SMALL, tmp_path)
    retraining = Retraining(pictures=pictures(SMALL), steps=3, batch=8)
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        compress_weights(file, path, wanted("pq"), retraining)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_teaches_nothing_is_refused() -> None:
    few = torch.zeros(LEAST_PICTURES - 1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ArgumentError, match="19 usable photographs are too few"):
        Retraining(pictures=few)
    enough = torch.zeros(LEAST_PICTURES, 3, 8, 8, dtype=torch.uint8)
    for wrong in ({"steps": -1}, {"batch": 0}, {"rate": 0.0}, {"rate": float("nan")}):
        with pytest.raises(ArgumentError, match="expected"):
            Retraining(pictures=enough, **wrong)  # type: ignore[arg-type]


def test_equal_pictures_are_no_division_by_zero() -> None:
    original = network(SMALL)
    forms = represent(original.state_dict(), wanted("quantize"))
    grey = torch.full((LEAST_PICTURES, 3, *SIZES[SMALL]), 128, dtype=torch.uint8)
    tuned = tune(
        original,
        original.state_dict(),
        forms,
        Retraining(pictures=grey, steps=2),
        trained=frozenset(),
    )
    assert 0 < tuned.before <= tuned.after <= 1


def test_numbers_that_are_not_finite_end_it() -> None:
    original = network(SMALL)
    forms = represent(original.state_dict(), wanted("quantize"))
    name, form = next(iter(forms.items()))
    forms[name] = form.with_numbers([torch.full_like(form.numbers[0], float("nan"))])
    retraining = Retraining(pictures=pictures(SMALL), steps=2, batch=4)
    with pytest.raises(TrainingError, match="no longer finite at step 1"):
        tune(original, original.state_dict(), forms, retraining, trained=frozenset())
