"""Alignment against closed forms, finer sampling, and facenet-pytorch's cropping."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from facenet_pytorch import extract_face
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment
from data.errors import ImageError
from data.images import to_image
from recognition.detection.detector import FaceDetector, make_detector
from recognition.faces.alignment import (
    align_faces,
    align_tensors,
    box_transforms,
    crop_size,
    eyes_template,
    inverted,
    of_parts,
    realign,
    shrinkage,
    similarity_transforms,
    template,
    warp,
)
from recognition.results import Box, Face, Point


def _face_at(landmarks: Tensor) -> Face:
    """A face with landmarks (5, 2); its box is where the template's crop of 112×112 would be."""
    points: list[Point] = [(x, y) for x, y in landmarks.tolist()]
    low, high = landmarks.amin(0).tolist(), landmarks.amax(0).tolist()
    box: Box = (low[0], low[1], high[0], high[1])
    return Face(box, 0.99, (points[0], points[1], points[2], points[3], points[4]))


def _smooth(x: Tensor, y: Tensor) -> Tensor:
    """A smooth pattern over the crop's 112×112 pixels, three channels, 0 … 1."""
    waves = [
        torch.sin(x / 9 + y / 17),
        torch.cos(x / 13 - y / 8),
        torch.sin((x + 2 * y) / 21),
    ]
    return torch.stack(waves) / 2 + 0.5


def _drawn(to_crop: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], size: int) -> Image.Image:
    """An image in which the pattern lies as `to_crop` (image → crop coordinates) says."""
    centres = torch.arange(size) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    pixels = _smooth(*to_crop(x, y))
    return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())


def _psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).square().mean()))


def _pattern() -> Tensor:
    centres = torch.arange(112) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return _smooth(x, y)


def test_a_face_at_the_template_comes_back_unchanged() -> None:
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    )
    [crop] = align_faces([image], [[_face_at(template())]])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    torch.testing.assert_close(crop, pixels, atol=1e-4, rtol=0)


def test_a_shift_by_whole_pixels_is_exact() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 160, 3), dtype=np.uint8)
    [crop] = align_faces(
        [Image.fromarray(pixels)], [[_face_at(template() + torch.tensor([30.0, 20.0]))]]
    )
    expected = torch.from_numpy(pixels[20:132, 30:142]).permute(2, 0, 1) / 255
    torch.testing.assert_close(crop, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("angle", [0, 30, 90, 180, -135])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4, 3.0, 6.3])
