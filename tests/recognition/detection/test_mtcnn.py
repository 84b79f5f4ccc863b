"""The detector against facenet-pytorch's own, and where that one fails."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from data.errors import ArgumentError, ImageError
from recognition.detection.detector import nearest_centre
from recognition.detection.mtcnn import MtcnnDetector
from recognition.results import Face

TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def portrait(astronaut: Image.Image) -> Image.Image:
    """The astronaut's face and shoulders, 200×230."""
    return astronaut.crop((120, 10, 320, 240))


def _iou(face: Face, box: Sequence[float]) -> float:
    return float(box_iou(torch.tensor([face.box]), torch.tensor([list(box)])))


def _gaps(face: Face, landmarks: Sequence[Sequence[float]] | Tensor) -> Tensor:
    """How far each landmark lies from where it is expected, in pixels: (5,)."""
    gaps: Tensor = torch.tensor(face.landmarks) - torch.as_tensor(landmarks)
    return gaps.square().sum(1).sqrt()


def _assert_same(found: Sequence[Face], expected: Sequence[Face], *, within: float) -> None:
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        assert face.detection_score == pytest.approx(other.detection_score, abs=1e-3)
        assert face.box == pytest.approx(other.box, abs=within)
        assert _gaps(face, other.landmarks).max() < within


def test_the_astronaut_is_found_where_facenet_finds_her(
    detector: MtcnnDetector, astronaut: Image.Image
) -> None:
    [[face]] = detector.detect([astronaut])
    boxes, scores, landmarks = MTCNN().detect(astronaut, landmarks=True)
    assert _iou(face, boxes[0]) > 0.9
    assert face.detection_score == pytest.approx(scores[0], abs=0.01)
    assert _gaps(face, landmarks[0].astype(np.float32)).max() < 2


def test_landmarks_come_in_the_order_promised(
    detector: MtcnnDetector, astronaut: Image.Image
) -> None:
    [[face]] = detector.detect([astronaut])
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_mixed_sizes_share_a_call_and_change_nothing(
    detector: MtcnnDetector, astronaut: Image.Image, portrait: Image.Image
) -> None:
    images = [
        astronaut,
        Image.new("RGB", (5, 5), "red"),
        portrait,
        portrait.resize((195, 225)),
        Image.new("RGB", (190, 220), "green"),
        astronaut.resize((900, 700)),
    ]
    together = detector.detect(images)
    assert [len(faces) for faces in together] == [1, 0, 1, 1, 0, 1]
    for image, faces in zip(images, together, strict=True):
        _assert_same(faces, detector.detect([image])[0], within=0.05)


def test_the_same_call_gives_the_same_answer(
    detector: MtcnnDetector, portrait: Image.Image
) -> None:
    assert detector.detect([portrait]) == detector.detect([portrait])
    assert detector.detect([portrait]) == MtcnnDetector().detect([portrait])


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (19, 300), (20, 20), (33, 21), (1, 3000)])
def test_tiny_images_hold_no_face(detector: MtcnnDetector, size: tuple[int, int]) -> None:
    assert detector.detect([Image.new("RGB", size, "orange")]) == [[]]


def test_no_images(detector: MtcnnDetector) -> None:
    assert detector.detect([]) == []


def test_noise_holds_no_face(detector: MtcnnDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert detector.detect([Image.fromarray(noise)]) == [[]]


@pytest.mark.parametrize(("minimum_face", "found"), [(12, 1), (23, 1), (96, 1), (160, 1), (250, 0)])
def test_every_smallest_face_has_its_pyramid(
    minimum_face: int, found: int, astronaut: Image.Image
) -> None:
    detector = MtcnnDetector(minimum_face=minimum_face)
    sizes = [(minimum_face - 1, 50), (minimum_face, minimum_face), (minimum_face + 1, 300)]
    small = [Image.new("RGB", size) for size in sizes]
    *nothing, faces = detector.detect([*small, astronaut])
    assert nothing == [[], [], []]
    assert len(faces) == found


@pytest.mark.parametrize("degrees", TURNS)
def test_a_turned_photograph_is_turned_back(
    detector: MtcnnDetector, portrait: Image.Image, degrees: int
) -> None:
    [[upright]] = detector.detect([portrait])
    turned = portrait.transpose(TURNS[degrees])
    [[face]] = detector.detect([turned])
    middle = torch.tensor([portrait.width, portrait.height]) / 2
    turned_middle = torch.tensor([turned.width, turned.height]) / 2
    cos, sin = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    turn = torch.tensor([[cos, sin], [-sin, cos]]).float()  # against the clock, y points down
    expected = (torch.tensor(upright.landmarks) - middle) @ turn.T + turned_middle
    assert _gaps(face, expected).max() < 0.1
    x1, y1, x2, y2 = face.box
    assert x1 < x2
    assert y1 < y2
    corners = (torch.tensor(upright.box).view(2, 2) - middle) @ turn.T + turned_middle
    assert face.box == pytest.approx(
        [*corners.amin(0).tolist(), *corners.amax(0).tolist()], abs=0.1
    )
    assert face.detection_score == pytest.approx(upright.detection_score, abs=1e-3)


def test_a_large_photograph_is_searched_small(
    detector: MtcnnDetector, astronaut: Image.Image
) -> None:
    [[small]] = detector.detect([astronaut])
    large = astronaut.resize((6000, 5000), Image.Resampling.BICUBIC)
    [[face]] = detector.detect([large])
    scale = torch.tensor([6000 / 512, 5000 / 512])
    expected = torch.tensor(small.landmarks) * scale
    assert _gaps(face, expected).max() < 0.1 * (face.box[2] - face.box[0])
    assert _iou(face, (torch.tensor(small.box) * scale.repeat(2)).tolist()) > 0.8


def test_searched_pixels_bound_the_search(astronaut: Image.Image) -> None:
    coarse = MtcnnDetector(searched_pixels=60 * 60)
    assert coarse.detect([astronaut]) == [[]]  # her face is 10 pixels wide then
    assert len(MtcnnDetector(searched_pixels=200 * 200).detect([astronaut])[0]) == 1


def test_faces_are_sorted_by_area(detector: MtcnnDetector, astronaut: Image.Image) -> None:
    portrait = astronaut.crop((120, 10, 320, 240))
    canvas = Image.new("RGB", (700, 460), "grey")
    canvas.paste(portrait.resize((100, 115)), (10, 10))
    canvas.paste(portrait.resize((400, 460)), (300, 0))
    canvas.paste(portrait, (105, 200))
    [faces] = detector.detect([canvas])
    assert len(faces) == 3
    assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)
    [[alone]] = detector.detect([portrait])
    x, y = faces[1].box[:2]
    assert (x - 105, y - 200) == pytest.approx(alone.box[:2], abs=8)


