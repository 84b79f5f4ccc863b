"""The losses, against slow loops, closed forms and two-sided differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from style.losses import ContentLoss, GramLoss, RelativeLoss, gram_matrix, total_variation


def _activations(seed: int, *, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=source, dtype=torch.float64)


def _slow_gram(activations: Tensor) -> Tensor:
    _, channels, height, width = activations.shape
    gram = torch.zeros(channels, channels, dtype=activations.dtype)
    for i in range(channels):
        for j in range(channels):
            for y in range(height):
                for x in range(width):
                    gram[i, j] += activations[0, i, y, x] * activations[0, j, y, x]
    return gram / (channels * height * width)


def test_gram_matrix_equals_the_loops() -> None:
    activations = _activations(0)
    torch.testing.assert_close(gram_matrix(activations), _slow_gram(activations))


@given(order=st.permutations(range(20)))
@settings(max_examples=20)
def test_gram_matrix_does_not_know_where_anything_is(order: list[int]) -> None:
    activations = _activations(1)
    moved = activations.flatten(2)[..., order].reshape(activations.shape)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(activations))


def test_gram_matrix_does_not_grow_with_the_picture() -> None:
    activations = _activations(2)
    torch.testing.assert_close(
        gram_matrix(activations.repeat(1, 1, 3, 2)), gram_matrix(activations)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gram_matrix_of_half_precision_is_a_finite_float32(dtype: torch.dtype) -> None:
    large = torch.full((1, 2, 64, 64), 200.0, dtype=dtype)  # squares sum to far over 65504
    gram = gram_matrix(large)
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, torch.full((2, 2), 20_000.0))


def test_total_variation_of_a_ramp_is_its_slopes_squared() -> None:
    down = torch.arange(6.0).view(1, 1, 6, 1) * 0.02
    across = torch.arange(9.0).view(1, 1, 1, 9) * 0.05
    image = (down + across).expand(1, 3, 6, 9)
    torch.testing.assert_close(total_variation(image), torch.tensor(0.02**2 + 0.05**2))


def test_total_variation_of_a_plain_colour_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 7, 5), 0.3)) == 0


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_a_loss_is_zero_at_its_target(kind: type[RelativeLoss]) -> None:
    target = _activations(3)
    assert kind([target])(target) == 0


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_a_loss_does_not_depend_on_the_units_of_the_network(kind: type[RelativeLoss]) -> None:
    target, picture = _activations(4), _activations(5)
    torch.testing.assert_close(
        kind([1000 * target])(1000 * picture), kind([target])(picture), rtol=1e-9, atol=0
    )


def test_content_loss_is_one_where_only_the_channel_means_are_left() -> None:
    target = _activations(6) + 2
    blank = target.mean(dim=(2, 3), keepdim=True).expand_as(target)
    torch.testing.assert_close(ContentLoss([target])(blank).item(), 1.0, rtol=1e-3, atol=0)


def test_gram_loss_is_relative_to_what_varies() -> None:
    target, picture = _activations(7) + 3, _activations(8) + 3
    varying = target - target.mean(dim=(2, 3), keepdim=True)
    distance = (_slow_gram(picture) - _slow_gram(target)).square().sum()
    energy = _slow_gram(varying).square().sum() + 1e-5 * _slow_gram(target).square().sum()
    torch.testing.assert_close(GramLoss([target])(picture), distance / energy)


def test_mixed_styles_are_means_of_gram_matrices_by_weight() -> None:
    first, second = _activations(9), _activations(10, height=6, width=3)
    mixed = GramLoss([first, second], mix=(3.0, 1.0))
    expected = 0.75 * _slow_gram(first) + 0.25 * _slow_gram(second)
    torch.testing.assert_close(mixed.target, expected)


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_target_without_variation_still_gives_a_finite_score(
    kind: type[RelativeLoss], value: float
) -> None:
    flat = torch.full((1, 3, 4, 5), value, dtype=torch.float64)
    loss = kind([flat])
    assert loss(flat) == 0
    assert torch.isfinite(loss(_activations(11)))


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_gradients_equal_two_sided_differences(kind: type[RelativeLoss]) -> None:
    loss = kind([_activations(12)])
    picture = _activations(13).requires_grad_(True)
    assert torch.autograd.gradcheck(loss, picture)


def test_gradient_of_total_variation_equals_two_sided_differences() -> None:
    assert torch.autograd.gradcheck(total_variation, _activations(14).requires_grad_(True))


def test_targets_keep_no_gradient() -> None:
    target = _activations(15).requires_grad_(True)
    assert not GramLoss([target]).target.requires_grad


def _share(seed: int = 20) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, 4, 5, generator=source, dtype=torch.float64)


def test_gram_matrix_of_an_area_is_the_loops_with_each_place_counted() -> None:
    activations, share = _activations(16), _share()
    expected = torch.zeros(3, 3, dtype=torch.float64)
    for y in range(4):
        for x in range(5):
            place = activations[0, :, y, x]
            expected += share[0, 0, y, x] * torch.outer(place, place)
    expected /= 3 * share.sum()
    torch.testing.assert_close(gram_matrix(activations, share), expected)


def test_gram_matrices_of_areas_sum_to_that_of_the_whole() -> None:
    activations, share = _activations(17), _share()
    parts = [part.mean() * gram_matrix(activations, part) for part in (share, 1 - share)]
    torch.testing.assert_close(parts[0] + parts[1], gram_matrix(activations))


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_an_area_of_everything_is_the_plain_loss(kind: type[RelativeLoss]) -> None:
    target, picture = _activations(18), _activations(19)
    everything = kind([target], share=torch.ones(1, 1, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(everything(picture), kind([target])(picture))


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_a_loss_of_an_area_does_not_see_beyond_it(kind: type[RelativeLoss]) -> None:
    share = _share().round()
    picture = _activations(20).requires_grad_(True)
    kind([_activations(21)], share=share)(picture).backward()
    assert picture.grad is not None
    outside = picture.grad[:, :, share[0, 0] == 0]
    assert outside.numel() > 0
    assert outside.abs().max() == 0
    assert picture.grad[:, :, share[0, 0] == 1].abs().min() > 0


@pytest.mark.parametrize("kind", [ContentLoss, GramLoss])
def test_gradients_of_an_area_equal_two_sided_differences(kind: type[RelativeLoss]) -> None:
    loss = kind([_activations(22)], share=_share())
    assert torch.autograd.gradcheck(loss, _activations(23).requires_grad_(True))
