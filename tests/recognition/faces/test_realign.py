import pytest
import torch
from PIL import Image

from backbones.spec import Alignment
from data.images import to_image
from recognition.detection.detector import FaceDetector, make_detector
from recognition.faces.alignment import align_faces, realign, template
from recognition.results import Face


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