def test_a_thousand_faces_are_bounded_and_found(astronaut: Image.Image) -> None:
    face = np.array(astronaut.crop((180, 60, 270, 180)).resize((30, 40)))
    [found] = MtcnnDetector().detect([Image.fromarray(np.tile(face, (12, 20, 1)))])
    assert 200 < len(found) <= 240


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK", "1"])
def test_other_modes_are_refused(detector: MtcnnDetector, mode: str) -> None:
    with pytest.raises(ImageError, match="expected RGB"):
        detector.detect([Image.new(mode, (64, 64))])


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="minimum face"):
        MtcnnDetector(minimum_face=11)
    with pytest.raises(ArgumentError, match="minimum face"):
        MtcnnDetector(minimum_face=math.nan)
    with pytest.raises(ArgumentError, match="thresholds"):
        MtcnnDetector(thresholds=(0.6, 0.7, 1.0))
    with pytest.raises(ArgumentError, match="searched pixels"):
        MtcnnDetector(searched_pixels=100)
    with pytest.raises(ArgumentError, match="choose from auto, cpu, cuda"):
        MtcnnDetector("tpu")


@pytest.mark.shared
def test_all_of_a_group_are_found(detector: MtcnnDetector, shared: Path) -> None:
    group = Image.open(shared / "images" / "portraits" / "multiface.jpg").convert("RGB")
    [faces] = detector.detect([group])
    assert len(faces) == 6


@pytest.fixture(scope="module")
def photographs(lfw_photos: Path) -> list[Image.Image]:
    paths = sorted(lfw_photos.glob("*/*.jpg"))[::12][:32]
    return [Image.open(path).convert("RGB") for path in paths]


@pytest.mark.shared
def test_faces_of_lfw_lie_where_facenet_finds_them(photographs: list[Image.Image]) -> None:
    ours = MtcnnDetector(thresholds=(0.6, 0.7, 0.7)).detect(photographs)
    boxes, _, landmarks = MTCNN().detect(photographs, landmarks=True)
    overlaps, gaps = [], []
    for image, faces, their_boxes, their_landmarks in zip(
        photographs, ours, boxes, landmarks, strict=True
    ):
        face = nearest_centre(faces, image.size)
        best = max(range(len(their_boxes)), key=lambda i: _iou(face, their_boxes[i]))
        overlaps.append(_iou(face, their_boxes[best]))
        gaps.append(float(_gaps(face, their_landmarks[best].astype(np.float32)).mean()))
    # Theirs take the best single candidate, whose place scatters by about two pixels here.
    assert min(overlaps) > 0.75
    assert float(np.median(overlaps)) > 0.9
    assert max(gaps) < 5
    assert float(np.median(gaps)) < 2


@pytest.mark.shared
def test_landmarks_scatter_less_than_facenets(photographs: list[Image.Image]) -> None:
    """Landmarks of the mirrored photograph should be the mirrored landmarks."""
    mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in photographs]
    detector, facenet = MtcnnDetector(), MTCNN()

    def ours(images: list[Image.Image]) -> Tensor:
        found = detector.detect(images)
        return torch.tensor([nearest_centre(f, (250, 250)).landmarks for f in found])

    def theirs(images: list[Image.Image]) -> Tensor:
        _, _, landmarks = facenet.detect(images, landmarks=True)
        return torch.tensor(np.stack([each[0] for each in landmarks]).astype(np.float32))

    def scatter(straight: Tensor, of_mirrored: Tensor) -> float:
        back = of_mirrored[:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])
        back[..., 0] += 250
        gaps = (straight - back).norm(dim=2)
        return float(gaps.median())

    our_scatter = scatter(ours(photographs), ours(mirrored))
    assert our_scatter < 1.1
    assert our_scatter < 0.7 * scatter(theirs(photographs), theirs(mirrored))


@pytest.mark.shared
def test_turned_photographs_of_lfw_are_turned_back(photographs: list[Image.Image]) -> None:
    detector = MtcnnDetector()
    photographs = photographs[:16]
    upright = detector.detect(photographs)
    for turn in TURNS.values():
        turned = detector.detect([image.transpose(turn) for image in photographs])
        scores = [max(face.detection_score for face in faces) for faces in upright]
        found = [max((face.detection_score for face in faces), default=0) for faces in turned]
        right = [abs(a - b) < 1e-3 for a, b in zip(scores, found, strict=True)]
        assert sum(right) >= 15  # of 16
