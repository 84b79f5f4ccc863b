"""`calibrate`, and what `identify` and `verify` make of it, on pictures whose faces are known."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from corpus.pictures import face_crop
from PIL import Image
from stand_in_tail import step_tail

from recognition.results import Face, Use
from recognition.service import RecognitionService
from ui.cli.main import main
from ui.settings import Settings

D = 8

LANDMARKS = ((10.0, 10.0), (30.0, 10.0), (20.0, 20.0), (12.0, 30.0), (28.0, 30.0))


@dataclass(frozen=True)
class Found:
    face: Face
    embedding: npt.NDArray[np.float32]
    crop: npt.NDArray[np.uint8]
    picture: None = None


class SeededPipeline:
    """The first pixel's red and green say who it is, its blue which photograph of them."""

    model_id = "seeded"
    weights_digest = "c" * 64
    detector_id = "mtcnn/1"
    alignment_id = "five-point-112/1"
    dimension = D
    threshold = 0.95
    tail = step_tail(0.95).to_json()

    def faces(self, images: Sequence[Image.Image], /) -> list[list[Found]]:
        return [[self._face(*image.getpixel((0, 0)))] for image in images]

    def _face(self, red: int, green: int, blue: int) -> Found:
        own = np.random.default_rng([red, green]).normal(size=D)
        noise = np.random.default_rng([red, green, blue, 1]).normal(size=D)
        vector = own / np.linalg.norm(own) + 0.25 * noise / np.linalg.norm(noise)
        face = Face(box=(0, 0, 8, 8), detection_score=0.9, landmarks=LANDMARKS)
        crop = face_crop()
        return Found(face, (vector / np.linalg.norm(vector)).astype(np.float32), crop)


@pytest.fixture(autouse=True)
def stand_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Settings,
        "recognition_service",
        lambda *_, **__: RecognitionService(pipeline=SeededPipeline()),
    )


def folder(root: Path, people: Sequence[int], photographs: int, *, group: int) -> Path:
    """A folder of people, numbered within a group of them."""
    for number in people:
        place = root / f"person-{group}-{number:03}"
        place.mkdir(parents=True)
        for take in range(photographs):
            Image.new("RGB", (8, 8), (number, group, take)).save(place / f"{take}.png")
    return root


