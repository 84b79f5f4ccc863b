import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from data.augmentation import BEST_JPEG, Draws, blur, compress, occlude, shrink


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(count, torch.Generator().manual_seed(seed))


def smooth(count: int, side: int = 40) -> Tensor:
    """Smooth pictures, as photographs are."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(5))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return fine.clamp(0, 1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_many_are_chosen_as_the_probability_says(share: float):
    chosen = draws(4000).chosen("blur", share)
    assert abs(len(chosen) / 4000 - share) < 0.03
    assert torch.equal(chosen, chosen.unique())


def test_kinds_have_streams_of_their_own():
    own = draws(1000)
    assert torch.equal(own.shares("blur"), draws(1000).shares("blur"))
    together = torch.stack([own.shares("blur"), own.shares("jpeg"), draws(1000, 1).shares("blur")])
    assert (torch.corrcoef(together) - torch.eye(3)).abs().max() < 0.12


def test_a_blur_is_the_gaussian_of_its_width():
    images = torch.rand(6, 3, 31, 25, generator=torch.Generator().manual_seed(2))
    blurred = images.clone()
    blur(blurred, draws(6), probability=1.0, sigma=3.0)
    sigmas = draws(6).shares("blur sigma") * 3
    for before, after, sigma in zip(images, blurred, sigmas.tolist(), strict=True):
        for plane, result in zip(before.numpy(), after.numpy(), strict=True):
            expected = gaussian_filter(plane, sigma, mode="nearest", radius=9)
            assert np.abs(result - expected).max() < 1e-5


def test_a_blur_of_nearly_no_width_changes_nothing():
    images = torch.rand(4, 3, 9, 9)
    blurred = images.clone()
    blur(blurred, draws(4), probability=1.0, sigma=1e-5)
    assert torch.allclose(blurred, images)


def test_shrinking_loses_what_is_fine_and_keeps_what_is_coarse():
    coarse = smooth(8)
    fine = torch.stack([torch.ones(40), torch.zeros(40)], dim=1).flatten()[:40]
    stripes = fine.expand(8, 3, 40, 40).clone()
    shrunk, flat = coarse.clone(), stripes.clone()
    shrink(shrunk, draws(8), probability=1.0, least=0.2)
    shrink(flat, draws(8), probability=1.0, least=0.2)
    small = draws(8).shares("low_resolution share") < 0.3  # at most 0.44 of each side
    assert small.any()
    assert (shrunk - coarse).abs().mean() < 0.05
    assert flat[small].std(dim=3).max() < 0.2 < stripes.std(dim=3).min()


def test_at_full_size_nothing_is_shrunk():
    images = torch.rand(4, 3, 9, 9)
    same = images.clone()
    shrink(same, draws(4), probability=1.0, least=1.0)
    assert torch.equal(same, images)


def test_jpeg_leaves_its_own_traces():
    images = (smooth(6) * 255).round() / 255
    spoilt = images.clone()
    compress(spoilt, draws(6), probability=1.0, quality=10)
    qualities = (10 + draws(6).shares("jpeg quality") * (BEST_JPEG - 9)).long().tolist()
    for before, after, quality in zip(images, spoilt, qualities, strict=True):
        assert 10 <= quality <= BEST_JPEG
        file = io.BytesIO()
        pixels = (before * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        expected = np.array(Image.open(file))
        assert np.array_equal((after * 255).round().byte().permute(1, 2, 0).numpy(), expected)
    assert not torch.equal(spoilt, images)


def test_an_occluder_is_one_rectangle_of_at_most_that_area():
    side, area = 60, 0.25
    images = smooth(60, side)
    covered = images.clone()
    occlude(covered, draws(60), probability=1.0, area=area)
    shares, plain = [], 0
    for before, after in zip(images, covered, strict=True):
        hidden = (before != after).any(dim=0)
        rows, columns = hidden.any(dim=1).nonzero()[:, 0], hidden.any(dim=0).nonzero()[:, 0]
        height, width = (int(axis[-1] - axis[0]) + 1 for axis in (rows, columns))
        inside = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert hidden.sum() > 0.98 * height * width  # a value may be the same by chance
        assert 0.25 < height / width < 4
        shares.append(height * width / side**2)
        is_plain = inside.std(dim=(1, 2)).max() < 1e-5
        plain += int(is_plain)
        if is_plain:
            assert torch.allclose(inside[:, 0, 0], before.mean(dim=(1, 2)), atol=1e-5)
    assert max(shares) < area * 1.1
    assert min(shares) < 0.06
    assert 15 < plain < 45


def test_occluders_lie_everywhere():
    images = torch.full((3000, 3, 12, 12), 0.5)
    occlude(images, draws(3000), probability=1.0, area=0.3)
    # The mean of a plain image hides nothing; noise shows where it lies.
    hidden = (images != 0.5).any(dim=1).float().mean(dim=0)
    assert 0.001 < hidden.min() < 0.1 < hidden.max()
    assert torch.allclose(hidden, hidden.flip(0), atol=0.04)
    assert torch.allclose(hidden, hidden.flip(1), atol=0.04)
