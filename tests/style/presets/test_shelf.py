import errno
from pathlib import Path

import pytest
from PIL import Image

from data.errors import ArgumentError
from style.presets.registry import Preset
from style.presets.shelf import COLUMNS, TILE, contact_sheet, preset_file


@pytest.fixture
def drawn() -> list[int]:
    return []


@pytest.fixture
def preset(drawn: list[int]) -> Preset:
    def painter(size: int, random: object) -> Image.Image:
        drawn.append(size)
        return Image.new("RGB", (size, size), "teal")

    return Preset(name="teal", about="a colour", painter=painter)


def test_a_preset_is_drawn_once_and_kept(tmp_path: Path, preset: Preset, drawn: list[int]) -> None:
    kept = preset_file(preset, tmp_path)
    assert preset_file(preset, tmp_path) == kept
    assert drawn == [768]
    assert kept.parent == tmp_path / "presets"
    with Image.open(kept) as picture:
        assert picture.size == (768, 768)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize("damage", [b"", b"no picture", None])
def test_a_damaged_one_is_drawn_anew(
    tmp_path: Path, preset: Preset, drawn: list[int], damage: bytes | None
) -> None:
    kept = preset_file(preset, tmp_path)
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert preset_file(preset, tmp_path).read_bytes() == whole
    assert len(drawn) == 2


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, preset: Preset) -> None:
    place = tmp_path / "home"
    place.write_text("")
    with pytest.raises(ArgumentError, match="is a file"):
        preset_file(preset, place)


def test_a_sheet_has_its_pictures_in_rows() -> None:
    colours = ["red", "green", "blue", "white", "black"]
    sheet = contact_sheet([Image.new("RGB", (80, 80), colour) for colour in colours])
    assert sheet.size == (COLUMNS * TILE, 2 * TILE)
    places = [(number % COLUMNS, number // COLUMNS) for number in range(5)]
    found = [sheet.getpixel((x * TILE + 9, y * TILE + 9)) for x, y in places]
    assert found == [(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_data_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, preset: Preset, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "presets").write_bytes(b"in the way")
    file = preset_file(preset, home)
    assert not file.is_relative_to(home)
    with Image.open(file) as picture:
        assert picture.size == (768, 768)
    assert file.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setattr("style.presets.shelf.atomic_output", full)
    with pytest.raises(ArgumentError, match="cannot keep the preset teal"):
        preset_file(preset, tmp_path)  # nothing can be written at all