@pytest.fixture
def enrolled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Four people, by one photograph each."""
    root = folder(tmp_path / "enrolled", range(4), 1, group=1)
    assert main(["enroll", str(root)]) == 0
    capsys.readouterr()
    return root


@pytest.fixture
def others(tmp_path: Path) -> Path:
    return folder(tmp_path / "others", range(200), 3, group=2)


def test_a_calibrated_gallery_decides_by_its_own_threshold(
    tmp_path: Path, enrolled: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plot.png"
    wanted = ["--fpir", "0.05", "--far", "0.01", "--data", str(others), "--plot", str(plot)]
    assert main(["calibrate", *wanted, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    identify, verify = found["calibrations"]
    assert identify["use"] == "identify"
    assert verify["use"] == "verify"
    assert identify["data"] == "200 people in 600 photographs of others"
    assert (identify["people"], identify["templates"]) == (4, 4)
    assert identify["threshold_low"] < identify["threshold"] < identify["threshold_high"]
    assert identify["rate_low"] < 0.05 < identify["rate_high"]
    assert found["reliability"]["error"] < 0.05
    assert plot.stat().st_size > 1000

    ann = tmp_path / "again.png"
    Image.new("RGB", (8, 8), (0, 1, 9)).save(ann)
    stranger = others / "person-2-000" / "0.png"
    assert main(["identify", str(ann), str(stranger), "--json", "--top-k", "1"]) == 0
    out, err = capsys.readouterr()
    known, unknown = (one["faces"][0] for one in json.loads(out))
    assert err == ""
    assert known["person"] == "person-1-000"
    assert known["matches"][0]["probability"] > 0.9
    assert unknown["person"] is None
    assert main(["verify", str(ann), str(enrolled / "person-1-000" / "0.png"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["threshold"] == verify["threshold"]
    assert result["probability"] > 0.9
    assert main(["verify", str(ann), str(stranger)]) == 3
    assert "one person's with probability" in capsys.readouterr().out


def test_strangers_are_named_about_as_often_as_was_asked_for(
    tmp_path: Path, enrolled: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--fpir", "0.1", "--data", str(others)]) == 0
    text = capsys.readouterr().out
    assert "identify: threshold" in text
    assert "4 people enrolled by 4 photographs" in text
    new = folder(tmp_path / "new", range(250), 1, group=3)
    assert main(["identify", str(new), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    named = sum(one["faces"][0]["person"] is not None for one in found)
    assert 0.05 <= named / 250 <= 0.2


def test_a_gallery_that_has_outgrown_its_threshold_says_so_in_one_line(
    tmp_path: Path, enrolled: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--fpir", "0.05", "--data", str(others)]) == 0
    assert main(["enroll", str(folder(tmp_path / "more", range(30), 1, group=4))]) == 0
    photograph = str(enrolled / "person-1-000" / "0.png")
    capsys.readouterr()
    assert main(["identify", photograph]) == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: the gallery has grown from 4 to 34 photographs")
    assert err.count("\n") == 2
    assert "of strangers would be named [" in err
    assert main(["identify", photograph, "--threshold", "0.5"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["calibrate", "--fpir", "0.05", "--data", str(others)]) == 0
    capsys.readouterr()
    assert main(["identify", photograph]) == 0
    assert "warning" not in capsys.readouterr().err


def test_without_other_people_those_enrolled_are_searched_among_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enroll", str(folder(tmp_path / "many", range(250), 2, group=5))]) == 0
    capsys.readouterr()
    assert main(["calibrate", "--fpir", "0.1", "--far", "0.001", "--json"]) == 0
    identify, verify = json.loads(capsys.readouterr().out)["calibrations"]
    assert identify["data"] == verify["data"] == "those enrolled themselves"
    assert identify["threshold"] > verify["threshold"] - 0.1


def test_a_gallery_that_was_its_own_measure_is_measured_anew_when_it_outgrows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enroll", str(folder(tmp_path / "first", range(100), 2, group=6))]) == 0
    assert main(["calibrate", "--fpir", "0.1", "--far", "0.01"]) == 0
    with RecognitionService(pipeline=SeededPipeline()) as service:
        before = {use: service.thresholds.calibration(use) for use in Use}
    capsys.readouterr()
    assert main(["enroll", str(folder(tmp_path / "more", range(250), 2, group=7))]) == 0
    out, err = capsys.readouterr()
    assert "the gallery has grown from 200 to 700 photographs: its threshold was measured" in err
    assert "measured" not in out
    with RecognitionService(pipeline=SeededPipeline()) as service:
        after = {use: service.thresholds.calibration(use) for use in Use}
    assert before.keys() == after.keys()
    for use, new in after.items():
        old = before[use]
        assert old is not None
        assert new is not None
        assert (new.rate, new.prior, new.doubt) == (old.rate, old.prior, None)
        assert (new.people, new.templates) == (350, 700)
    assert main(["enroll", str(folder(tmp_path / "one", range(1), 1, group=8))]) == 0
    assert capsys.readouterr().err == ""


def test_one_that_is_too_large_to_be_measured_while_somebody_waits_says_that_it_is_outgrown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognition.thresholds.MOST_MEASURED_ANEW", 500)
    assert main(["enroll", str(folder(tmp_path / "first", range(100), 2, group=6))]) == 0
    assert main(["calibrate", "--fpir", "0.1"]) == 0
    capsys.readouterr()
    assert main(["enroll", str(folder(tmp_path / "more", range(250), 2, group=7))]) == 0
    assert "measured anew" not in capsys.readouterr().err
    assert main(["identify", str(tmp_path / "first" / "person-6-000" / "0.png")]) == 0
    assert "the gallery has grown from 200 to 700 photographs" in capsys.readouterr().err


def test_who_is_enrolled_is_no_stranger(
    tmp_path: Path, enrolled: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(others, range(2), 1, group=1)  # by name
    (others / "person-1-001").rename(others / "somebody")  # by the photograph
    assert main(["calibrate", "--fpir", "0.05", "--data", str(others)]) == 0
    out, err = capsys.readouterr()
    assert "200 people in 600 photographs" in out
    assert "2 people are enrolled and were not used: person-1-000, somebody" in err


@pytest.mark.parametrize(
    "options",
    [
        ["--fpir", "0"],
        ["--fpir", "nan"],
        ["--fpir", "0.9"],
        ["--far", "-1"],
        ["--far", "inf"],
        ["--prior", "1"],
        ["--aligned"],
        ["--identities", "nowhere.txt"],
        ["--data", "nowhere"],
        ["--plot", "plot.xyz"],
        ["--plot", "nowhere/plot.png"],
    ],
)
def test_what_cannot_be_done_is_two_and_nothing_is_kept(
    enrolled: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    photograph = str(enrolled / "person-1-000" / "0.png")
    assert main(["identify", photograph, "--json"]) == 0
    [match, *_] = json.loads(capsys.readouterr().out)[0]["faces"][0]["matches"]
    assert match["probability"] is None


def test_nobody_enrolled_is_one(others: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--data", str(others)]) == 1
    assert "nobody is enrolled" in capsys.readouterr().err
