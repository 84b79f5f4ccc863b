"""The registry of detectors, and that a second one needs nothing but an entry in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import ArgumentError, GalleryError, WeightsError
from data.tensors import write_tensors
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
from recognition.detection.methods.config import DetectorMethod
from recognition.detection.methods.localisation import LocalisationNetwork
from recognition.faces.alignment import template
from recognition.maintenance import GalleryMaintenance, ReEmbedding
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
        minimum_score=0.5,
        make=lambda device, options: InTheMiddle(),
    )
    register_detector(spec)
    return spec


def noise(seed: int) -> Image.Image:
    """A picture in which no trained detector finds a face: blurred squares of (240, 240)."""
    drawn = np.random.default_rng(seed).integers(40, 216, (12, 12, 3), np.uint8)
    return Image.fromarray(drawn).resize((240, 240), Image.Resampling.NEAREST)


@pytest.mark.parametrize("name", detector_names())
def test_each_detector_says_what_it_is_and_gives_largest_first(
    name: str, astronaut: Image.Image, home: Path
) -> None:
    spec = detector_spec(name)
    assert spec.name == name
    assert spec.licence
    assert spec.source
    assert 0 < spec.minimum_score < 1
    if name != "mtcnn":
        with pytest.raises(WeightsError, match="train-detector"):
            make_detector("cpu", name)
        return
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
                DetectorSpec(
                    name=name, version=1, licence="", source="", minimum_score=0.5, make=second.make
                )
            )
    assert set(detector_names()) == {"in-the-middle", "mtcnn", *DetectorMethod}


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


def enrolled(home: Path, photographs: Path, detector: str) -> Path:
    """Three people, by pictures of noise, enrolled with a detector."""
    photographs.mkdir()
    with RecognitionService(
        home=home, model="mobilefacenet", device="cpu", detector=detector
    ) as service:
        for who in range(3):
            noise(who).save(photographs / f"{who}.png")
            done = service.enroll(f"Person {who}", photographs / f"{who}.png", any_quality=True)
            assert done.skipped == ()
    return home


def named(service: RecognitionService) -> list[str | None]:
    answers = service.identify([noise(who) for who in range(3)], threshold=0.99)
    return [face.person for answer in answers for face in answer.faces]  # type: ignore[union-attr]


def test_a_gallery_chooses_the_detector_that_it_was_made_with_and_refuses_others(
    second: DetectorSpec, tmp_path: Path
) -> None:
    home = enrolled(tmp_path / "home", tmp_path / "photographs", second.name)
    with RecognitionService(home=home, device="cpu") as service:
        assert named(service) == ["Person 0", "Person 1", "Person 2"]
        assert service.models.pipeline.detector_id == "in-the-middle/3"
        assert service.models.model.alignment == "five-point-112/1"
    facts = GalleryMaintenance(home).info().facts
    assert (facts["detector"], facts["alignment"]) == ("in-the-middle/3", "five-point-112/1")
    with RecognitionService(home=home, device="cpu", detector="mtcnn") as service:
        for refused in (
            lambda: service.identify(noise(0)),
            lambda: service.enroll("Somebody", noise(9)),
            lambda: service.thresholds.look_alikes(),
        ):
            with pytest.raises(GalleryError, match=r"in-the-middle/3, .* detector mtcnn/1, "):
                refused()


def test_a_later_version_of_the_detector_embeds_everybody_anew_from_photographs(
    second: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = enrolled(tmp_path / "home", tmp_path / "photographs", second.name)
    monkeypatch.setattr(InTheMiddle, "identity", "in-the-middle/4")
    with (
        RecognitionService(home=home, device="cpu") as service,
        pytest.raises(GalleryError, match=r"in-the-middle/3, .* in-the-middle/4, .*re-embed"),
    ):
        service.identify(noise(0), threshold=0.5)
    with pytest.raises(GalleryError, match="similarity of not known"):  # by kept pictures alone
        ReEmbedding(home).move("mobilefacenet", device="cpu")
    moved = ReEmbedding(home).move(
        "mobilefacenet", device="cpu", photographs=tmp_path / "photographs"
    )
    assert (moved.moved, moved.from_photographs) == (3, 3)
    with RecognitionService(home=home, device="cpu") as service:
        assert named(service) == ["Person 0", "Person 1", "Person 2"]
        assert service.models.model.detector == "in-the-middle/4"


def test_a_gallery_of_a_detector_that_is_gone_says_so_and_can_be_embedded_anew(
    second: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = enrolled(tmp_path / "home", tmp_path / "photographs", second.name)
    left = {name: spec for name, spec in module._registered.items() if name != second.name}
    monkeypatch.setattr(module, "_registered", left)
    with (
        RecognitionService(home=home, device="cpu") as service,
        pytest.raises(GalleryError, match="found by in-the-middle/3, and there is no such"),
    ):
        service.identify(noise(0))
    move = ReEmbedding(home).move
    with pytest.raises(GalleryError, match="no picture that could be embedded"):  # no face in noise
        move("mobilefacenet", device="cpu", photographs=tmp_path / "photographs")


def test_the_service_refuses_an_unknown_detector(tmp_path: Path) -> None:
    with RecognitionService(
        home=tmp_path, model="mobilefacenet", device="cpu", detector="eye"
    ) as service:
        with pytest.raises(ArgumentError, match=r"called 'eye': take one of .*mtcnn"):
            service.detect(noise(0))
        with pytest.raises(ArgumentError, match=r"called 'eye': take one of .*mtcnn"):
            service.enroll("Somebody", noise(0))


def test_every_detector_of_the_product_is_made_in_one_place() -> None:
    makers = [
        path.relative_to(ROOT)
        for folder in ("recognition", "style", "backbones", "data", "ui")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "MtcnnDetector(" in path.read_text()
    ]
    assert makers == [Path("recognition/detection/detector.py")]


def file_that_finds_the_middle(path: Path, side: float) -> Path:
    """Weights of `localise` that say of every picture: a face of this share, in the middle."""
    torch.manual_seed(0)
    network = LocalisationNetwork()
    last = network.head[-1]
    assert isinstance(last, torch.nn.Linear)
    points = torch.tensor(template().tolist()) / 112 - 0.5
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([4.0, 0, 0, side, side, *(side * points).flatten().tolist()]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, network.state_dict(), {"architecture": "localise"})
    return path


def test_people_are_enrolled_and_identified_by_a_file_of_a_detector(tmp_path: Path) -> None:
    file, home = file_that_finds_the_middle(tmp_path / "a.safetensors", 0.5), tmp_path / "home"
    enrolled(home, tmp_path / "photographs", str(file))

    def asked(detector: str | None) -> list[str | None]:
        with RecognitionService(
            home=home, model="mobilefacenet", device="cpu", detector=detector
        ) as service:
            return named(service)

    everybody = ["Person 0", "Person 1", "Person 2"]
    assert asked(str(file)) == everybody
    with pytest.raises(WeightsError, match=r"weights/localise\.safetensors"):
        asked(None)  # the gallery knows which detector it was, and not where its weights are
    file_that_finds_the_middle(home / "weights" / "localise.safetensors", 0.4)
    with pytest.raises(GalleryError, match="localise/"):
        asked(None)  # other weights of the same family
    file_that_finds_the_middle(home / "weights" / "localise.safetensors", 0.5)
    assert asked(None) == everybody
    assert asked("localise") == everybody