def test_a_turned_and_scaled_pattern_is_brought_back(angle: float, scale: float) -> None:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    size = math.ceil(112 * scale * 1.6)
    middle = size / 2

    def to_crop(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = (x - middle) / scale, (y - middle) / scale
        return cos * x + sin * y + 56, -sin * x + cos * y + 56

    offset = (template() - 56) * scale
    x, y = offset.unbind(1)
    landmarks = torch.stack([cos * x - sin * y, sin * x + cos * y], 1) + middle
    [crop] = align_faces([_drawn(to_crop, size)], [[_face_at(landmarks)]])
    assert _psnr(crop, _pattern()) > 38


def test_fine_noise_is_averaged_and_not_sampled() -> None:
    scale = 8
    noise = np.random.default_rng(0).integers(0, 256, (112 * scale, 112 * scale, 3), dtype=np.uint8)
    [crop] = align_faces([Image.fromarray(noise)], [[_face_at(template() * scale)]])
    pixels = torch.from_numpy(noise).float().permute(2, 0, 1) / 255
    means = torch.nn.functional.avg_pool2d(pixels, scale)
    assert (crop - means).abs().max() < 0.01  # the reduced pixels are rounded to 8 bits


def test_outside_of_the_image_is_black() -> None:
    image = Image.new("RGB", (112, 112), "white")
    [crop] = align_faces([image], [[_face_at(template() - torch.tensor([56.0, 0]))]])
    assert crop[:, :, :55].max() == 0
    assert crop[:, :, 57:].min() > 0.999


def test_a_face_far_outside_is_all_black() -> None:
    image = Image.new("RGB", (50, 40), "white")
    [crop] = align_faces([image], [[_face_at(template() + 1000)]])
    assert crop.max() == 0


def test_no_faces() -> None:
    image = Image.new("RGB", (20, 20))
    assert align_faces([image, image], [[], []]).shape == (0, 3, 112, 112)
    assert align_faces([], [], Alignment.BOX).shape == (0, 3, 160, 160)
    assert align_faces([], [], Alignment.EYES).shape == (0, 3, 96, 96)


def test_coinciding_landmarks_are_refused() -> None:
    with pytest.raises(ImageError):
        align_faces([Image.new("RGB", (20, 20))], [[_face_at(torch.ones(5, 2))]])


@pytest.mark.parametrize("alignment", [Alignment.FIVE_POINT, Alignment.EYES, Alignment.BOX])
def test_company_changes_nothing(astronaut: Image.Image, alignment: Alignment) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [astronaut, astronaut.resize((1200, 1300)), astronaut.crop((100, 0, 300, 180))]
    faces = []
    for image in images:
        corners = torch.rand(40, 1, 2, generator=generator) * image.width / 2
        sizes = torch.rand(40, 1, 1, generator=generator) * 3 + 0.2
        faces.append([_face_at(each) for each in corners + sizes * template()])
    together = align_faces(images, faces, alignment)
    alone = [
        align_faces([image], [[face]], alignment)
        for image, own in zip(images, faces, strict=True)
        for face in own
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    # 146 and 292 pixels get a margin of whole pixels; facenet-pytorch drops fractions of one.
    ("box", "least_psnr"),
    # The third reaches over the border, where both cut it off and stretch the rest.
    [((150, 50, 296, 196), 70), ((100, 20, 392, 312), 33), ((400, 100, 546, 246), 30)],
)
def test_box_alignment_is_facenets(astronaut: Image.Image, box: Box, least_psnr: float) -> None:
    landmarks = template() + torch.tensor(box[:2])
    face = Face(box, 1.0, _face_at(landmarks).landmarks)
    [crop] = align_faces([astronaut], [[face]], Alignment.BOX)
    theirs = extract_face(astronaut, list(box), image_size=160, margin=14) / 255
    assert _psnr(crop, theirs) > least_psnr


def test_nothing_but_the_eyes_decides_where_a_face_lies_that_is_aligned_by_them() -> None:
    """Two bright spots come to rest at the two points, wherever nose and mouth are."""
    centres = torch.arange(160) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    left, right = torch.tensor([50.0, 90.0]), torch.tensor([110.0, 60.0])
    spots = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 50) for a, b in (left, right)]
    grey = (sum(spots) * 255).round().byte()  # type: ignore[union-attr]
    image = Image.fromarray(grey.numpy()).convert("RGB")
    rest = torch.rand(3, 2, generator=torch.Generator().manual_seed(0)) * 160
    faces = [_face_at(torch.cat([left[None], right[None], each])) for each in (rest, rest * 0.3)]
    first, second = align_faces([image, image], [[face] for face in faces], Alignment.EYES)
    assert torch.equal(first, second)
    centres = torch.arange(96) + 0.5
    for half, eye_x in ((first[0, :, :48], 30.0), (first[0, :, 48:], 66.0 - 48)):
        found_x = (half.sum(0) * centres[:48]).sum() / half.sum()
        found_y = (half.sum(1) * centres).sum() / half.sum()
        assert (found_x.item(), found_y.item()) == pytest.approx((eye_x, 38.0), abs=0.1)


@pytest.mark.parametrize("scale", [0.8, 1.2, 4.0])
@pytest.mark.parametrize("alignment", [Alignment.FIVE_POINT, Alignment.EYES])
def test_tensors_are_aligned_as_photographs(scale: float, alignment: Alignment) -> None:
    generator = np.random.default_rng(0)
    side = math.ceil(112 * scale) + 60
    blocks = generator.integers(0, 256, (2, side // 12 + 1, side // 12 + 1, 3), dtype=np.uint8)
    arrays = [np.kron(each, np.ones((12, 12, 1), np.uint8))[:side, :side] for each in blocks]
    landmarks = torch.stack([template() * scale + shift for shift in (5.0, 20.0, 31.0)])
    owners = torch.tensor([1, 0, 1])
    images = torch.stack([torch.from_numpy(each) for each in arrays]).permute(0, 3, 1, 2) / 255
    if alignment is Alignment.EYES:
        transforms = similarity_transforms(landmarks[:, :2], eyes_template())
    else:
        transforms = similarity_transforms(landmarks)
    crops = align_tensors(images, owners, transforms, crop_size(alignment))
    for crop, owner, points in zip(crops, owners.tolist(), landmarks, strict=True):
        [expected] = align_faces([Image.fromarray(arrays[owner])], [[_face_at(points)]], alignment)
        assert _psnr(crop, expected) > 25


def test_gradients_reach_the_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, 9, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    turn = torch.tensor([[0.9, 0.2, -1.0], [-0.2, 0.9, 1.0]], dtype=torch.float64)
    transforms = torch.stack([turn, turn * 0.4])
    owners = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(
        lambda pixels: align_tensors(pixels, owners, transforms, 5), (images,)
    )


def test_warp_of_the_identity_is_the_image() -> None:
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    identity = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    torch.testing.assert_close(warp(image, identity, 20), image[..., :20], atol=1e-5, rtol=0)


angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.05, 20)
shifts = st.floats(-500, 500)


def _applied(transforms: Tensor, points: Tensor) -> Tensor:
    """(F, 2, 3) on (F, N, 2)."""
    return points @ transforms[:, :, :2].mT + transforms[:, None, :, 2]


def _similarity(angle: float, scale: float, x: float, y: float) -> Tensor:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float64)


