"""The whole way from photographs to embeddings."""

import io
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
from data.errors import ImageError
from recognition.detection.detector import FaceDetector, make_detector
from recognition.faces.alignment import align_faces, inverted, transforms_to_crops
from recognition.faces.embedding import FaceEmbedder
from recognition.faces.pipeline import SIZE, FacePipeline, cut_pictures, read_picture
from recognition.results import Face


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


@pytest.fixture(scope="module")
def seen(astronaut: Image.Image) -> Face:
    [[face]] = make_detector().detect([astronaut])
    return face


@pytest.mark.parametrize("alignment", [Alignment.FIVE_POINT, Alignment.EYES, Alignment.DLIB])
@pytest.mark.parametrize("turn", [0, 90, 180])
def test_every_alignment_is_had_from_it_again(
    astronaut: Image.Image, seen: Face, alignment: Alignment, turn: int
) -> None:
    image = astronaut.rotate(turn, expand=True)
    [[face]] = make_detector().detect([image])
    [picture] = cut_pictures([image], [[face]])
    assert picture.pixels.shape == (SIZE, SIZE, 3)
    kept, found = read_picture(picture.to_png())
    assert found is not None
    np.testing.assert_array_equal(np.asarray(kept), picture.pixels)
    [wanted] = align_faces([image], [[face]], alignment)
    [given] = align_faces([kept], [[found]], alignment)
    assert float((wanted - given).abs().mean()) < 0.02  # drawn twice, so a little smoother
    side = wanted.shape[-1]
    corners = torch.tensor([[0.0, side, 0, side], [0, 0, side, side]])
    to_kept = inverted(transforms_to_crops([found], [kept.size], alignment))[0]
    places = to_kept[:, :2] @ corners + to_kept[:, 2:]
    assert float(places.min()) >= 0  # nothing of the crop lies outside of what is kept
    assert float(places.max()) <= SIZE


def test_the_box_goes_along(astronaut: Image.Image, seen: Face) -> None:
    [picture] = cut_pictures([astronaut], [[seen]])
    [[again]] = make_detector().detect([Image.fromarray(picture.pixels)])
    assert picture.face.box == pytest.approx(again.box, abs=6)
    assert np.ravel(picture.face.landmarks) == pytest.approx(np.ravel(again.landmarks), abs=4)


def png(text: str | None = None) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    about, file = PngInfo(), io.BytesIO()
    if text is not None:
        about.add_text("likeness-face", text)
    Image.new("RGB", (112, 112)).save(file, "PNG", pnginfo=about)
    return file.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[1]",
        "nonsense",
        '{"box": [1, 2, 3], "landmarks": []}',
        '{"box": [1, 2, 3, NaN], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}',
        '{"box": [1, 2, 3, 4e9], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}',
        '{"box": [1, 2, 3, 4], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8]]}',
        '{"box": [1, 2, 3, 4], "landmarks": 5}',
    ],
)
def test_a_picture_that_does_not_say_where_its_face_is_is_read_without(text: str | None) -> None:
    image, face = read_picture(png(text))
    assert image.size == (112, 112)
    assert face is None


@pytest.mark.parametrize("content", [b"", b"crop", png()[:60]])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="no picture"):
        read_picture(content)


def test_no_faces_give_no_pictures(astronaut: Image.Image) -> None:
    assert cut_pictures([astronaut], [[]]) == []
