"""Every preset: drawn anew it is the same; it has texture at several scales, and colours."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from data.errors import ArgumentError
from style.presets.registry import PRESETS, Preset, find_preset
from style.presets.shelf import COLUMNS, SHEET, TILE

SMALL = 192
by_name = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32) / 255


@by_name
def test_one_seed_draws_one_picture_and_another_seed_another(preset: Preset) -> None:
    first, again = preset.draw(SMALL), preset.draw(SMALL)
    assert first.mode == "RGB"
    assert first.size == (SMALL, SMALL)
    assert first.tobytes() == again.tobytes()
    other = preset.draw(SMALL, seed=preset.seed + 100)
    assert np.abs(pixels(first) - pixels(other)).mean() > 0.01


@by_name
def test_a_preset_is_rich_at_several_scales_and_in_colours(preset: Preset) -> None:
    picture = pixels(preset.draw(384))
    grey = picture.mean(axis=2)
    for radius in (0.7, 1.5, 3, 6, 12):  # px: bands between two Gaussians
        band = ndimage.gaussian_filter(grey, radius) - ndimage.gaussian_filter(grey, 2 * radius)
        assert band.std() > 0.008, radius
        lively = [part.std() > 0.002 for rows in np.split(band, 4) for part in np.split(rows, 4, 1)]
        assert sum(lively) >= 14, radius  # of sixteen parts of the picture
    assert grey.std() > 0.08
    coarse = (picture * 15).astype(int) @ (1, 16, 256)
    counts = np.unique(coarse, return_counts=True)[1]
    assert (counts > 12).sum() >= (12 if preset.name in ("engraving", "ink-wash") else 60)
    assert counts.max() < 0.4 * coarse.size  # no flat ground, but for the black of a woodcut
    assert ((picture <= 0) | (picture >= 1)).mean() < 0.2  # little is clipped


def test_the_bundled_sheet_is_small_and_has_a_place_for_each() -> None:
    with Image.open(SHEET) as sheet:
        assert sheet.size == (COLUMNS * TILE, -(-len(PRESETS) // COLUMNS) * TILE)
    assert SHEET.stat().st_size < 400_000


@by_name
def test_the_bundled_sheet_shows_what_the_code_draws(preset: Preset) -> None:
    number = PRESETS.index(preset)
    left, top = number % COLUMNS * TILE, number // COLUMNS * TILE
    with Image.open(SHEET) as opened:
        shown = opened.convert("RGB").crop((left, top, left + TILE, top + TILE))
    means = [pixels(it.resize((24, 24), Image.Resampling.BOX)) for it in (preset.draw(), shown)]
    assert np.abs(means[0] - means[1]).mean() < 0.02


def test_no_two_presets_have_one_name_or_look_alike() -> None:
    assert len(PRESETS) >= 12
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)
    digests = {hashlib.sha256(p.draw(64).tobytes()).digest() for p in PRESETS}
    assert len(digests) == len(PRESETS)


@pytest.mark.parametrize("name", ["mosaic", "preset:mosaic"])
def test_a_preset_is_found_by_its_name(name: str) -> None:
    assert find_preset(name).name == "mosaic"


@pytest.mark.parametrize("name", ["", "preset:", "Mosaic", "../mosaic", "moſaic\n"])
def test_another_name_is_refused_with_the_list_on_one_line(name: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        find_preset(name)
    message = str(refused.value)
    assert "\n" not in message
    assert all(preset.name in message for preset in PRESETS)


@pytest.mark.parametrize(
    ("size", "seed", "says"),
    [(63, None, "64 to 2048 px, not 63"), (2049, None, "not 2049"), (128, -1, "not -1")],
)
def test_sizes_and_seeds_out_of_range_are_refused(size: int, seed: int | None, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        PRESETS[0].draw(size, seed)
