"""Embedding with a small random network in place of trained ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, WeightsFile
from data.errors import ArgumentError, WeightsError
from recognition.faces.embedding import FaceEmbedder, cut_several


def _loaded(*, mirror: bool = False, input_size: tuple[int, int] = (112, 96)) -> LoadedBackbone:
    backbone = create("mobilefacenet", seed=0, input_size=input_size, embedding_size=16)
    return LoadedBackbone(
        backbone=backbone.requires_grad_(False),
        weights=WeightsFile(
            path=Path("w.safetensors"), sha256="0" * 64, metadata={}, architecture="mobilefacenet"
        ),
        threshold=0.3,
        threshold_provenance="made up",
        mirror=mirror,
        input_size=input_size,
        alignment=Alignment.FIVE_POINT,
    )


@pytest.fixture(scope="module")
def crops() -> Tensor:
    return torch.rand(5, 3, 112, 112, generator=torch.Generator().manual_seed(0))


def test_embeddings_are_unit_vectors(crops: Tensor) -> None:
    embedder = FaceEmbedder(_loaded())
    embeddings = embedder.embed(crops)
    assert embeddings.shape == (5, embedder.dimension) == (5, 16)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)


def test_the_network_sees_the_middle_columns(crops: Tensor) -> None:
    loaded = _loaded()
    raw = loaded.backbone.embedding(crops[..., 8:104])
    expected = (raw / raw.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(FaceEmbedder(loaded).embed(crops), expected, atol=1e-5)


def test_mirrored_embeddings_are_appended(crops: Tensor) -> None:
    embedder = FaceEmbedder(_loaded(mirror=True))
    straight, mirrored = embedder.embed(crops), embedder.embed(crops.flip(3))
    assert straight.shape == (5, embedder.dimension) == (5, 32)
    swapped = np.concatenate([mirrored[:, 16:], mirrored[:, :16]], 1)
    np.testing.assert_allclose(straight, swapped, atol=1e-5)


def test_the_threshold_holds_for_the_mirroring_it_was_measured_with() -> None:
    assert FaceEmbedder(_loaded(mirror=True)).threshold == 0.3
    assert FaceEmbedder(_loaded(mirror=True), mirror=False).threshold is None


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_batch_changes_nothing(crops: Tensor, mirror: bool, batch: int) -> None:
    loaded = _loaded(mirror=mirror)
    expected = FaceEmbedder(loaded, batch=64).embed(crops)
    np.testing.assert_allclose(FaceEmbedder(loaded, batch=batch).embed(crops), expected, atol=1e-5)


def test_a_network_of_another_height_gets_scaled_crops(crops: Tensor) -> None:
    flat = crops.mean((2, 3), keepdim=True).expand_as(crops)
    loaded = _loaded(input_size=(64, 64))
    raw = loaded.backbone.embedding(flat[..., :64, :64])
    expected = (raw / raw.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(FaceEmbedder(loaded).embed(flat), expected, atol=1e-4)


def test_no_faces(crops: Tensor) -> None:
    assert FaceEmbedder(_loaded(mirror=True)).embed(crops[:0]).shape == (0, 32)


def test_crops_of_another_size_are_refused(crops: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected crops \(F, 3, 112, 112\)"):
        FaceEmbedder(_loaded()).embed(crops[..., :96])


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_useless_embeddings_are_refused(crops: Tensor, value: float) -> None:
    loaded = _loaded()
    last_layer = [each for each in loaded.backbone.modules() if hasattr(each, "weight")][-1]
    assert isinstance(last_layer, torch.nn.BatchNorm2d)
    last_layer.weight.data.fill_(value)
    with pytest.raises(WeightsError, match="not finite or zero"):
        FaceEmbedder(loaded).embed(crops)


def test_an_input_wider_than_high_is_refused() -> None:
    with pytest.raises(WeightsError, match="128 wide and 112 high"):
        FaceEmbedder(_loaded(input_size=(112, 128)))


def test_it_says_which_weights_it_runs_on() -> None:
    embedder = FaceEmbedder(replace(_loaded(), alignment=Alignment.NONE))
    assert embedder.model_id == "mobilefacenet"
    assert embedder.weights_digest == "0" * 64
    assert embedder.alignment is Alignment.NONE


def test_several_crops_are_averaged_as_unit_vectors(crops: Tensor) -> None:
    loaded = _loaded(mirror=True)
    one = FaceEmbedder(loaded)
    total = np.sum([one.embed(cut) for cut in cut_several(crops, 5)], axis=0)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    several = FaceEmbedder(loaded, crops=5)
    np.testing.assert_allclose(several.embed(crops), expected, atol=1e-5)
    assert several.dimension == one.dimension
    assert (one.threshold, several.threshold) == (0.3, None)
    with pytest.raises(ArgumentError):
        FaceEmbedder(loaded, crops=2)
