"""Embedding with a small random network in place of trained ones."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import LoadedBackbone, WeightsFile, load_backbone
from data.errors import ArgumentError, ImageError, WeightsError
from data.images import to_tensor
from recognition.detection.detector import FaceDetector, make_detector
from recognition.evaluation.embeddings import already_aligned
from recognition.faces import embedding
from recognition.faces.alignment import align_faces
from recognition.faces.embedding import (
    CROP_COUNTS,
    FaceEmbedder,
    FacesInPlace,
    JoinedEmbedder,
    check_crops,
    cut_several,
    network_names,
)
from recognition.faces.pipeline import FacePipeline
from recognition.results import Face


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


def test_five_crops_are_the_face_and_four_corners():
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first, *corners = cut_several(faces, 5)
    assert first is faces
    # By hand: four pixels on, and the edge repeated behind it.
    wide = torch.nn.functional.pad(faces, (4, 4, 4, 4), mode="replicate")
    starts = [(0, 0), (0, 8), (8, 0), (8, 8)]  # top and left
    for cut, (top, left) in zip(corners, starts, strict=True):
        expected = wide[:, :, top : top + 112, left : left + 112]
        torch.testing.assert_close(cut, expected, rtol=0, atol=1e-4)


def test_fifteen_crops_are_five_at_three_scales():
    ramp = torch.linspace(-1, 1, 160).expand(1, 3, 160, 160).contiguous()
    crops = list(cut_several(ramp, 15))
    assert len(crops) == 15
    slopes = [float(crop[0, 0, 80, 81] - crop[0, 0, 80, 80]) for crop in crops]
    unit = 2 / 159
    assert slopes[:5] == pytest.approx([unit] * 5, rel=1e-3)
    assert slopes[5:10] == pytest.approx([unit / 1.06] * 5, rel=1e-3)  # larger, so less steep
    assert slopes[10:] == pytest.approx([unit * 1.06] * 5, rel=1e-3)


def test_the_crops_of_a_mirrored_face_are_the_mirrored_crops():
    faces = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    plain = torch.stack(list(cut_several(faces, 15))).mean(0)
    mirrored = torch.stack(list(cut_several(faces.flip(3), 15))).mean(0)
    torch.testing.assert_close(mirrored, plain.flip(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [-1, 0, 2, 3, 10])
def test_other_numbers_are_refused(count: int):
    with pytest.raises(ArgumentError, match="take one of 1, 5, 15"):
        check_crops(count)
    assert CROP_COUNTS == (1, 5, 15)


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