@given(angle=angles, scale=scales, x=shifts, y=shifts)
def test_a_moved_template_is_brought_back(angle: float, scale: float, x: float, y: float) -> None:
    moved = _applied(_similarity(angle, scale, x, y), template().double()[None])
    transform = similarity_transforms(moved)
    torch.testing.assert_close(
        _applied(transform, moved), template().double()[None], atol=1e-6, rtol=0
    )
    assert shrinkage(transform).item() == pytest.approx(scale)


def test_it_is_the_least_squares_solution() -> None:
    generator = torch.Generator().manual_seed(1)
    landmarks = torch.rand(20, 5, 2, generator=generator, dtype=torch.float64) * 200
    target = template().double()
    fitted = similarity_transforms(landmarks)
    for points, transform in zip(landmarks.numpy(), fitted.numpy(), strict=True):
        x, y = points.T
        one, zero = np.ones(5), np.zeros(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        (a, b, c, d), *_ = np.linalg.lstsq(rows, target.numpy().T.ravel(), rcond=None)
        np.testing.assert_allclose(transform, [[a, -b, c], [b, a, d]], atol=1e-8)


def test_it_never_mirrors() -> None:
    mirrored = template()[None] * torch.tensor([-1.0, 1.0])
    assert torch.linalg.det(similarity_transforms(mirrored)[:, :, :2]).item() > 0


def test_the_template_scales_with_the_crop() -> None:
    torch.testing.assert_close(template(224), template() * 2)
    transform = similarity_transforms(template()[None], template(224))
    expected = torch.tensor([[[2.0, 0, 0], [0, 2, 0]]])
    torch.testing.assert_close(transform, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [3.0, math.nan, math.inf])
def test_landmarks_that_say_nothing_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match="cannot be aligned"):
        similarity_transforms(torch.full((1, 5, 2), value))


def test_no_faces_no_transforms() -> None:
    assert similarity_transforms(torch.zeros(0, 5, 2)).shape == (0, 2, 3)


def test_gradients_reach_the_landmarks() -> None:
    landmarks = (template().double()[None] * 1.3).requires_grad_()
    assert torch.autograd.gradcheck(similarity_transforms, (landmarks,))


@given(angle=angles, scale=scales, x=shifts, y=shifts)
def test_inverted_undoes(angle: float, scale: float, x: float, y: float) -> None:
    transform = _similarity(angle, scale, x, y)
    points = template().double()[None]
    back = _applied(inverted(transform), _applied(transform, points))
    torch.testing.assert_close(back, points, atol=1e-6, rtol=0)


def test_a_part_goes_where_the_whole_goes() -> None:
    transform = _similarity(0.4, 0.3, 12, -7)
    origin, factor = torch.tensor([[64.0, 32.0]], dtype=torch.float64), torch.tensor([4])
    in_image = torch.tensor([[[100.0, 80.0], [64.0, 32.0]]], dtype=torch.float64)
    in_part = (in_image - origin) / 4
    part_transform = of_parts(transform, origin, factor)
    torch.testing.assert_close(_applied(part_transform, in_part), _applied(transform, in_image))


def _upright_face(x1: float, y1: float, x2: float, y2: float) -> tuple[Tensor, Tensor]:
    box = torch.tensor([[x1, y1, x2, y2]])
    low, side = box[:, None, :2], (box[:, 2:] - box[:, :2])[:, None]
    return box, low + template()[None] / 112 * side


def _facenets_box(box: list[float], width: int, height: int) -> list[float]:
    """The rectangle that facenet-pytorch resizes to 160×160, before it drops the fractions."""
    x_margin = 14 * (box[2] - box[0]) / (160 - 14)
    y_margin = 14 * (box[3] - box[1]) / (160 - 14)
    return [
        max(box[0] - x_margin / 2, 0),
        max(box[1] - y_margin / 2, 0),
        min(box[2] + x_margin / 2, width),
        min(box[3] + y_margin / 2, height),
    ]


