"""The objective is the weighted sum that its configuration says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.registry import create
from style.config import StyleConfig, StyleLossKind
from style.losses import ContentLoss, Moments, style_loss, total_variation
from style.network import StyleNetwork
from style.objective import (
    AreaContent,
    AreaStyle,
    Balance,
    StyleObjective,
    moments_at_taps,
    shares_at_taps,
)
from style.regions import Area


def _extract(image: Tensor) -> dict[str, Tensor]:
    """Two taps of stride 1 and 2 without any trained weight."""
    edges = torch.cat([image, image - image.flip(3)], dim=1).relu()
    return {"fine": edges, "coarse": F.avg_pool2d(edges, 2)}


NETWORK = StyleNetwork(
    extract=_extract,
    content_taps={"coarse": 1.0, "fine": 1.0},
    style_taps={"fine": 3.0, "coarse": 1.0},
    stride=2,
)


def _picture(seed: int, height: int = 8, width: int = 10) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=source, dtype=torch.float64)


def _everywhere(*styles: Tensor, **fields: object) -> list[Area]:
    """One area: the whole picture, in equal shares of the styles."""
    return [Area(styles=styles, **{"mix": (1.0,) * len(styles)} | fields)]  # type: ignore[arg-type]


def _half(height: int = 8, width: int = 10) -> Tensor:
    """The share of the left half."""
    share = torch.zeros(1, 1, height, width, dtype=torch.float64)
    share[..., : width // 2] = 1
    return share


def _of_style(look: Tensor, seen: Tensor, kind: StyleLossKind) -> Tensor:
    return style_loss(kind, Moments.of(look))(Moments.of(seen))


@pytest.mark.parametrize(("kind", "unit"), [("moments", 1), ("gram", 1 / 30)])
def test_losses_are_weighted_means_over_taps_and_their_sum(kind: str, unit: float) -> None:
    content, style, image = _picture(0), _picture(1, 6, 6), _picture(2)
    config = StyleConfig(content_weight=2, style_weight=3, tv_weight=5, style_loss=kind)  # type: ignore[arg-type]
    losses = StyleObjective(NETWORK, content, _everywhere(style), config)(image)

    seen, wanted, look = _extract(image), _extract(content), _extract(style)
    of_content = sum(ContentLoss(wanted[tap])(seen[tap]) for tap in ("coarse", "fine")) / 2
    of_style = (
        3 * _of_style(look["fine"], seen["fine"], config.style_loss)
        + _of_style(look["coarse"], seen["coarse"], config.style_loss)
    ) / 4
    variation = total_variation(image)
    torch.testing.assert_close(losses["content"], of_content)
    torch.testing.assert_close(losses["style"], of_style)
    torch.testing.assert_close(losses["total_variation"], variation)
    torch.testing.assert_close(
        losses["total"], 2 * of_content / 60 + 3 * unit * of_style + 5 * 0.15 * variation
    )


@pytest.mark.parametrize("taps", [(), ("coarse",)])
def test_content_in_detail_weighs_a_quarter_unless_its_taps_are_named(
    taps: tuple[str, ...],
) -> None:
    content, style, image = _picture(0), _picture(1, 6, 6), _picture(2)
    config = StyleConfig(content_taps=taps, tv_weight=0)
    usual = StyleObjective(NETWORK, content, _everywhere(style), config)(image)
    detailed = replace(config, content_detail=True)
    losses = StyleObjective(NETWORK, content, _everywhere(style), detailed)(image)
    of_content = usual["total"] - losses["total"]
    expected = usual["content"] / 60 * (0 if taps else 3 / 4)
    torch.testing.assert_close(of_content, expected, atol=1e-6, rtol=1e-4)


def test_picture_and_moments_of_tiles_give_the_losses_of_the_whole() -> None:
    """What a painter of tiles relies on: sums over places, then one score."""
    content, style, image = _picture(30), _picture(31, 6, 6), _picture(32).requires_grad_(True)
    network = StyleNetwork(
        extract=lambda picture: {"fine": picture.exp(), "coarse": picture.square()},
        content_taps={"fine": 1, "coarse": 3},
        style_taps={"fine": 3.0, "coarse": 1.0},
        stride=1,
    )
    areas = [
        Area(styles=(style,), share=0.25 + 0.5 * _half()),
        Area(styles=(_picture(33),), share=0.75 - 0.5 * _half()),
    ]
    config = StyleConfig()
    expected = StyleObjective(network, content, areas, config)(image)

    seen, whole = network.extract(content), moments_at_taps(network, network.extract(content))
    tiles = [slice(0, 3), slice(3, 10)]
    shares = [shares_at_taps(area, seen) for area in areas]
    contents, styles = [], []
    for area, share in zip(areas, shares, strict=True):
        looks = [moments_at_taps(network, network.extract(look)) for look in area.styles]
        parts, sums = [], []
        for tile in tiles:
            cut = {tap: None if part is None else part[..., tile] for tap, part in share.items()}
            there = {tap: features[..., tile] for tap, features in seen.items()}
            shown = network.extract(image[..., tile])
            parts.append(AreaContent(network, there, cut, whole)(shown))
            sums.append(moments_at_taps(network, shown, cut))
        added = {tap: sums[0][tap] + sums[1][tap] for tap in network.style_taps}
        contents.append(torch.stack(parts).sum())
        styles.append(AreaStyle(network, area, looks, config)(added))
    losses = Balance.of(areas, config, content).losses(
        torch.stack(contents), torch.stack(styles), total_variation(image)
    )
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)
    (gradient,) = torch.autograd.grad(losses["total"], image)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected["total"], image)[0])


def test_the_content_itself_has_no_content_loss_and_the_style_no_style_loss() -> None:
    content, style = _picture(3), _picture(4)
    objective = StyleObjective(NETWORK, content, _everywhere(style), StyleConfig())
    assert objective(content)["content"] == 0
    assert objective(style)["style"].item() == pytest.approx(0, abs=1e-9)


def test_the_mix_of_styles_is_that_of_the_area() -> None:
    content, first, second = _picture(5), _picture(6), _picture(7)
    config = StyleConfig()
    nearly_first = StyleObjective(
        NETWORK, content, _everywhere(first, second, mix=(1e6, 1e-6)), config
    )
    equal = StyleObjective(NETWORK, content, _everywhere(first, second), config)
    assert nearly_first(first)["style"].item() == pytest.approx(0, abs=1e-12)
    assert equal(first)["style"].item() > 1e-5


def test_targets_are_looked_at_once() -> None:
    looks = 0

    def counted(image: Tensor) -> dict[str, Tensor]:
        nonlocal looks
        looks += 1
        return _extract(image)

    network = StyleNetwork(
        extract=counted,
        content_taps=NETWORK.content_taps,
        style_taps=NETWORK.style_taps,
        stride=2,
    )
    areas = _everywhere(_picture(9), _picture(10))
    objective = StyleObjective(network, _picture(8), areas, StyleConfig())
    assert looks == 3
    objective(_picture(11))
    objective(_picture(12))
    assert looks == 5


def test_gradients_reach_the_picture_and_no_weight() -> None:
    backbone = create("vgg19_quarter", seed=0)
    image = _picture(14, 32, 32).float().requires_grad_(True)
    objective = StyleObjective(
        StyleNetwork.of(backbone),
        _picture(15, 32, 32).float(),
        _everywhere(_picture(16, 32, 32).float()),
        StyleConfig(),
    )
    objective(image)["total"].backward()
    assert image.grad is not None
    assert image.grad.abs().min() > 0
    assert all(weight.grad is None for weight in backbone.parameters())


@pytest.mark.parametrize(
    ("strength", "of_content", "of_style"), [(0.0, 2.0, 0.0), (0.25, 1.5, 0.5), (1.0, 0.0, 2.0)]
)
def test_strength_is_the_share_of_the_style_in_the_sum_of_both(
    strength: float, of_content: float, of_style: float
) -> None:
    areas = _everywhere(_picture(18), strength=strength)
    losses = StyleObjective(NETWORK, _picture(17), areas, StyleConfig(tv_weight=0))(_picture(19))
    expected = of_content * losses["content"] / 60 + of_style * losses["style"]
    torch.testing.assert_close(losses["total"], expected)


def test_two_halves_in_one_way_are_nearly_the_whole() -> None:
    """The content is the same sum; the styles of halves are compared one by one."""
    content, style, image = _picture(20), _picture(21), _picture(22)
    halves = [
        Area(styles=(style,), share=_half()),
        Area(styles=(style,), share=1 - _half()),
    ]
    shared = StyleObjective(NETWORK, content, halves, StyleConfig())(image)
    whole = StyleObjective(NETWORK, content, _everywhere(style), StyleConfig())(image)
    torch.testing.assert_close(shared["content"], whole["content"], rtol=1e-4, atol=0)
    # The mean of squared distances is never below the squared distance of the mean.
    assert shared["style"] >= whole["style"]


def test_each_area_is_pulled_towards_its_own_style_at_its_own_strength() -> None:
    left, right = _picture(23, 8, 5), _picture(24, 8, 5)
    both = torch.cat([left, right], dim=3)
    network = StyleNetwork(
        extract=lambda image: {"fine": image},
        content_taps={"fine": 1},
        style_taps={"fine": 1},
        stride=1,
    )
    areas = [
        Area(styles=(left,), share=_half(), strength=1.0),
        Area(styles=(right,), share=1 - _half(), strength=0.0),
    ]
    objective = StyleObjective(network, both, areas, StyleConfig(tv_weight=0))
    assert objective(both)["total"] < 1e-20
    image = _picture(25).requires_grad_(True)
    objective(image)["total"].backward()
    assert image.grad is not None
    # On the left nothing but the style pulls, on the right nothing but the content.
    of_style = StyleObjective(network, both, [areas[0]], StyleConfig(tv_weight=0))
    alone = image.detach().clone().requires_grad_(True)
    of_style(alone)["style"].backward()
    assert alone.grad is not None
    torch.testing.assert_close(image.grad[..., :5], 2 * alone.grad[..., :5])
    pull = image.grad[..., 5:] / (image - both).detach()[..., 5:]
    torch.testing.assert_close(pull, pull.mean().expand_as(pull))


def test_where_the_photograph_stays_it_is_what_the_network_sees() -> None:
    content, image = _picture(26), _picture(27).requires_grad_(True)
    areas = [
        Area(styles=(), share=_half()),
        Area(styles=(_picture(28),), share=1 - _half()),
    ]
    objective = StyleObjective(NETWORK, content, areas, StyleConfig())
    shown = objective.shown(image)
    torch.testing.assert_close(shown[..., :5], content[..., :5])
    torch.testing.assert_close(shown[..., 5:], image[..., 5:])
    objective(image)["total"].backward()
    assert image.grad is not None
    assert image.grad[..., :5].abs().max() == 0
    assert image.grad[..., 5:].abs().max() > 0
