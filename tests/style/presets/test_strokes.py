import numpy as np
import pytest

from style.presets.strokes import Brush, Canvas, along, scattered


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_paths_follow_the_flow_with_their_middles_where_they_start() -> None:
    angle = 0.7
    flow = np.full((64, 64), angle, np.float32)
    starts = chance().uniform(0.3, 0.7, (20, 2)).astype(np.float32)
    paths = along(chance(), flow, starts, 0.1)
    assert paths.shape == (20, 7, 2)
    assert paths[:, 3] == pytest.approx(starts)
    steps = np.diff(paths, axis=1)
    assert np.arctan2(steps[..., 1], steps[..., 0]) == pytest.approx(
        np.full((20, 6), angle), abs=1e-4
    )
    lengths = np.linalg.norm(paths[:, -1] - paths[:, 0], axis=1)
    assert lengths.min() >= 0.059
    assert lengths.max() <= 0.131


def test_scattered_places_leave_no_large_hole() -> None:
    places = scattered(chance(), 0.05)
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    far = np.linalg.norm(pixels[:, None] - places[None], axis=2).min(axis=1)
    assert far.max() < 0.05 * 1.5


def test_a_stroke_leaves_its_colour_where_it_went_and_nowhere_else() -> None:
    canvas = Canvas(np.ones((96, 96, 3), np.float32))
    path = np.stack([np.linspace(0.2, 0.8, 7), np.full(7, 0.5)], axis=1)[None].astype(np.float32)
    brush = Brush(length=0.6, width=0.1, vary=(0, 0), streak=0, taper=0)
    canvas.paint(chance(), path, np.array([[0.8, 0.1, 0.1]], np.float32), brush)
    painted = canvas.finished(chance(), relief=0, gloss=0)
    assert painted[48, 48] == pytest.approx(np.array([0.8, 0.1, 0.1]), abs=0.01)
    assert painted[20] == pytest.approx(np.ones((96, 3)))
    red = (painted[..., 1] < 0.5)[:, 48].sum() / 96
    assert 0.07 < red < 0.17  # its width