@pytest.mark.parametrize("box", [[50.0, 60, 110, 150], [-4.0, 2, 70, 90], [150.0, 120, 203, 160]])
def test_box_transform_maps_facenets_rectangle_to_the_crop(box: list[float]) -> None:
    boxes, landmarks = _upright_face(*box)
    transform = box_transforms(boxes, landmarks, torch.tensor([[200, 160]]))
    x1, y1, x2, y2 = _facenets_box(box, 200, 160)
    corners = torch.tensor([[[x1, y1], [x2, y1], [x1, y2], [x2, y2]]])
    expected = torch.tensor([[[0.0, 0], [160, 0], [0, 160], [160, 160]]])
    torch.testing.assert_close(_applied(transform, corners), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_box_transform_turns_a_lying_face_upright(quarters: int) -> None:
    boxes, landmarks = _upright_face(80, 70, 120, 130)
    upright = box_transforms(boxes, landmarks, torch.tensor([[200, 200]]))
    expected = _applied(upright, landmarks)
    middle = torch.tensor([100.0, 100.0])
    angle = quarters * math.pi / 2
    cos, sin = round(math.cos(angle)), round(math.sin(angle))
    turn = torch.tensor([[cos, -sin], [sin, cos]]).float()
    corners = (boxes.view(1, 2, 2) - middle) @ turn.T + middle
    turned_box = torch.cat([corners.amin(1), corners.amax(1)], 1)
    turned_landmarks = (landmarks - middle) @ turn.T + middle
    transform = box_transforms(turned_box, turned_landmarks, torch.tensor([[200, 200]]))
    torch.testing.assert_close(_applied(transform, turned_landmarks), expected, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector()


class Finds:
    """A detector that finds the same in every picture."""

    identity = "finds/1"

    def __init__(self, *faces: Face) -> None:
        self._all = list(faces)

    def detect(self, images):  # type: ignore[no-untyped-def]
        return [self._all for _ in images]


def face_at(landmarks: torch.Tensor) -> Face:
    a, b, c, d, e = ((x, y) for x, y in landmarks.tolist())
    low, high = landmarks.amin(0).tolist(), landmarks.amax(0).tolist()
    return Face((low[0], low[1], high[0], high[1]), 0.99, (a, b, c, d, e))


def test_it_comes_close_to_the_crop_from_the_photograph(
    detector: FaceDetector, astronaut: Image.Image
) -> None:
    [faces] = detector.detect([astronaut])
    [five_point] = align_faces([astronaut], [faces])
    [wanted] = align_faces([astronaut], [faces], Alignment.EYES)
    [found] = realign([to_image(five_point)], Alignment.EYES, detector)
    assert found.shape == (3, 96, 96)
    [without] = realign([to_image(five_point)], Alignment.EYES, Finds())
    assert (found - wanted).abs().mean() < min(0.05, (without - wanted).abs().mean())


def test_without_a_face_the_templates_eyes_are_taken() -> None:
    crop = Image.effect_noise((112, 112), 80).convert("RGB")
    expected = align_faces([crop], [[face_at(template())]], Alignment.EYES)
    nobody = realign([crop], Alignment.EYES, Finds())
    torch.testing.assert_close(nobody, expected, atol=1e-4, rtol=0)
    elsewhere = face_at(template() * 0.4 + 5)  # a face in the background
    torch.testing.assert_close(
        realign([crop], Alignment.EYES, Finds(elsewhere)), expected, atol=1e-4, rtol=0
    )


def test_the_eyes_found_count() -> None:
    crop = Image.effect_noise((112, 112), 80).convert("RGB")
    face = face_at(template() + torch.tensor([3.0, -2.0]))
    beside = face_at(template() - 60)
    found = realign([crop], Alignment.EYES, Finds(beside, face))
    torch.testing.assert_close(found, align_faces([crop], [[face]], Alignment.EYES))


def test_only_five_point_crops_are_taken() -> None:
    with pytest.raises(ValueError, match="112×112"):
        realign([Image.new("RGB", (96, 96))], Alignment.EYES, Finds())
    with pytest.raises(ValueError, match="does not hold"):
        realign([Image.new("RGB", (112, 112))], Alignment.BOX, Finds())
    assert realign([], Alignment.EYES, Finds()).shape == (0, 3, 96, 96)
