"""What a picture says of how it was painted: there and back, and what strangers may write."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import StyleError
from data.files import sha256_of
from data.formats import Depth
from style.config import Colors, InitialImage, Region, RegionManner, StyleConfig
from style.record import Record, SourceFile

SOURCE = SourceFile(name="a.jpg", sha256="0" * 64, size=3)
CONFIG = StyleConfig(
    size=100, style_mix=(1, 2), colors=Colors.CONTENT, initial_image=InitialImage.NOISE
)
WHOLE = Record(
    config=CONFIG,
    content=SOURCE,
    styles=(SOURCE, dataclasses.replace(SOURCE, name="Die Brücke.png")),
    regions=(
        Region(mask=SOURCE, style=SOURCE, strength=0.2),
        Region(mask=SOURCE, style=RegionManner.NONE),
        Region(mask=SOURCE, style=RegionManner.MAIN, strength=0.1),
    ),
    weights="1" * 64,
    depth=Depth.SIXTEEN,
    steps_done=4,
    grid={"strength": (0.1, 0.2), "colors": ("style", "content")},
)


@pytest.mark.parametrize("record", [WHOLE, Record(config=CONFIG)])
def test_a_record_survives_json(record: Record) -> None:
    told = json.loads(json.dumps(record.settings(), sort_keys=True))
    again = Record.parse(told)
    assert again == record
    assert list(again.grid or {}) == list(record.grid or {})
    assert told["version"]


def test_the_settings_of_version_one_are_understood() -> None:
    assert Record.parse(CONFIG.settings()) == Record(config=CONFIG)


def test_what_a_newer_version_wrote_is_refused_by_name() -> None:
    with pytest.raises(StyleError, match=r"newer version.*\(brush, wind\): update"):
        Record.parse(WHOLE.settings() | {"wind": 3, "brush": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "large"},
        {"steps": 0},
        {"content": {"name": "a.jpg"}},
        {"content": {"name": "../a.jpg", "sha256": "0" * 64, "size": 3}},
        {"content": {"name": "/etc/passwd", "sha256": "0" * 64, "size": 3}},
        {"content": {"name": 3, "sha256": "0" * 64, "size": 3}},
        {"content": {"name": "a.jpg", "sha256": "0", "size": 3}},
        {"styles": 3},
        {"styles": [3]},
        {"regions": [{"mask": 3}]},
        {"regions": [{"mask": dataclasses.asdict(SOURCE), "style": "other"}]},
        {"depth": 12},
        {"grid": {"strength": [1]}},
        {"grid": [{"setting": "strength"}]},
        {"colors": "red"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(StyleError, match="make no sense") as refusal:
        Record.parse(WHOLE.settings() | wrong)
    assert str(refusal.value).isprintable()


def test_a_source_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    source = SourceFile.of(path)
    assert source == SourceFile(name="a.jpg", sha256=sha256_of(b"abc"), size=3)
    assert source.find([tmp_path]) == path
    path.rename(tmp_path / "b.png")
    path.write_bytes(b"abd")  # its name, another content
    assert source.find([tmp_path / "missing", tmp_path]) == tmp_path / "b.png"
    (tmp_path / "b.png").unlink()
    assert source.find([tmp_path]) is None


def test_a_pipe_or_a_folder_of_that_name_is_passed_over(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    assert dataclasses.replace(SOURCE, size=0).find([tmp_path]) is None
