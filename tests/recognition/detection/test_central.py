import numpy as np
import pytest
from PIL import Image

from recognition.detection.detector import FaceDetector, central_faces, make_detector

FACE = (170, 65, 278, 200)
"""About where the astronaut's face is; the crop's sides are those of the AT&T set."""


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return make_detector()


def test_a_face_in_its_surroundings_is_told_in_the_photograph_itself(
    detector: FaceDetector, astronaut: Image.Image
) -> None:
    [central, nothing] = central_faces(detector, [astronaut, Image.new("RGB", (90, 60))])
    assert central is not None
    image, face = central
    assert image is astronaut
    assert FACE[0] < face.centre[0] < FACE[2]
    assert nothing is None
    assert central_faces(detector, []) == []


def test_a_face_that_fills_the_frame_is_found_in_a_wider_one(
    detector: FaceDetector, astronaut: Image.Image
) -> None:
    (box,) = (faces[0].box for faces in detector.detect([astronaut]))
    x, y, height = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 0.75 * (box[3] - box[1])
    width = height * 92 / 112
    crop = tuple(
        round(edge) for edge in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    )
    tight = astronaut.crop(crop).convert("L").resize((92, 112)).convert("RGB")
    assert detector.detect([tight]) == [[]]
    [central] = central_faces(detector, [tight])
    assert central is not None
    image, face = central
    assert image.size == (92 + 2 * 11, 112 + 2 * 11)
    assert np.array_equal(np.array(image)[11:-11, 11:-11], np.array(tight))
    # The same eyes as in the whole photograph, where they are seen well.
    known = detector.detect([astronaut])[0][0].landmarks
    for (found_x, found_y), (known_x, known_y) in zip(face.landmarks, known, strict=True):
        assert abs((found_x - 11) / 92 * width + crop[0] - known_x) < 0.06 * width
        assert abs((found_y - 11) / 112 * height + crop[1] - known_y) < 0.06 * height
