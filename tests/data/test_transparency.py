"""Transparency against what compositing does to one number."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from data.images import off_white, on_white, resized_alpha

share = st.floats(0, 1, width=32)


def _number(value: float) -> torch.Tensor:
    return torch.full((3, 1, 1), value)


@given(colour=share, alpha=share)
def test_on_white_a_colour_is_mixed_with_white_by_its_alpha(colour: float, alpha: float):
    seen = on_white(_number(colour), torch.full((1, 1, 1), alpha))
    torch.testing.assert_close(seen, _number(colour * alpha + (1 - alpha)), atol=1e-6, rtol=0)


@given(seen=share, alpha=st.floats(1 / 256, 1, width=32))
def test_what_was_taken_off_white_is_seen_so_on_white(seen: float, alpha: float):
    opacity = torch.full((1, 1, 1), alpha)
    again = on_white(off_white(_number(seen), opacity), opacity)
    darkest = 1 - alpha  # that black of this alpha can be on white
    torch.testing.assert_close(again, _number(max(seen, darkest)), atol=1e-5, rtol=0)


def test_what_is_not_seen_has_no_colour():
    clear = torch.zeros(1, 1, 1)
    assert on_white(_number(0.3), clear).eq(1).all()
    assert off_white(_number(0.3), clear).eq(1).all()


def test_an_alpha_channel_is_scaled_and_stays_one():
    alpha = torch.zeros(1, 40, 60)
    alpha[..., 30:] = 1
    small = resized_alpha(alpha, (10, 15))
    assert small.shape == (1, 10, 15)
    assert small.min() == 0
    assert small.max() == 1
    assert resized_alpha(alpha, (40, 60)) is alpha
