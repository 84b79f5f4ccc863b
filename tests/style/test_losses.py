"""The losses, against slow loops, closed forms and two-sided differences."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from style.config import StyleLossKind
from style.losses import (
    ContentLoss,
    Moments,
    eigenvalues,
    newton_schulz,
    root,
    style_loss,
    total_variation,
    trace_of_root,
)

KINDS = list(StyleLossKind)
Loss = Callable[[Tensor], Tensor]


def _activations(seed: int, *, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=source, dtype=torch.float64)


def _share(seed: int = 20) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, 4, 5, generator=source, dtype=torch.float64)


def _style(kind: StyleLossKind, *targets: Tensor, mix: Sequence[float] = (1.0,)) -> Loss:
    loss = style_loss(kind, Moments.mixed([Moments.of(target) for target in targets], mix))
    return lambda activations: loss(Moments.of(activations))


def _loss(kind: StyleLossKind | None, target: Tensor) -> Loss:
    """A style loss of a kind; None: the content loss."""
    return ContentLoss(target) if kind is None else _style(kind, target)


def _places(activations: Tensor) -> np.ndarray:
    return activations[0].flatten(1).numpy()


def test_total_variation_of_a_ramp_is_its_slopes_squared() -> None:
    down = torch.arange(6.0).view(1, 1, 6, 1) * 0.02
    across = torch.arange(9.0).view(1, 1, 1, 9) * 0.05
    image = (down + across).expand(1, 3, 6, 9)
    torch.testing.assert_close(total_variation(image), torch.tensor(0.02**2 + 0.05**2))


def test_total_variation_of_a_plain_colour_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 7, 5), 0.3)) == 0


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_loss_is_zero_at_its_target(kind: StyleLossKind | None) -> None:
    target = _activations(3)
    assert abs(_loss(kind, target)(target).item()) < 1e-9


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_loss_does_not_depend_on_the_units_of_the_network(kind: StyleLossKind | None) -> None:
    target, picture = _activations(4), _activations(5)
    torch.testing.assert_close(
        _loss(kind, 1000 * target)(1000 * picture), _loss(kind, target)(picture)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_loss_does_not_grow_with_the_picture(kind: StyleLossKind) -> None:
    loss, picture = _style(kind, _activations(4)), _activations(2)
    torch.testing.assert_close(loss(picture.repeat(1, 1, 3, 2)), loss(picture))


@pytest.mark.parametrize("kind", [None, StyleLossKind.MOMENTS])
def test_a_loss_is_one_where_only_the_channel_means_are_left(kind: StyleLossKind | None) -> None:
    target = _activations(6, height=20, width=20) + 2
    blank = target.mean(dim=(2, 3), keepdim=True).expand_as(target)
    # The covariance of a blank picture is not 0 but a ten-thousandth, whose root is a hundredth.
    tolerance = 1e-3 if kind is None else 0.03
    torch.testing.assert_close(_loss(kind, target)(blank).item(), 1.0, rtol=tolerance, atol=0)


def test_gram_loss_is_relative_to_what_varies() -> None:
    target, picture = _activations(7) + 3, _activations(8) + 3
    t, p = _places(target), _places(picture)
    centred = t - t.mean(axis=1, keepdims=True)
    gram = [x @ x.T / 20 for x in (p, t, centred)]
    energy = (gram[2] ** 2).sum() + 1e-5 * (gram[1] ** 2).sum()
    expected = ((gram[0] - gram[1]) ** 2).sum() / energy
    assert _style(StyleLossKind.GRAM, target)(picture).item() == pytest.approx(expected)


@pytest.mark.parametrize("channels", [1, 3, 12])
def test_moment_loss_is_the_wasserstein_distance_by_eigenvalues(channels: int) -> None:
    target = _activations(7, channels=channels, height=9) + 3
    picture = 2 * _activations(8, channels=channels, height=9) + 2
    t, p = _places(target), _places(picture)
    ridge = 1e-4 * np.cov(t, bias=True).trace() if channels > 1 else 1e-4 * np.var(t)
    a, b = (np.cov(x, bias=True).reshape(channels, channels) for x in (t, p))
    a, b = (x + ridge / channels * np.eye(channels) for x in (a, b))
    # The root of a product of positive definite matrices has the roots of its eigenvalues.
    crossed = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    shift = ((t.mean(axis=1) - p.mean(axis=1)) ** 2).sum()
    expected = (shift + np.trace(a) + np.trace(b) - 2 * crossed) / np.trace(a)
    loss = _style(StyleLossKind.MOMENTS, target)(picture).item()
    assert loss == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_several_styles_are_like_one_picture_with_places_of_all(kind: StyleLossKind) -> None:
    first, second = _activations(9), _activations(10)
    mixed = _style(kind, first, second, mix=(3.0, 1.0))
    both = torch.cat([first, first, first, second], dim=3)
    assert abs(mixed(both).item()) < 1e-9
    picture = _activations(11)
    torch.testing.assert_close(mixed(picture), _style(kind, both)(picture))


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_target_without_variation_still_gives_a_finite_score(
    kind: StyleLossKind | None, value: float
) -> None:
    flat = torch.full((1, 3, 4, 5), value, dtype=torch.float64)
    loss = _loss(kind, flat)
    assert abs(loss(flat).item()) < 1e-9
    picture = _activations(11).requires_grad_(True)
    score = loss(picture)
    score.backward()
    assert torch.isfinite(score)
    assert picture.grad is not None
    assert torch.isfinite(picture.grad).all()


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_gradients_equal_two_sided_differences(kind: StyleLossKind | None) -> None:
    picture = _activations(13).requires_grad_(True)
    assert torch.autograd.gradcheck(_loss(kind, _activations(12)), picture)


def test_gradient_of_total_variation_equals_two_sided_differences() -> None:
    assert torch.autograd.gradcheck(total_variation, _activations(14).requires_grad_(True))


def test_content_losses_of_tiles_sum_to_that_of_the_whole() -> None:
    target, picture, share = _activations(15), _activations(16), _share()
    whole = Moments.of(target)
    parts = [
        ContentLoss(target[..., part], whole=whole, share=share[..., part])(picture[..., part])
        for part in (slice(0, 2), slice(2, 5))
    ]
    torch.testing.assert_close(sum(parts), ContentLoss(target, share=share)(picture))


def test_an_area_of_everything_is_the_plain_content_loss() -> None:
    target, picture = _activations(18), _activations(19)
    everything = ContentLoss(target, share=torch.ones(1, 1, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(everything(picture), ContentLoss(target)(picture))


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_loss_of_an_area_does_not_see_beyond_it(kind: StyleLossKind | None) -> None:
    share = _share().round()
    target, picture = _activations(21), _activations(20).requires_grad_(True)
    if kind is None:
        score = ContentLoss(target, share=share)(picture)
    else:
        score = style_loss(kind, Moments.of(target))(Moments.of(picture, share))
    score.backward()
    assert picture.grad is not None
    outside = picture.grad[:, :, share[0, 0] == 0]
    assert outside.numel() > 0
    assert outside.abs().max() == 0
    assert picture.grad[:, :, share[0, 0] == 1].abs().min() > 0


def test_lower_precision_is_raised_before_it_is_compared() -> None:
    target, picture = _activations(22).bfloat16(), _activations(23).bfloat16()
    score = ContentLoss(target)(picture)
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, ContentLoss(target.float())(picture.float()))


def _portion(seed: int = 20, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, height, width, generator=source, dtype=torch.float64)


def _slow(activations: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    _, channels, height, width = activations.shape
    total = torch.zeros(channels, dtype=activations.dtype)
    products = torch.zeros(channels, channels, dtype=activations.dtype)
    for y in range(height):
        for x in range(width):
            place = activations[0, :, y, x]
            total += share[0, 0, y, x] * place
            products += share[0, 0, y, x] * torch.outer(place, place)
    return total, products


def _close(one: Moments, other: Moments) -> None:
    for name in ("count", "total", "products"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("last", [False, True])
def test_moments_are_the_sums_of_the_loops(last: bool) -> None:
    activations = _activations(0)
    if last:
        activations = activations.to(memory_format=torch.channels_last)
    moments = Moments.of(activations)
    total, products = _slow(activations, torch.ones(1, 1, 4, 5))
    assert moments.count == 20
    torch.testing.assert_close(moments.total, total)
    torch.testing.assert_close(moments.products, products)


def test_places_count_as_much_as_their_portion() -> None:
    activations, share = _activations(1), _portion()
    moments = Moments.of(activations, share)
    total, products = _slow(activations, share)
    torch.testing.assert_close(moments.count, share.sum())
    torch.testing.assert_close(moments.total, total)
    torch.testing.assert_close(moments.products, products)


@given(cut=st.integers(min_value=1, max_value=4), shared=st.booleans())
@settings(max_examples=8)
def test_those_of_tiles_add_up_to_those_of_the_picture(cut: int, shared: bool) -> None:
    activations, share = _activations(2), _portion() if shared else None
    parts = [
        Moments.of(activations[..., slice_], None if share is None else share[..., slice_])
        for slice_ in (slice(0, cut), slice(cut, 5))
    ]
    _close(parts[0] + parts[1], Moments.of(activations, share))


@given(order=st.permutations(range(20)))
@settings(max_examples=20)
def test_they_do_not_know_where_anything_is(order: list[int]) -> None:
    activations = _activations(3)
    moved = activations.flatten(2)[..., order].reshape(activations.shape)
    _close(Moments.of(moved), Moments.of(activations))


def test_covariance_is_that_of_the_places() -> None:
    activations = _activations(4) + 2
    places = activations[0].flatten(1)
    torch.testing.assert_close(Moments.of(activations).covariance, torch.cov(places, correction=0))


def test_mixed_ones_are_those_of_a_picture_with_places_of_both() -> None:
    """Means and second raw moments mix; covariances do not: two plain colours have some."""
    first, second = _activations(5), _activations(6)
    both = Moments.of(torch.cat([first, second, second, second], dim=3))
    mixed = Moments.mixed([Moments.of(first), Moments.of(second)], (0.5, 1.5))
    torch.testing.assert_close(mixed.mean, both.mean)
    torch.testing.assert_close(mixed.covariance, both.covariance)
    plain = [Moments.of(torch.full((1, 1, 4, 5), value)) for value in (0.0, 1.0)]
    torch.testing.assert_close(Moments.mixed(plain, (1, 1)).covariance, torch.tensor([[0.25]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_half_precision_they_are_finite_float32(dtype: torch.dtype) -> None:
    large = torch.full((1, 2, 64, 64), 200.0, dtype=dtype)  # squares sum to far over 65504
    moments = Moments.of(large, torch.ones(1, 1, 64, 64, dtype=dtype))
    torch.testing.assert_close(moments.second, torch.full((2, 2), 40_000.0))


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_of_moments_equal_two_sided_differences(shared: bool) -> None:
    share = _portion() if shared else None
    weight = _activations(8, channels=3, height=3, width=1)[0, :, :, 0]

    def score(activations: Tensor) -> Tensor:
        moments = Moments.of(activations, share)
        return (weight * moments.products).sum() + moments.total.cos().sum()

    assert torch.autograd.gradcheck(score, _activations(7).requires_grad_(True))


WAYS = [eigenvalues, newton_schulz]


def _matrix(seed: int, size: int, decades: float) -> Tensor:
    """Positive definite, with eigenvalues that fall by so many decades."""
    source = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(size, size, generator=source, dtype=torch.float64))
    return axes * torch.logspace(0, -decades, size, dtype=torch.float64) @ axes.T


def _exact(matrix: Tensor) -> tuple[float, np.ndarray]:
    values, vectors = np.linalg.eigh(matrix.numpy())
    return float(np.sqrt(values).sum()), (vectors / np.sqrt(values)) @ vectors.T


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("decades", [0, 3, 7])
def test_trace_and_inverse_equal_those_by_eigenvalues(way, size, decades) -> None:  # type: ignore[no-untyped-def]
    matrix = 5 * _matrix(0, size, decades)
    trace, inverse = way(matrix)
    wanted, inverted = _exact(matrix)
    assert trace.item() == pytest.approx(wanted, rel=1e-3)
    assert np.linalg.norm(inverse.numpy() - inverted) < 5e-3 * np.linalg.norm(inverted)


@pytest.mark.parametrize("way", WAYS)
def test_float32_is_good_for_roots_that_span_three_decades(way) -> None:  # type: ignore[no-untyped-def]
    matrix = _matrix(1, 64, 6)
    trace, _ = way(matrix.float())
    assert trace.item() == pytest.approx(_exact(matrix)[0], rel=1e-3)


def test_a_root_times_itself_is_the_matrix() -> None:
    matrix = _matrix(2, 20, 4)
    torch.testing.assert_close(root(matrix) @ root(matrix), matrix)
    singular = matrix.clone()
    singular[:, 0] = singular[0] = 0
    torch.testing.assert_close(root(singular) @ root(singular), singular)


def test_the_gradient_equals_two_sided_differences() -> None:
    def score(factor: Tensor) -> Tensor:
        return trace_of_root(factor @ factor.T + torch.eye(4, dtype=torch.float64))

    source = torch.Generator().manual_seed(3)
    factor = torch.randn(4, 6, generator=source, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(score, factor)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_finite_gives_nan_and_does_not_raise(way) -> None:  # type: ignore[no-untyped-def]
    trace, inverse = way(torch.full((3, 3), torch.nan))
    assert trace.isnan()
    assert inverse.isnan().all()
