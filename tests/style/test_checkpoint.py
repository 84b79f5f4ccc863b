"""A painting that is broken off ends, once it is gone on with, as one that was not."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image
from torch import Tensor

from data.errors import ArgumentError
from style.checkpoint import Unfinished
from style.config import InitialImage, Optimizer, Region, RegionManner, StyleConfig
from style.network import StyleNetwork
from style.planning import Room
from style.results import PaintingProgress
from style.stylize import stylize

Picture = Callable[..., Tensor]

CONFIG = StyleConfig(size=64, steps=14, first_scale=32, scale_factor=2)
KILLS = Path(__file__).parents[2] / "benchmarks" / "style_kills.py"


def _paint(
    network: StyleNetwork,
    picture: Picture,
    config: StyleConfig,
    unfinished: Unfinished | None = None,
    *,
    until: int | None = None,
    tile: int | None = None,
) -> list[PaintingProgress]:
    """The steps of a painting up to one, after which it is cancelled."""
    mask = picture(5)[:, :1]
    painting = stylize(
        picture(0),
        [picture(1)],
        config,
        network,
        regions=[Region(mask=mask, style=RegionManner.MAIN, strength=0.8)],
        unfinished=unfinished,
        room=None if tile is None else Room(tile=tile),
    )
    steps = []
    for progress in painting:
        steps.append(progress)
        if progress.step == until:
            break
    painting.close()
    return steps


def _pixels(image: Image) -> np.ndarray:
    return np.asarray(image)


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("tile", [None, 36])
@pytest.mark.parametrize("until", [1, 6, 11])
def test_a_cancelled_painting_goes_on_as_if_it_never_was(
    network: StyleNetwork,
    picture: Picture,
    tmp_path: Path,
    optimizer: Optimizer,
    tile: int | None,
    until: int,
) -> None:
    config = replace(CONFIG, optimizer=optimizer, initial_image=InitialImage.NOISE)
    whole = _paint(network, picture, config, tile=tile)
    path = tmp_path / "picture.part"
    first = _paint(network, picture, config, Unfinished(path), until=until, tile=tile)
    assert path.exists()
    rest = _paint(network, picture, config, Unfinished(path), tile=tile)
    assert [progress.step for progress in (*first, *rest)] == list(range(1, 15))
    assert rest[0].notes == (f"going on after step {until} of 14",)
    assert rest[0].elapsed > first[-1].elapsed
    for progress, expected in zip((*first, *rest), whole, strict=True):
        assert progress.losses == expected.losses
    assert np.array_equal(_pixels(rest[-1].render()), _pixels(whole[-1].render()))


def test_the_finished_picture_is_not_kept_and_what_is_there_stays_until_it_is_safe(
    network: StyleNetwork, picture: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "picture.part"
    unfinished = Unfinished(path, every=0)
    _paint(network, picture, CONFIG, unfinished)
    again = _paint(network, picture, CONFIG, Unfinished(path, every=0))
    assert [progress.step for progress in again] == [14]
    unfinished.remove()
    assert not path.exists()
    unfinished.remove()


def test_between_two_states_there_is_time(
    network: StyleNetwork, picture: Picture, tmp_path: Path
) -> None:
    _paint(network, picture, CONFIG, Unfinished(tmp_path / "picture.part", every=3600))
    assert not list(tmp_path.iterdir())


def test_other_settings_and_pictures_are_refused_by_name(
    network: StyleNetwork, picture: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "picture.part"
    _paint(network, picture, CONFIG, Unfinished(path), until=3)
    kept = path.read_bytes()
    with pytest.raises(ArgumentError, match=r"with strength 0\.5, not 0\.7: repeat"):
        _paint(network, picture, replace(CONFIG, strength=0.7), Unfinished(path))
    with pytest.raises(ArgumentError, match="with another style picture 1, another mask"):
        stylize(picture(0), [picture(2)], CONFIG, network, unfinished=Unfinished(path))
    assert path.read_bytes() == kept
    anew = _paint(network, picture, CONFIG, Unfinished(path, fresh=True))
    assert anew[0].step == 1


def test_what_is_no_half_painted_picture_is_refused_and_stays(
    network: StyleNetwork, picture: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "picture.part"
    for content in (b"", b"someone's notes", json.dumps({"a": 1}).encode()):
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match="is no half-painted picture"):
            _paint(network, picture, CONFIG, Unfinished(path))
        assert path.read_bytes() == content


def test_a_full_disk_does_not_stop_the_painting(
    network: StyleNetwork, picture: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "gone" / "picture.part"
    steps = _paint(network, picture, CONFIG, Unfinished(path, every=0))
    assert steps[-1].step == 14
    notes = [note for progress in steps for note in progress.notes]
    assert notes
    assert all(note.startswith("cannot keep the half-painted picture") for note in notes)


def test_a_killed_painting_goes_on_byte_for_byte() -> None:
    command = [sys.executable, str(KILLS), "--kills", "2"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(told.splitlines()[-1])
    assert result["kills"] == result["equal"] == 2
