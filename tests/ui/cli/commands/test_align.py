"""`align`: what it says, in words and as JSON, and what it refuses before anything is done."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recognition.learning.folder_alignment
from data.folders import Account, LeftOut
from recognition.learning.folder_alignment import AlignmentConfig, AlignmentReport
from recognition.results import FailedImage
from ui.cli.main import main


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[AlignmentConfig]:
    """What would have been aligned; of three photographs one has no face."""
    made: list[AlignmentConfig] = []

    def align_folder(config: AlignmentConfig, progress: object) -> AlignmentReport:
        made.append(config)
        left = (
            LeftOut(config.source / "b.dng", ".dng"),
            LeftOut(config.source / "@eaDir", "hidden"),
        )
        return AlignmentReport(
            2, 4, (FailedImage("Ann/3.jpg", "no face found"),), Account(config.source, left)
        )

    monkeypatch.setattr(recognition.learning.folder_alignment, "align_folder", align_folder)
    return made


def test_flags_reach_the_service_and_the_report_the_user(
    calls: list[AlignmentConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["align", str(tmp_path / "a"), str(tmp_path / "b"), "--workers", "3"]
    assert main([*command, "--format", "jpg", "--device", "cpu"]) == 1
    [config] = calls
    assert (config.source, config.destination) == (tmp_path / "a", tmp_path / "b")
    assert (config.format, config.workers, config.device) == ("jpg", 3, "cpu")
    out, err = capsys.readouterr()
    assert out == "aligned 2 photographs, 4 aligned before\n"
    assert err.splitlines() == [
        "error: Ann/3.jpg: no face found",
        f"error: {tmp_path / 'a'}: not taken: 1 .dng (b.dng); passed over: 1 hidden",
    ]


def test_as_json(
    calls: list[AlignmentConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["align", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "aligned": 2,
        "kept": 4,
        "missed": [{"image": "Ann/3.jpg", "error": "no face found"}],
        "folder": str(tmp_path / "a"),
        "not_taken": {".dng": 1},
        "passed_over": {"hidden": 1},
        "examples": ["b.dng"],
    }


@pytest.mark.parametrize(
    "words",
    [
        ["{src}", "{src}"],
        ["{src}", "{src}/faces"],
        ["{src}/Ann", "{src}"],
        ["{src}/absent", "{dst}"],
        ["{src}/empty", "{dst}"],
        ["{src}", "{dst}", "--workers", "0"],
        ["{src}", "{dst}", "--workers", "many"],
        ["{src}", "{dst}", "--format", "gif"],
        ["{src}", "{src}/Ann/1.png/faces"],
        ["{src}"],
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_made(
    tmp_path: Path, home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = tmp_path / "photographs", tmp_path / "faces"
    (source / "Ann").mkdir(parents=True)
    (source / "empty").mkdir()
    Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(source / "Ann" / "1.png")
    before = sorted(tmp_path.rglob("*"))
    assert main(["align", *(w.format(src=source, dst=destination) for w in words)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sorted(tmp_path.rglob("*")) == before
