"""Faces planted in a photograph of 12 megapixels are found, from 60 pixels on."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from recognition.detection.detector import (
    FaceDetector,
    largest,
    make_detector,
)
from recognition.results import Face

SIZE = (4000, 3000)
SIDES = (60, 62, 66, 72, 80, 95, 120, 160, 220, 300, 360, 420)
"""Of the planted faces, in pixels; a field of 1000×1000 for each."""


DETECTORS = ("mtcnn",)
"""Those whose weights come along."""


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    return make_detector("cpu", request.param)


def planted(portrait: Image.Image, face: Face) -> tuple[Image.Image, list[list[float]]]:
    """A photograph of slowly varying colour, with the portrait in every field of it."""
    source = np.random.default_rng(5)
    coarse = source.integers(60, 196, (6, 8, 3), dtype=np.uint8)
    photograph = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    x1, y1, x2, y2 = face.box
    side = face.area**0.5
    # What is cut out around it goes into a field also where the face has 420 pixels.
    left, top = max(0, round(x1 - side / 2)), max(0, round(y1 - side / 2))
    cut = portrait.crop((left, top, round(x2 + side / 2), round(y2 + side / 2)))
    boxes = []
    for number, wanted in enumerate(source.permutation(SIDES)):
        scale = float(wanted) / side
        made = cut.resize((round(cut.width * scale), round(cut.height * scale)))
        x = number % 4 * 1000 + int(source.integers(1001 - made.width))
        y = number // 4 * 1000 + int(source.integers(1001 - made.height))
        photograph.paste(made, (x, y))
        boxes.append(
            [
                x + (x1 - left) * scale,
                y + (y1 - top) * scale,
                x + (x2 - left) * scale,
                y + (y2 - top) * scale,
            ]
        )
    return photograph, boxes


def test_all_faces_planted_in_twelve_megapixels_are_found(
    detector: FaceDetector, astronaut: Image.Image
) -> None:
    [faces] = detector.detect([astronaut])
    photograph, boxes = planted(astronaut, largest(faces))
    [found] = detector.detect([photograph])
    overlaps = box_iou(torch.tensor(boxes), torch.tensor([face.box for face in found]))
    assert overlaps.shape == (len(SIDES), len(SIDES))  # and nothing else
    assert overlaps.amax(1).min() > 0.6
    assert sorted(overlaps.argmax(1).tolist()) == list(range(len(SIDES)))
