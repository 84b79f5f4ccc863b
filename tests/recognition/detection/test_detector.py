"""The registry of detectors, and that a second one needs nothing but an entry in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import ArgumentError
from recognition.detection import detector as module
from recognition.detection.detector import (
    DEFAULT_DETECTOR,
    DetectorSpec,
    FaceDetector,
    detector_names,
    detector_spec,
    make_detector,
    register_detector,
)
from recognition.faces.alignment import template
from recognition.results import Face
from recognition.service import RecognitionService

ROOT = Path(__file__).resolve().parents[3]


class InTheMiddle:
    """Takes the middle half of every picture for a face: where MTCNN finds none, it does."""

    identity = "in-the-middle/3"

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        return [[self._face(image)] for image in images]

    def _face(self, image: Image.Image) -> Face:
        (width, height), places = image.size, template().tolist()
        a, b, c, d, e = ((width * (56 + x) / 224, height * (56 + y) / 224) for x, y in places)
        return Face((width / 4, height / 4, 3 * width / 4, 3 * height / 4), 0.99, (a, b, c, d, e))


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> DetectorSpec:
    """A second detector, for one test."""
    monkeypatch.setattr(module, "_registered", dict(module._registered))
    spec = DetectorSpec(
        name="in-the-middle",
        version=3,
        licence="none",
        source="this test",
        make=lambda device: InTheMiddle(),
    )
    register_detector(spec)
    return spec


def noise(seed: int) -> Image.Image:
    """A picture in which no trained detector finds a face: blurred squares of (240, 240)."""
    drawn = np.random.default_rng(seed).integers(40, 216, (12, 12, 3), np.uint8)
    return Image.fromarray(drawn).resize((240, 240), Image.Resampling.NEAREST)


@pytest.mark.parametrize("name", detector_names())
def test_each_detector_says_what_it_is_and_gives_largest_first(
    name: str, astronaut: Image.Image
) -> None:
    spec = detector_spec(name)
    assert spec.name == name
    assert spec.licence
    assert spec.source
    made: FaceDetector = make_detector("cpu", name)
    assert made.identity == spec.identity == f"{name}/{spec.version}"
    [faces] = made.detect([astronaut])
    assert faces == sorted(faces, key=lambda face: -face.area)
    assert len(faces) >= 1
    assert make_detector(torch.device("cpu"), name).detect([]) == []


def test_the_default_is_one_of_them() -> None:
    assert DEFAULT_DETECTOR in detector_names()
    assert make_detector().identity == detector_spec(DEFAULT_DETECTOR).identity


@pytest.mark.parametrize("name", ["", "MTCNN", "mtcnn/1", "yolo\nv8"])
def test_an_unknown_name_is_refused_in_a_line_with_all_that_are_known(
    name: str, second: DetectorSpec
) -> None:
    for ask in (detector_spec, lambda name: make_detector("cpu", name)):
        with pytest.raises(ArgumentError) as refused:
            ask(name)
        told = str(refused.value)
        assert "\n" not in told
        assert repr(name) in told
        assert all(known in told for known in ("mtcnn", second.name))


def test_a_name_is_given_once_and_fits_into_an_identity(second: DetectorSpec) -> None:
    for name in (second.name, "", "a/b"):
        with pytest.raises(ValueError, match="detector"):
            register_detector(
                DetectorSpec(name=name, version=1, licence="", source="", make=second.make)
            )
    assert detector_names() == ("in-the-middle", "mtcnn")


def test_a_second_detector_enrols_and_identifies_by_its_name(
    second: DetectorSpec, tmp_path: Path
) -> None:
    pictures = [noise(seed) for seed in range(3)]
    assert make_detector().detect(pictures) == [[], [], []]
    with RecognitionService(
        home=tmp_path, model="mobilefacenet", device="cpu", detector=second.name
    ) as service:
        assert [len(found.faces) for found in service.detect(pictures)] == [1, 1, 1]  # type: ignore[union-attr]
        for who, picture in enumerate(pictures):
            done = service.enroll(f"Person {who}", [picture], any_quality=True)
            assert done.skipped == ()
        answers = service.identify(pictures, threshold=0.99)
    named = [face.person for answer in answers for face in answer.faces]  # type: ignore[union-attr]
    assert named == ["Person 0", "Person 1", "Person 2"]


def test_the_service_refuses_an_unknown_detector(tmp_path: Path) -> None:
    with RecognitionService(
        home=tmp_path, model="mobilefacenet", device="cpu", detector="eye"
    ) as service:
        with pytest.raises(ArgumentError, match="no detector is called 'eye': take one of mtcnn"):
            service.detect(noise(0))
        with pytest.raises(ArgumentError, match="no detector is called 'eye': take one of mtcnn"):
            service.enroll("Somebody", noise(0))


def test_every_detector_of_the_product_is_made_in_one_place() -> None:
    makers = [
        path.relative_to(ROOT)
        for folder in ("recognition", "style", "backbones", "data", "ui")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "MtcnnDetector(" in path.read_text()
    ]
    assert makers == [Path("recognition/detection/detector.py")]
