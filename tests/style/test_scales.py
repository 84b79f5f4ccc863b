"""The arithmetic of sizes and steps."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError
from style.config import MAX_SIZE, MIN_SIZE
from style.scales import enough, fit, paintable, resize, scales, share_steps, shrink, size_of

SIDES = st.integers(min_value=1, max_value=30_000)


@given(height=SIDES, width=SIDES, longer=st.integers(min_value=64, max_value=4096))
def test_fit_keeps_proportions_and_gives_the_longer_side(
    height: int, width: int, longer: int
) -> None:
    fitted = fit((height, width), longer)
    assert max(fitted) == longer
    assert min(fitted) == max(1, round(min(height, width) * longer / max(height, width)))


@given(
    size=st.integers(min_value=64, max_value=4096),
    first=st.integers(min_value=32, max_value=4096),
    factor=st.floats(min_value=1.1, max_value=4),
)
def test_scales_rise_by_the_factor_up_to_the_size(size: int, first: int, factor: float) -> None:
    sides = scales(size, first, factor)
    assert sides[-1] == size
    assert list(sides) == sorted(set(sides))
    assert sides[0] >= min(first, size)
    assert round(size / factor ** len(sides)) < first  # nothing is left out below


def test_scales_by_the_square_root_of_two() -> None:
    assert scales(512, 128, math.sqrt(2)) == (128, 181, 256, 362, 512)


def test_one_scale_when_the_first_is_the_size_or_larger() -> None:
    assert scales(256, 256, 2) == (256,)
    assert scales(256, 4096, 2) == (256,)


@given(
    steps=st.integers(min_value=1, max_value=10_000),
    sides=st.lists(st.integers(64, 4096), min_size=1, max_size=12, unique=True),
)
def test_shared_steps_sum_up_and_fall_as_the_sides_rise(steps: int, sides: list[int]) -> None:
    sides = sorted(sides)
    plan = share_steps(steps, tuple(sides))
    assert sum(share for _, share in plan) == steps
    assert [side for side, _ in plan] == sides[-len(plan) :]
    assert len(plan) == min(steps, len(sides))
    whole = sum(1 / side for side, _ in plan)
    for side, share in plan:
        assert share >= 1
        assert abs(share - 1 - (steps - len(plan)) / side / whole) <= 1


def test_each_scale_takes_fewer_steps_than_the_one_before() -> None:
    plan = share_steps(300, scales(512, 128, math.sqrt(2)))
    assert plan == ((128, 106), (181, 75), (256, 54), (362, 38), (512, 27))


def test_scales_too_small_for_the_network_are_left_out() -> None:
    assert paintable((100, 400), (64, 128, 256), least=32) == (128, 256)


def test_a_picture_too_small_for_the_network_is_refused_with_its_size() -> None:
    with pytest.raises(
        ArgumentError, match=r"512×17 px is too small.*32 px.*a size of \d+ will do"
    ):
        paintable((1000, 30_000), (128, 512), least=32)


def test_resize_antialiases_and_stays_in_range() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64)
    small = resize(stripes, (8, 8))
    torch.testing.assert_close(small, torch.full((1, 3, 8, 8), 0.5), atol=0.02, rtol=0)
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    large = resize(edge, (32, 32))
    assert large.min() == 0  # bicubic alone undershoots here
    assert large.max() == 1


def test_shrink_never_enlarges_and_keeps_the_shorter_side() -> None:
    picture = torch.rand(1, 3, 40, 80, generator=torch.Generator().manual_seed(0))
    assert size_of(shrink(picture, 20, shorter=4)) == (10, 20)
    assert size_of(shrink(picture, 20, shorter=16)) == (16, 32)
    assert shrink(picture, 200, shorter=4) is picture
    assert shrink(picture, 20, shorter=64) is picture


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([16, 32, 64, 128]))
def test_the_size_that_is_said_to_do_does_and_none_much_smaller(
    height: int, width: int, least: int
) -> None:
    said = enough((height, width), least)
    if said.startswith("no size"):
        assert min(fit((height, width), MAX_SIZE)) < least
        return
    longer = int(said.split()[3])
    assert min(fit((height, width), longer)) >= least
    smaller = longer - max(2, longer // least)
    assert longer == max(least, MIN_SIZE) or min(fit((height, width), smaller)) < least
