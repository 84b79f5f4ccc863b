import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from data.augmentation import MOST_WARP, Draws, place


def placed(images: Tensor, *, size: tuple[int, int] | None = None, **strengths: float) -> Tensor:
    nothing = {"mirror": 0.0, "rotation": 0.0, "crop": 0.0, "warp": 0.0}
    draws = Draws(len(images), torch.Generator().manual_seed(0))
    return place(images, size or (images.shape[2], images.shape[3]), draws, **nothing | strengths)


def positions(count: int, side: int) -> Tensor:
    """Images whose red is each pixel's column and whose green is its row."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    one = torch.stack([columns, rows, torch.zeros_like(rows)]).float()
    return one.expand(count, 3, side, side)


def test_nothing_returns_the_very_images():
    images = positions(2, 9)
    assert placed(images) is images


def test_a_mirror_alone_copies_pixels():
    images = torch.rand(3, 3, 8, 9)
    assert torch.equal(placed(images, mirror=1.0), images.flip(3))


def test_a_warp_moves_points_smoothly_and_never_too_far():
    side = 64
    before = positions(50, side)
    moved = (placed(before, warp=0.05) - before)[:, :2, 8:-8, 8:-8] / side
    assert moved.abs().max() <= 0.05
    assert 0.005 < moved.std() < 0.05
    bend = moved.diff(dim=3).diff(dim=3).abs().max()
    assert bend < 0.05 * (4 * 4 / side) ** 2 * 4  # a cubic spline's second difference
    assert moved.mean(dim=(2, 3)).std() < moved.std()  # a warp, not a shift


def test_the_strongest_warp_folds_nowhere():
    """The Jacobian of the map stays positive, even where all offsets are at their limit."""
    warped = placed(positions(200, 64), warp=MOST_WARP)[:, :2, 8:-8, 8:-8]
    across, down = warped.diff(dim=3)[:, :, :-1], warped.diff(dim=2)[:, :, :, :-1]
    jacobian = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    assert jacobian.min() > 0


@pytest.mark.parametrize("size", [(40, 40), (40, 56)])
def test_a_warp_is_the_b_spline_of_its_offsets(size: tuple[int, int]):
    height, width = size
    images = positions(1, 200)
    field = (placed(images, size=size, warp=0.04) - placed(images, size=size))[0, :2] / 200
    stream = Draws(1, torch.Generator().manual_seed(0)).stream("warp")
    offsets = (torch.rand((1, 2, 7, 7), generator=stream)[0].double() * 2 - 1) * 0.04
    knots = np.arange(-3.0, 8.0)
    down = BSpline.design_matrix((np.arange(height) + 0.5) * 4 / height, knots, 3).toarray()
    across = BSpline.design_matrix((np.arange(width) + 0.5) * 4 / width, knots, 3).toarray()
    expected = down @ offsets.numpy() @ across.T
    inside = np.s_[:, 3:-3, 3:-3]  # the border is repeated outside of the picture
    assert np.abs(field.numpy() - expected)[inside].max() < 1e-5
