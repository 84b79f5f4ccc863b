"""Colours kept: closed forms of each method, and what they do to a painting."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from style.color import (
    Palette,
    from_lab,
    linear_map,
    luminance,
    match_histogram,
    match_luminance,
    to_lab,
    with_chroma,
    with_lab_chroma,
)
from style.config import ColorMethod, Colors, StyleConfig

LINEAR = (ColorMethod.LINEAR, ColorMethod.CHOLESKY, ColorMethod.TRANSPORT)


def _picture(seed: int, height: int = 24, width: int = 32, spread: float = 1.0) -> Tensor:
    """A random picture whose channels hang together, in a range of `spread` about grey."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, height, width, generator=source, dtype=torch.float64)
    mixing = torch.rand(3, 3, generator=source, dtype=torch.float64) + torch.eye(3)
    mixed = torch.einsum("ij,bjhw->bihw", mixing / mixing.sum(dim=1, keepdim=True), noise)
    return 0.5 + spread * (mixed - 0.5)


def _colours(picture: Tensor) -> Tensor:
    return picture[0].flatten(1).T


def _covariance(colours: Tensor) -> Tensor:
    return torch.cov(colours.T, correction=0)


def _kept(method: ColorMethod) -> StyleConfig:
    return StyleConfig(colors=Colors.CONTENT, color_method=method)


@pytest.mark.parametrize("method", LINEAR)
def test_after_a_linear_map_mean_and_covariance_are_the_targets(method: ColorMethod) -> None:
    source, target = _colours(_picture(0)), _colours(_picture(1, 20, 30))
    matrix, shift = linear_map(source, target, method)
    moved = source @ matrix.T + shift
    torch.testing.assert_close(moved.mean(dim=0), target.mean(dim=0))
    torch.testing.assert_close(_covariance(moved), _covariance(target))


