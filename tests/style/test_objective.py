"""The objective is the weighted sum that its configuration says."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.registry import create
from style.config import StyleConfig
from style.losses import ContentLoss, GramLoss, total_variation
from style.objective import Objective, StyleNetwork


def _extract(image: Tensor) -> dict[str, Tensor]:
    """Two taps of stride 1 and 2 without any trained weight."""
    edges = torch.cat([image, image - image.flip(3)], dim=1).relu()
    return {"fine": edges, "coarse": F.avg_pool2d(edges, 2)}


NETWORK = StyleNetwork(
    extract=_extract,
    content_taps=("coarse", "fine"),
    style_taps={"fine": 3.0, "coarse": 1.0},
    stride=2,
)


def _picture(seed: int, height: int = 8, width: int = 10) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=source, dtype=torch.float64)


def test_losses_are_weighted_means_over_taps_and_their_sum() -> None:
    content, style, image = _picture(0), _picture(1, 6, 6), _picture(2)
    config = StyleConfig(content_weight=2, style_weight=3, tv_weight=5)
    losses = Objective(NETWORK, content, [style], config)(image)

    seen, wanted, look = _extract(image), _extract(content), _extract(style)
    of_content = sum(ContentLoss([wanted[tap]])(seen[tap]) for tap in ("coarse", "fine")) / 2
    of_style = (
        3 * GramLoss([look["fine"]])(seen["fine"]) + GramLoss([look["coarse"]])(seen["coarse"])
    ) / 4
    variation = total_variation(image)
    torch.testing.assert_close(losses["content"], of_content)
    torch.testing.assert_close(losses["style"], of_style)
    torch.testing.assert_close(losses["total_variation"], variation)
    torch.testing.assert_close(
        losses["total"], 2 * 0.2 * of_content + 3 * of_style + 5 * 5 * variation
    )


def test_the_content_itself_has_no_content_loss_and_the_style_no_style_loss() -> None:
    content, style = _picture(3), _picture(4)
    objective = Objective(NETWORK, content, [style], StyleConfig())
    assert objective(content)["content"] == 0
    assert objective(style)["style"] == 0


def test_the_mix_of_styles_is_taken_from_the_configuration() -> None:
    content, first, second = _picture(5), _picture(6), _picture(7)
    nearly_first = Objective(NETWORK, content, [first, second], StyleConfig(style_mix=(1e6, 1e-6)))
    equal = Objective(NETWORK, content, [first, second], StyleConfig())
    assert nearly_first(first)["style"].item() == pytest.approx(0, abs=1e-12)
    assert equal(first)["style"].item() > 1e-4


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
    objective = Objective(network, _picture(8), [_picture(9), _picture(10)], StyleConfig())
    assert looks == 3
    objective(_picture(11))
    objective(_picture(12))
    assert looks == 5


def test_the_network_of_a_backbone_has_the_taps_of_its_spec() -> None:
    backbone = create("squeezenet1_0", seed=0)
    network = StyleNetwork.of(backbone)
    spec = backbone.spec
    assert network.content_taps == spec.content_taps
    assert tuple(network.style_taps) == spec.style_taps
    assert tuple(network.style_taps.values()) == spec.style_tap_weights
    assert network.stride == 16
    seen = network.extract(torch.rand(1, 3, 64, 48))
    assert set(seen) == {*spec.content_taps, *spec.style_taps}


def test_the_network_sees_pictures_continued_beyond_their_borders() -> None:
    backbone = create("squeezenet1_0", seed=0)
    image = _picture(13, 40, 48).float()
    continued = F.pad(image, (8, 8, 8, 8), mode="replicate")
    seen = StyleNetwork.of(backbone).extract(image)
    for tap, expected in backbone.features(continued, tuple(seen)).items():
        torch.testing.assert_close(seen[tap], expected)


def test_gradients_reach_the_picture_and_no_weight() -> None:
    backbone = create("vgg19_quarter", seed=0)
    image = _picture(14, 32, 32).float().requires_grad_(True)
    objective = Objective(
        StyleNetwork.of(backbone),
        _picture(15, 32, 32).float(),
        [_picture(16, 32, 32).float()],
        StyleConfig(),
    )
    objective(image)["total"].backward()
    assert image.grad is not None
    assert image.grad.abs().min() > 0
    assert all(weight.grad is None for weight in backbone.parameters())
