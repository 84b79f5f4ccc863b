"""The whole way from photographs to embeddings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.network import Backbone
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, WeightsFile, load_backbone
from recognition.detection.detector import FaceDetector, make_detector
from recognition.faces.alignment import align_faces
from recognition.faces.embedding import FaceEmbedder
from recognition.faces.pipeline import FacePipeline


def _backbone(side: int) -> Backbone:
    return create("mobilefacenet", seed=0, embedding_size=8, input_size=(side, side))


def _loaded() -> LoadedBackbone:
    return LoadedBackbone(
        backbone=_backbone(112).requires_grad_(False),
        weights=WeightsFile(
            path=Path("w.safetensors"), sha256="ab" * 32, metadata={}, architecture="mobilefacenet"
        ),
        threshold=None,
        threshold_provenance=None,
        mirror=False,
        input_size=(112, 112),
        alignment=Alignment.FIVE_POINT,
    )


class _Recorder(FaceEmbedder):
    """An embedder that keeps what it was given."""

    given: Tensor

    def embed(self, crops: Tensor) -> npt.NDArray[np.float32]:
        self.given = crops
        return super().embed(crops)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector()


def test_each_photograph_gets_its_own_faces(detector: FaceDetector, astronaut: Image.Image) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(_loaded()))
    smaller = astronaut.resize((400, 380))
    images = [astronaut, Image.new("RGB", (80, 60)), smaller]
    [first], nobody, [second] = pipeline.faces(images)
    assert nobody == []
    for face, image in ((first, astronaut), (second, smaller)):
        [[alone]] = pipeline.faces([image])
        assert face.face.box == pytest.approx(alone.face.box, abs=0.05)
        np.testing.assert_allclose(face.embedding, alone.embedding, atol=0.01)
        assert face.embedding.shape == (8,)
        assert np.linalg.norm(face.embedding) == pytest.approx(1)


def test_the_crop_is_the_aligned_face(detector: FaceDetector, astronaut: Image.Image) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(_loaded()))
    [[found]] = pipeline.faces([astronaut])
    assert found.crop.shape == (112, 112, 3)
    assert found.crop.dtype == np.uint8
    [aligned] = align_faces([astronaut], [[found.face]])
    rounded = (aligned * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found.crop, rounded)


def test_a_network_gets_its_own_alignment_and_the_crop_stays(
    detector: FaceDetector, astronaut: Image.Image
) -> None:
    five_point, box = _Recorder(_loaded()), _Recorder(replace(_loaded(), alignment=Alignment.BOX))
    eyes = _Recorder(
        replace(_loaded(), backbone=_backbone(96), input_size=(96, 96), alignment=Alignment.EYES)
    )
    [[one]] = FacePipeline(detector, five_point).faces([astronaut])
    [[other]] = FacePipeline(detector, box).faces([astronaut])
    assert five_point.given.shape == (1, 3, 112, 112)
    assert box.given.shape == (1, 3, 160, 160)
    np.testing.assert_array_equal(one.crop, other.crop)
    [[third]] = FacePipeline(detector, eyes).faces([astronaut])
    torch.testing.assert_close(eyes.given, align_faces([astronaut], [[third.face]], Alignment.EYES))
    np.testing.assert_array_equal(one.crop, third.crop)


def test_no_faces_at_all(detector: FaceDetector) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(_loaded()))
    assert pipeline.faces([Image.new("RGB", (64, 64))] * 2) == [[], []]
    assert pipeline.faces([]) == []


def test_it_says_what_it_runs_on(detector: FaceDetector) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(_loaded()))
    assert pipeline.model_id == "mobilefacenet"
    assert pipeline.weights_digest == "ab" * 32
    assert pipeline.dimension == 8
    assert pipeline.threshold is None


@pytest.mark.shared
def test_people_are_told_apart(
    detector: FaceDetector, teacher_weights: Path, lfw_photos: Path, astronaut: Image.Image
) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(load_backbone(None, weights=teacher_weights)))
    names = ["Abdullah_Gul", "Adrien_Brody", "Alejandro_Toledo", "Angelina_Jolie"]
    people = [name for name in names for _ in range(2)]
    images = [
        Image.open(path).convert("RGB")
        for name in names
        for path in sorted((lfw_photos / name).glob("*.jpg"))[:2]
    ]
    found = pipeline.faces(images)
    embeddings = np.stack([faces[0].embedding for faces in found])
    same = np.array([[a == b for b in people] for a in people])
    similarity = embeddings @ embeddings.T
    assert pipeline.threshold is not None
    np.testing.assert_array_equal(similarity >= pipeline.threshold, same)


@pytest.mark.shared
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photograph_shows_the_same_person(
    detector: FaceDetector, teacher_weights: Path, astronaut: Image.Image, quarters: int
) -> None:
    pipeline = FacePipeline(detector, FaceEmbedder(load_backbone(None, weights=teacher_weights)))
    turned = Image.fromarray(np.rot90(np.array(astronaut), quarters).copy())
    [[upright], [face]] = pipeline.faces([astronaut, turned])
    assert upright.embedding @ face.embedding > 0.99
