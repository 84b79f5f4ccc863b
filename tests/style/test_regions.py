"""Masks share a picture out, are refused where they make no sense, and follow the taps."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.errors import ArgumentError
from style.config import Region, RegionManner
from style.regions import Area, at_tap, divide, photograph_stays

SIZE = (12, 16)
MAIN = Area(styles=(torch.zeros(1, 3, 4, 4),), strength=0.7)
OTHER = torch.ones(1, 3, 4, 4)


def _mask(columns: slice, value: float = 1.0) -> Tensor:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., columns] = value
    return mask


def _region(mask: Tensor, style: Any = OTHER, strength: float | None = None) -> Region[Tensor]:
    return Region(mask=mask, style=style, strength=strength)


def test_without_regions_the_whole_picture_is_the_main_area() -> None:
    [area] = divide(MAIN, [], SIZE, SIZE)
    assert area.share is None
    assert area.styles == MAIN.styles


@given(seed=st.integers(0, 100), count=st.integers(1, 4))
def test_the_shares_sum_to_one_everywhere(seed: int, count: int) -> None:
    source = torch.Generator().manual_seed(seed)
    regions = [_region(torch.rand(1, 1, *SIZE, generator=source)) for _ in range(count)]
    shares = [area.share for area in divide(MAIN, regions, SIZE, SIZE)]
    torch.testing.assert_close(sum(shares), torch.ones(1, 1, *SIZE))  # type: ignore[arg-type]


def test_a_later_region_covers_an_earlier_one_and_the_main_area_has_the_rest() -> None:
    low, high = _region(_mask(slice(0, 10))), _region(_mask(slice(8, 12), 0.5), RegionManner.NONE)
    main, below, above = divide(MAIN, [low, high], SIZE, SIZE)
    columns = [area.share[0, 0, 0].tolist() for area in (main, below, above)]  # type: ignore[index]
    assert columns[0] == [0] * 10 + [0.5] * 2 + [1] * 4
    assert columns[1] == [1] * 8 + [0.5] * 2 + [0] * 6
    assert columns[2] == [0] * 8 + [0.5] * 4 + [0] * 4
    torch.testing.assert_close(photograph_stays([main, below, above]), above.share)
    assert photograph_stays([main, below]) is None


def test_styles_and_strengths_are_the_regions_own_or_the_main_ones() -> None:
    left, middle = _mask(slice(0, 4)), _mask(slice(4, 8))
    regions = [_region(left, OTHER), _region(middle, RegionManner.MAIN, 0.2)]
    main, own, gentler = divide(MAIN, regions, SIZE, SIZE)
    assert (main.styles, main.strength) == (MAIN.styles, 0.7)
    assert (own.styles, own.strength) == ((OTHER,), 0.7)
    assert (gentler.styles, gentler.strength) == (MAIN.styles, 0.2)


def test_when_all_is_covered_there_is_no_main_area() -> None:
    [area] = divide(MAIN, [_region(_mask(slice(None)))], SIZE, SIZE)
    assert area.styles == (OTHER,)


@pytest.mark.parametrize("size", [(24, 32), (6, 8), (1200, 1600), (12, 16), (7, 9)])
def test_a_mask_of_the_photographs_proportions_may_have_any_size(size: tuple[int, int]) -> None:
    areas = divide(MAIN, [_region(torch.ones(1, 1, *size))], (768, 1024), SIZE)
    torch.testing.assert_close(areas[-1].share, torch.ones(1, 1, *SIZE))


def test_masks_that_make_no_sense_are_refused_in_one_line() -> None:
    black, turned = _mask(slice(0)), torch.ones(1, 1, 16, 12)
    whole = _mask(slice(None))
    for regions, message in (
        ([_region(turned)], r"region 1 has 12×16 px, the photograph 16×12"),
        ([_region(whole), _region(torch.ones(1, 1, 12, 18))], r"region 2 has 18×12 px"),
        ([_region(black)], r"region 1: its mask is black"),
        ([_region(_mask(slice(3, 5))), _region(whole)], r"region 1.*later regions cover"),
        ([_region(whole, RegionManner.NONE)], r"nothing is left to paint"),
    ):
        with pytest.raises(ArgumentError, match=message) as refusal:
            divide(MAIN, regions, SIZE, SIZE)
        assert "\n" not in str(refusal.value)


def test_a_share_at_a_tap_is_the_mean_of_the_pixels_under_each_place() -> None:
    source = torch.Generator().manual_seed(0)
    share = torch.rand(1, 1, 8, 12, generator=source)
    tap = torch.zeros(1, 5, 2, 3)
    expected = torch.stack(
        [
            share[0, 0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean()
            for y in range(2)
            for x in range(3)
        ]
    )
    torch.testing.assert_close(at_tap(share, tap), expected.view(1, 1, 2, 3))


def test_one_white_pixel_of_a_large_mask_is_still_there_at_a_coarse_scale() -> None:
    mask = torch.zeros(1, 1, 768, 1024)
    mask[..., 400, 500] = 1
    _, area = divide(MAIN, [_region(mask)], (768, 1024), (768, 1024))
    coarse = area.at((96, 128), lambda style: style)
    assert coarse.share is not None
    assert at_tap(coarse.share, torch.zeros(1, 1, 6, 8)).sum() > 0
