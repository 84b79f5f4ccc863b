"""Faces in place are embedded as the pipeline embeds them, and gradients reach their pixels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, WeightsFile, load_backbone
from data.errors import ImageError
from data.images import to_tensor
from recognition.detection.detector import FaceDetector, make_detector
from recognition.faces.alignment import align_faces
from recognition.faces.embedding import FaceEmbedder, FacesInPlace
from recognition.results import Face


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector()


@pytest.fixture(scope="module", params=["mobilefacenet", "iresnet_se"])
def embedder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> FaceEmbedder:
    """A bundled recogniser; the two differ in alignment."""
    return FaceEmbedder(load_backbone(request.param, home=tmp_path_factory.mktemp("home")))


def _turned(photograph: Image.Image, degrees: float) -> Image.Image:
    return photograph.rotate(degrees, Image.Resampling.BICUBIC)


def _cut_by_the_border(photograph: Image.Image, _: float) -> Image.Image:
    """The face loses an ear and part of the forehead."""
    return photograph.crop((190, 80, 440, 330))


@pytest.mark.parametrize(
    ("side", "change", "by"),
    [
        (512, _turned, 0),
        (512, _turned, 35),
        (300, _turned, -25),
        (185, _turned, 0),  # the face is 40 pixels wide
        (512, _cut_by_the_border, 0),
    ],
)
def test_embeddings_are_those_of_the_pipeline(
    astronaut: Image.Image,
    detector: FaceDetector,
    embedder: FaceEmbedder,
    side: int,
    change: object,
    by: float,
) -> None:
    photograph = change(astronaut.resize((side, side)), by)  # type: ignore[operator]
    [[face]] = detector.detect([photograph])
    [expected] = embedder.embed(align_faces([photograph], [[face]], embedder.alignment))
    [found] = FacesInPlace(embedder, [face], photograph.size)(to_tensor(photograph)[None])
    assert float(found @ torch.from_numpy(expected)) > 0.99


def test_a_picture_of_another_size_shows_the_same_faces(
    astronaut: Image.Image, detector: FaceDetector, embedder: FaceEmbedder
) -> None:
    [[face]] = detector.detect([astronaut])
    place = FacesInPlace(embedder, [face], astronaut.size)
    [whole] = place(to_tensor(astronaut)[None])
    for size in ((300, 300), (700, 700), (301, 300)):
        scaled = astronaut.resize(size, Image.Resampling.BICUBIC)
        assert float(place(to_tensor(scaled)[None])[0] @ whole) > 0.95


def _small(alignment: Alignment = Alignment.FIVE_POINT) -> FaceEmbedder:
    """A small random network in double precision, whose numbers are not zero."""
    backbone = create("mobilefacenet", seed=0, embedding_size=8, input_size=(112, 112)).double()
    return FaceEmbedder(
        LoadedBackbone(
            backbone=backbone.requires_grad_(False).eval(),
            weights=WeightsFile(
                path=Path("w.safetensors"), sha256="0" * 64, metadata={}, architecture="x"
            ),
            threshold=None,
            threshold_provenance=None,
            mirror=True,
            input_size=(112, 112),
            alignment=alignment,
        )
    )


def _face(shift: float = 0.0) -> Face:
    points = [(38.0, 52.0), (73.0, 51.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0)]
    five = tuple((x * 0.4 + 10 + shift, y * 0.4 + 8) for x, y in points)
    return Face((10 + shift, 8, 50 + shift, 52), 0.99, five)  # type: ignore[arg-type]


def _picture(height: int = 60, width: int = 110) -> Tensor:
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 12, generator=source, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def test_gradients_are_the_differences_quotients() -> None:
    place = FacesInPlace(_small(), [_face(), _face(50)], (110, 60))
    picture = _picture().requires_grad_(True)
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def score(image: Tensor) -> Tensor:
        return (place(image) * weights).sum()

    [gradient] = torch.autograd.grad(score(picture), picture)
    step = 1e-8  # among millions of rectified numbers, some change sign within a larger one
    for seed in range(2):
        source = torch.Generator().manual_seed(seed)
        way = torch.randn(picture.shape, generator=source, dtype=torch.float64)
        with torch.no_grad():
            quotient = (score(picture + step * way) - score(picture - step * way)) / (2 * step)
        assert quotient.item() == pytest.approx((gradient * way).sum().item(), rel=1e-4)


def test_a_face_has_no_say_outside_of_its_crop() -> None:
    place = FacesInPlace(_small(), [_face(), _face(50)], (110, 60))
    picture = _picture().requires_grad_(True)
    [gradient] = torch.autograd.grad(place(picture)[0].sum(), picture)
    assert gradient[..., :55].abs().sum() > 0
    assert gradient[..., 60:].abs().sum() == 0


def test_a_few_steps_uphill_make_another_face_alike(astronaut: Image.Image) -> None:
    place = FacesInPlace(_small(), [_face()], (110, 60))
    wanted = place(to_tensor(astronaut.crop((150, 20, 370, 140)).resize((110, 60)))[None].double())
    picture = _picture().requires_grad_(True)
    likeness = []
    for _ in range(4):
        alike = (place(picture) * wanted).sum()
        [gradient] = torch.autograd.grad(alike, picture)
        picture = (picture + 0.03 * gradient.sign()).clamp(0, 1).detach().requires_grad_(True)
        likeness.append(alike.item())
    assert likeness[-1] > likeness[0] + 0.2 * (1 - likeness[0])


def test_landmarks_that_coincide_are_refused() -> None:
    point = (math.pi, math.pi)
    flat = Face((0, 0, 9, 9), 0.9, (point, point, point, point, point))
    with pytest.raises(ImageError, match="coincide"):
        FacesInPlace(_small(), [flat], (20, 20))


def test_the_embedder_itself_agrees_with_its_differentiable_half() -> None:
    loaded = _small()
    crops = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    single = FaceEmbedder(loaded._loaded)
    single._backbone.float()
    found = single.differentiable(crops)
    np.testing.assert_allclose(found.numpy(), single.embed(crops), atol=1e-5)
    with pytest.raises(ValueError, match=r"expected crops"):
        single.differentiable(crops[..., :96])
