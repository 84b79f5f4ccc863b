"""`evaluate tails`, and what `identify` makes of it, on pictures whose faces are known."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from data.errors import WeightsError
from recognition.tail_cards import find_tail
from ui.cli import embedding_options
from ui.cli.main import main
from ui.settings import Settings

D = 16


@dataclass(frozen=True)
class Embedder:
    """What is asked of a network beside its embeddings."""

    model_id: str = "seeded"
    weights_digest: str = "cd" * 32
    is_mirrored: bool = True
    is_as_measured: bool = True
    tail: str | None = None
    weights_path: Path | None = None


def find(images: Sequence[Image.Image]) -> list[list[npt.NDArray[np.float32]]]:
    """The first pixel says who it is, and which photograph; a black one has no face."""
    found = []
    for image in images:
        red, green, blue = image.getpixel((0, 0))
        own = np.random.default_rng([red, green]).normal(size=D)
        vector = own + 0.5 * np.random.default_rng([red, green, blue]).normal(size=D)
        found.append([(vector / np.linalg.norm(vector)).astype(np.float32)] if green else [])
    return found


@pytest.fixture(autouse=True)
def stand_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_options, "plain_finder", lambda way, settings: find)
    monkeypatch.setattr(Settings, "face_embedder", lambda self, **terms: Embedder())


def people(root: Path, count: int, photographs: int, group: int) -> Path:
    for number in range(count):
        place = root / f"p{group}-{number:03}"
        place.mkdir(parents=True)
        for take in range(photographs):
            Image.new("RGB", (8, 8), (number, group, take)).save(place / f"{take}.png")
    return root


def test_what_is_measured_is_kept_and_kept_to(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = people(tmp_path / "known", 200, 2, 1)
    (tmp_path / "second.txt").write_text("p1-007\n")
    words = ["--people", str(known), "--leave-out", str(tmp_path / "second.txt")]
    assert main(["evaluate", "tails", *words]) == 0
    out = capsys.readouterr().out
    assert "measured on 199 people in 398 photographs" in out
    tail = find_tail("cd" * 32, home=home)
    assert tail is not None
    assert (tail.people, tail.mirror, tail.weights_sha256) == (199, True, "cd" * 32)
    assert find_tail("ef" * 32, home=home) is None

    # People whom it was not measured on, searched at the threshold that it gives.
    others = people(tmp_path / "others", 200, 2, 2)
    words = ["--people", str(others), "--enrol", "20", "--draws", "20"]
    assert main(["evaluate", "identify", *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["enrolled"] == 20
    of_three, *_ = (one for one in result["promises"] if one["wanted"] == 0.03)
    assert 0.4 < of_three["over_wanted"] < 2.2
    low, high = of_three["over_wanted_interval"]
    assert low < of_three["over_wanted"] < high
    assert (of_three["strangers"], of_three["stranger_photographs"]) == (200, 400)
    [of_few] = (one for one in result["promises"] if one["wanted"] == 0.003)
    assert of_few["over_wanted"] is None  # 400 photographs let 1.2 errors expect
    assert main(["evaluate", "identify", *words]) == 0
    assert "at the threshold for 3 % of strangers" in capsys.readouterr().out


def test_a_card_goes_where_it_is_wanted(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = people(tmp_path / "known", 120, 1, 1)
    card = tmp_path / "cards" / "mine.json"
    words = ["--people", str(known), "--words", "people of a test", "-o", str(card)]
    assert main(["evaluate", "tails", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["measured_on"] == json.loads(card.read_text())["measured_on"] == "people of a test"
    assert find_tail("cd" * 32, home=home) is None


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("folder.json", "is a folder"),
        ("file/card.json", "is no folder"),
        ("tail.safetensors", "no single weights file"),
        ("net.safetensors", "is also an input"),
        ("link.safetensors", "is also an input"),
        ("file/net.safetensors", "is no folder"),
        ("card.txt", "name such a file"),
        (None, "is no folder"),
    ],
)
def test_a_place_that_takes_no_result_is_refused_before_any_work(
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str | None,
    reason: str,
) -> None:
    known = people(tmp_path / "known", 120, 1, 1)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "net.safetensors")
    if place is None:
        home.mkdir(exist_ok=True)
        (home / "tails").touch()
    single = None if place == "tail.safetensors" else tmp_path / "net.safetensors"
    monkeypatch.setattr(
        Settings, "face_embedder", lambda self, **terms: Embedder(weights_path=single)
    )
    monkeypatch.setattr(
        embedding_options,
        "plain_finder",
        lambda way, settings: lambda images: pytest.fail("it began"),
    )
    out = [] if place is None else ["-o", str(tmp_path / place)]
    assert main(["evaluate", "tails", "--people", str(known), *out]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("error:") == 1


def test_what_cannot_be_measured_is_one_line_and_leaves_nothing(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = people(tmp_path / "few", 20, 2, 1)
    for words in (
        ["--people", str(few)],
        ["--people", str(tmp_path / "nowhere")],
        ["--people", str(few), "-o", str(tmp_path / "card.txt")],
        ["--people", str(few), "--leave-out", str(tmp_path / "nowhere.txt")],
    ):
        assert main(["evaluate", "tails", *words]) == 2
        assert capsys.readouterr().err.count("error:") == 1
    assert not (home / "tails").exists()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe tail", b"", b"{}", b"[" * 100_000, b"\x00", b'{"format": 99}', None]
)
def test_a_card_that_cannot_be_read_is_named_in_a_line(home: Path, content: bytes | None) -> None:
    card = home / "tails" / f"seeded-{'cd' * 8}.json"
    card.parent.mkdir(parents=True)
    if content is None:
        card.mkdir()
    else:
        card.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(card))) as caught:
        find_tail("cd" * 32, home=home)
    assert "\n" not in str(caught.value)
    assert "evaluate tails" in str(caught.value)
