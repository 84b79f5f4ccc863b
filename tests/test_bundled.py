"""The first run: nothing downloaded, nothing configured."""

import json
from pathlib import Path

import pytest
from PIL import Image

from backbones.places import bundled_or_own, find_weights
from backbones.weights import load_backbone
from data.images import save_image
from recognition.models import DEFAULT_MODEL
from recognition.service import RecognitionService
from style.config import StyleConfig
from ui.cli.main import main


@pytest.fixture
def first_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist yet; what is bundled is at hand, and nothing else."""
    monkeypatch.delenv("LIKENESS_WEIGHTS", raising=False)
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def photographs(astronaut: Image.Image, tmp_path: Path) -> tuple[Path, Path]:
    """One person twice: as taken, and smaller, turned a little and mirrored."""
    first, second = tmp_path / "first.png", tmp_path / "second.jpg"
    save_image(astronaut, first)
    other = astronaut.crop((60, 0, 400, 340)).rotate(7, Image.Resampling.BICUBIC)
    save_image(other.resize((250, 250)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), second)
    return first, second


def test_the_default_network_comes_with_the_application(first_home: Path) -> None:
    file = find_weights(DEFAULT_MODEL)
    assert file is not None
    assert file.path.parent.name == "assets"
    assert file.path.stat().st_size <= 5_000_000
    assert (file.path.with_suffix(".md")).is_file()  # its model card
    loaded = load_backbone(DEFAULT_MODEL)
    assert loaded.threshold is not None
    assert "kept out of training" in str(loaded.threshold_provenance)
    assert not first_home.exists()


def test_a_person_is_enrolled_and_known_again(
    first_home: Path, photographs: tuple[Path, Path]
) -> None:
    first, second = photographs
    with RecognitionService(device="cpu") as service:
        assert service.enroll("Eileen Collins", [first]).skipped == ()
        [found] = service.identify([second])
        assert [face.person for face in found.faces] == ["Eileen Collins"]  # type: ignore[union-attr]
        assert service.verify(first, second).same_person


def test_the_command_line_needs_no_option(
    first_home: Path, photographs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = photographs
    assert main(["enroll", str(first), "--name", "Eileen"]) == 0
    capsys.readouterr()
    assert main(["identify", str(second), "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert answer["faces"][0]["person"] == "Eileen"
    assert main(["verify", str(first), str(second)]) == 0


@pytest.mark.shared
def test_strangers_stay_unknown(
    first_home: Path, shared: Path, lfw_photos: Path, astronaut: Image.Image
) -> None:
    """At a threshold of FAR 1 %, one name for every hundred strangers is to be expected."""
    everybody = sorted(path for path in lfw_photos.iterdir() if path.is_dir())
    strangers = [next(person.glob("*.jpg")) for person in everybody][:60]
    with RecognitionService(device="cpu") as service:
        service.enroll("Eileen", [astronaut])
        answers = service.identify(strangers)
    named = sum(face.person is not None for answer in answers for face in answer.faces)  # type: ignore[union-attr]
    assert named <= 4


def test_the_networks_for_style_come_with_the_application(first_home: Path) -> None:
    for name, most in (
        ("vgg_slim", 4_000_000),
        ("draft_decoder", 5_000_000),
        ("iresnet_se", 5_000_000),  # the judge
    ):
        path = bundled_or_own(name)
        assert path is not None
        assert path.parent.name == "assets"
        assert path.stat().st_size <= most
        assert path.with_suffix(".md").is_file()  # its model card
    assert StyleConfig().backbone == "vgg_slim"
    assert not first_home.exists()


def test_a_draft_and_a_picture_and_their_verdict_need_no_download(
    first_home: Path,
    photographs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = map(str, photographs)
    draft, painted = tmp_path / "draft.png", tmp_path / "painted.png"
    assert main(["stylize", first, second, "-o", str(draft), "--size", "96", "--draft"]) == 0
    words = ["stylize", first, second, "-o", str(painted), "--size", "96", "--steps", "3"]
    assert main([*words, "--initial-image", "draft"]) == 0
    assert draft.is_file()
    assert painted.is_file()
    capsys.readouterr()
    folders = ["--sources", str(tmp_path), "--no-faces", "--json"]
    assert main(["evaluate", "style", str(draft), str(painted), *folders]) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert verdicts["judge"] == "iresnet_se"  # of another kind than what painted
    assert [each["picture"] for each in verdicts["pictures"]] == [str(draft), str(painted)]