@pytest.mark.parametrize("method", LINEAR)
def test_colours_that_agree_already_are_not_moved(method: ColorMethod) -> None:
    colours = _colours(_picture(2))
    matrix, shift = linear_map(colours, colours, method)
    torch.testing.assert_close(matrix, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(shift, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_transport_moves_colours_least_and_the_maps_have_their_forms() -> None:
    source, target = _colours(_picture(3)), _colours(_picture(4))
    moved = {}
    for method in LINEAR:
        matrix, shift = linear_map(source, target, method)
        moved[method] = (source @ matrix.T + shift - source).square().sum().item()
        if method is ColorMethod.TRANSPORT:
            torch.testing.assert_close(matrix, matrix.T)
        if method is ColorMethod.CHOLESKY:
            torch.testing.assert_close(matrix, matrix.tril())
    assert moved[ColorMethod.TRANSPORT] < min(
        moved[ColorMethod.LINEAR], moved[ColorMethod.CHOLESKY]
    )


def test_another_method_is_no_linear_map() -> None:
    with pytest.raises(ValueError, match="histogram"):
        linear_map(_colours(_picture(0)), _colours(_picture(1)), ColorMethod.HISTOGRAM)


@pytest.mark.parametrize("method", LINEAR)
def test_the_noise_of_a_grey_style_does_not_become_colour(method: ColorMethod) -> None:
    source = torch.Generator().manual_seed(5)
    grey = torch.rand(500, 1, generator=source, dtype=torch.float64).expand(500, 3)
    noisy = grey + torch.randn(500, 3, generator=source, dtype=torch.float64) / 1000
    matrix, shift = linear_map(noisy, _colours(_picture(6)), method)
    moved, expected = noisy @ matrix.T + shift, grey @ matrix.T + shift
    assert (moved - expected).abs().mean() < 0.05


@pytest.mark.parametrize("method", list(ColorMethod))
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_plain_style_and_a_plain_photograph_stay_finite_pictures(
    method: ColorMethod, value: float
) -> None:
    plain = torch.full((1, 3, 8, 8), value)
    for photograph, style in ((plain, _picture(7).float()), (_picture(7).float(), plain)):
        palette = Palette(photograph, _kept(method))
        for picture in (palette.style(style), palette.restored(photograph.flip(3))):
            assert torch.isfinite(picture).all()
            assert picture.min() >= 0
            assert picture.max() <= 1


def test_histograms_of_as_many_pixels_are_the_same_values() -> None:
    style, target = _picture(8, 10, 12), _picture(9, 12, 10)
    matched = match_histogram(style, _colours(target))
    for channel in range(3):
        values, wanted = matched[0, channel].flatten(), target[0, channel].flatten()
        torch.testing.assert_close(values.sort().values, wanted.sort().values)
        assert torch.equal(values.argsort(), style[0, channel].flatten().argsort())


def test_histogram_matching_leaves_plain_surfaces_plain() -> None:
    style = _picture(10).mul(8).round().div(8)
    matched = match_histogram(style, _colours(_picture(11, 50, 40)))
    for channel in range(3):
        for value in style[0, channel].unique():
            assert matched[0, channel][style[0, channel] == value].unique().numel() == 1


def test_a_style_in_grey_has_mean_and_deviation_of_the_photographs_grey() -> None:
    style, photograph = _picture(12, spread=0.5), _picture(13, spread=0.5)
    matched = match_luminance(style, _colours(photograph))
    assert matched.shape == style.shape
    torch.testing.assert_close(matched[:, 0], matched[:, 2])
    wanted = luminance(photograph)
    torch.testing.assert_close(matched[:, 0].mean(), wanted.mean())
    torch.testing.assert_close(matched[:, 0].std(correction=0), wanted.std(correction=0))


@given(seed=st.integers(0, 50))
def test_luminance_is_the_paintings_and_chroma_the_photographs(seed: int) -> None:
    painted, photograph = _picture(seed), _picture(seed + 100)
    result = with_chroma(painted, photograph)
    torch.testing.assert_close(luminance(result), luminance(painted))
    chroma, wanted = result - luminance(result), photograph - luminance(photograph)
    fit = (chroma * wanted).sum(dim=1) / wanted.square().sum(dim=1)
    torch.testing.assert_close(chroma, fit.unsqueeze(1) * wanted)  # never another hue
    assert fit.max() <= 1 + 1e-9
    full = fit.unsqueeze(1).expand_as(result) < 1 - 1e-9
    at_the_edge = ((result < 1e-9) | (result > 1 - 1e-9)).any(dim=1, keepdim=True)
    assert at_the_edge.expand_as(result)[full].all()  # less of it only where there is no room


def test_chroma_that_a_screen_can_show_is_the_photographs_own() -> None:
    painted, photograph = _picture(14, spread=0.2), _picture(15, spread=0.2)
    result = with_chroma(painted, photograph)
    torch.testing.assert_close(result - luminance(result), photograph - luminance(photograph))
    in_lab = to_lab(with_lab_chroma(painted, photograph))
    torch.testing.assert_close(in_lab[:, 1:], to_lab(photograph)[:, 1:], atol=1e-3, rtol=0)


def test_lightness_is_the_paintings_even_where_colours_are_out_of_reach() -> None:
    painted, photograph = _picture(16), _picture(17).round()  # the corners of the cube
    result = to_lab(with_lab_chroma(painted, photograph))
    lightness = to_lab(painted)[:, :1]
    torch.testing.assert_close(result[:, :1], lightness, atol=0.1, rtol=0)
    wanted = to_lab(photograph)[:, 1:]
    assert (result[:, 1:].norm(dim=1) <= wanted.norm(dim=1) + 0.1).all()


@pytest.mark.parametrize("method", list(ColorMethod))
def test_a_painting_of_nothing_but_the_photograph_is_the_photograph(method: ColorMethod) -> None:
    photograph = _picture(18)
    palette = Palette(photograph, _kept(method))
    torch.testing.assert_close(palette.restored(palette.content), photograph, atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", list(ColorMethod))
def test_the_styles_colours_need_nothing(method: ColorMethod) -> None:
    photograph, style = _picture(19), _picture(20)
    palette = Palette(photograph, StyleConfig(color_method=method))
    assert palette.content is photograph
    assert palette.style(style) is style
    assert palette.restored(style) is style


@pytest.mark.parametrize("method", [*LINEAR, ColorMethod.HISTOGRAM])
def test_a_region_has_the_colours_of_its_own_part(method: ColorMethod) -> None:
    photograph = torch.cat([_picture(21, spread=0.2) * 0.4, _picture(22, spread=0.2)], dim=3)
    share = torch.zeros(1, 1, *photograph.shape[-2:], dtype=torch.float64)
    share[..., :32] = 1
    style = Palette(photograph, _kept(method)).style(_picture(23, 24, 32), share)
    dark = photograph[..., :32]
    torch.testing.assert_close(style.mean(dim=(2, 3)), dark.mean(dim=(2, 3)), atol=0.01, rtol=0)


PUBLISHED = {  # scikit-image 0.25, rgb2lab, D65 2°
    (1.0, 1.0, 1.0): (100.0, 0.0, 0.0),
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0): (53.24, 80.09, 67.20),
    (0.0, 1.0, 0.0): (87.73, -86.18, 83.18),
    (0.0, 0.0, 1.0): (32.30, 79.19, -107.86),
}


@pytest.mark.parametrize(("rgb", "lab"), list(PUBLISHED.items()))
def test_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    seen = to_lab(torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(seen, torch.tensor(lab, dtype=torch.float64), atol=0.03, rtol=0)


def test_random_pictures_equal_another_library_and_come_back() -> None:
    from skimage.color import rgb2lab

    picture = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = torch.from_numpy(rgb2lab(picture[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)
    torch.testing.assert_close(to_lab(picture)[0], expected, atol=0.05, rtol=0)
    torch.testing.assert_close(from_lab(to_lab(picture)), picture, atol=1e-6, rtol=0)
