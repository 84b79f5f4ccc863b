"""Several networks as one: their similarities' mean, told from any other model, found again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.places import WeightsFile
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone
from data.errors import ArgumentError
from recognition.detection.detector import make_detector
from recognition.evaluation.embeddings import already_aligned
from recognition.faces import embedding
from recognition.faces.embedding import FaceEmbedder, JoinedEmbedder, network_names
from recognition.faces.pipeline import FacePipeline

SIDES = {Alignment.FIVE_POINT: 112, Alignment.EYES: 96, Alignment.DLIB: 150}


def part(name: str, alignment: Alignment, *, seed: int = 0, mirror: bool = True) -> FaceEmbedder:
    side = SIDES[alignment] // 16 * 16
    backbone = create("mobilefacenet", seed=seed, embedding_size=8, input_size=(side, side))
    loaded = LoadedBackbone(
        backbone=backbone.requires_grad_(False),
        weights=WeightsFile(
            path=Path("w.safetensors"), sha256=f"{seed:02d}" * 32, metadata={}, architecture=name
        ),
        threshold=0.3,
        threshold_provenance="a test",
        mirror=mirror,
        input_size=(side, side),
        alignment=alignment,
    )
    return FaceEmbedder(loaded)


def two() -> tuple[FaceEmbedder, FaceEmbedder]:
    return part("a", Alignment.FIVE_POINT, seed=1), part("b", Alignment.DLIB, seed=2)


def test_its_cosine_is_the_weighted_mean_of_the_networks_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = {
        alignment: torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(side))
        for alignment, side in SIDES.items()
    }
    a, b = two()
    one, other = a.embed(faces[a.alignment]), b.embed(faces[b.alignment])
    for weight in (1.0, 0.2, 7.0):
        monkeypatch.setattr(embedding, "_WEIGHT", {"a": weight})
        both = JoinedEmbedder([a, b])
        vectors = both.embed_aligned(faces.__getitem__)
        assert vectors.shape == (5, both.dimension) == (5, 32)
        assert vectors.dtype == np.float32
        wanted = (weight * one @ one.T + other @ other.T) / (weight + 1)
        np.testing.assert_allclose(vectors @ vectors.T, wanted, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_another_network_another_file_and_another_share_make_another_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = two()
    c = part("c", Alignment.EYES, seed=3)
    newer_b = part("b", Alignment.DLIB, seed=4)
    models = [JoinedEmbedder(parts) for parts in ([a, b], [a, c], [a, b, c], [a, newer_b])]
    digests = [model.weights_digest for model in models]
    monkeypatch.setattr(embedding, "_WEIGHT", {"a": 2.0})
    digests.append(JoinedEmbedder([a, b]).weights_digest)
    digests += [a.weights_digest, b.weights_digest]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)
    assert [model.model_id for model in models] == ["a+b", "a+c", "a+b+c", "a+b"]
    assert models[2].alignments == (Alignment.FIVE_POINT, Alignment.DLIB, Alignment.EYES)
    assert models[0].threshold is None  # the parts' own thresholds say nothing of their mean


def test_each_network_sees_the_face_by_its_own_alignment(astronaut: Image.Image) -> None:
    detector = make_detector()
    a, b = two()
    [[found]] = FacePipeline(detector, JoinedEmbedder([a, b])).faces([astronaut])
    [[by_a]] = FacePipeline(detector, a).faces([astronaut])
    [[by_b]] = FacePipeline(detector, b).faces([astronaut])
    expected = np.concatenate([by_a.embedding, by_b.embedding]) / np.sqrt(2)
    np.testing.assert_allclose(found.embedding, expected, atol=1e-5)
    np.testing.assert_array_equal(found.crop, by_a.crop)


def test_aligned_faces_reach_each_network_too(astronaut: Image.Image) -> None:
    a, b = two()
    [[found]] = FacePipeline(make_detector(), a).faces([astronaut])
    crop = Image.fromarray(found.crop)
    [[both]] = already_aligned(JoinedEmbedder([a, b]))([crop])
    [[one]], [[other]] = already_aligned(a)([crop]), already_aligned(b)([crop])
    np.testing.assert_allclose(both, np.concatenate([one, other]) / np.sqrt(2), atol=1e-5)
    boxed = FaceEmbedder(replace(b._loaded, alignment=Alignment.BOX))
    with pytest.raises(ArgumentError, match="not made for faces aligned at five points"):
        already_aligned(JoinedEmbedder([a, boxed]))


def test_names_mean_the_same_in_any_order() -> None:
    assert network_names("both") == network_names("mobilefacenet+dlib_resnet")
    assert network_names("dlib_resnet+mobilefacenet") == ("dlib_resnet", "mobilefacenet")
    assert network_names("vgg19") == ("vgg19",)
    with pytest.raises(ArgumentError, match="names a network twice"):
        network_names("vgg19+vgg19")
    with pytest.raises(ValueError, match="in the order of their names"):
        JoinedEmbedder(two()[::-1])
    with pytest.raises(ValueError, match="two or more"):
        JoinedEmbedder(two()[:1])
