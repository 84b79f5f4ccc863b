"""Verdicts: 0 is the style, 1 the untouched photograph, and what lies between."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from data.images import load_image, to_tensor
from data.tensors import write_tensors
from style.evaluation.judge import (
    JUDGED_SIZE,
    FeatureDistribution,
    Judge,
    choose_judge,
    correlation,
    feature_distance,
    gram_distance,
    similarity_matrix,
    wasserstein_distance,
)
from style.network import StyleNetwork
from style.scales import fit, resize, size_of

Make = Callable[..., Tensor]


@pytest.fixture
def judge(network: StyleNetwork) -> Judge:
    return Judge(
        network.extract,
        content_taps=network.content_taps,
        style_taps=tuple(network.style_taps),
        stride=network.stride,
    )


def test_the_untouched_photograph_is_at_one_from_the_style_and_nothing_from_itself(
    judge: Judge, picture: Make
) -> None:
    content = picture(0)
    verdict = judge.case(content, [picture(1)], size=96)(content)
    assert verdict.gram_distance == pytest.approx(1)
    assert verdict.moment_distance == pytest.approx(1)
    assert verdict.style_distance == pytest.approx(1)
    assert verdict.content_distance == 0
    assert verdict.self_similarity == pytest.approx(1)


def test_the_style_itself_is_at_no_distance_from_the_style(judge: Judge, picture: Make) -> None:
    style = picture(1)
    verdict = judge.case(picture(0), [style], size=96)(style)
    assert verdict.style_distance == pytest.approx(0, abs=1e-9)
    assert verdict.content_distance > 0.5
    assert verdict.self_similarity < 0.7


def test_a_picture_of_which_a_share_is_the_style_lies_at_that_share_of_the_way(
    picture: Make,
) -> None:
    pixels = Judge(
        lambda image: {"pixels": image}, content_taps=["pixels"], style_taps=["pixels"], stride=1
    )
    content, style = (picture(seed, 72, 12).repeat(1, 1, 1, 8) for seed in (0, 1))
    case = pixels.case(content, [style], size=96)
    verdicts = [
        case(torch.cat([style[..., :columns], content[..., columns:]], dim=3))
        for columns in (0, 24, 48, 72, 96)
    ]
    # Products of channels are then averaged by share, and the distance of Grams is squared.
    grams = [verdict.gram_distance for verdict in verdicts]
    assert grams == pytest.approx([1, 0.75**2, 0.5**2, 0.25**2, 0], abs=1e-6)
    moments = [verdict.moment_distance for verdict in verdicts]
    assert moments == sorted(moments, reverse=True)
    contents = [verdict.content_distance for verdict in verdicts]
    assert contents == pytest.approx([share * contents[-1] for share in (0, 0.25, 0.5, 0.75, 1)])


def test_the_mean_of_both_distances_is_the_style_distance(judge: Judge, picture: Make) -> None:
    verdict = judge.case(picture(0), [picture(1)], size=96)(picture(2))
    both = (verdict.gram_distance + verdict.moment_distance) / 2
    assert verdict.style_distance == pytest.approx(both)
    assert list(verdict.to_json()) == list(verdict.__slots__)


def test_equal_shares_of_one_style_twice_are_that_style(judge: Judge, picture: Make) -> None:
    content, style, painted = picture(0), picture(1), picture(2)
    once = judge.case(content, [style], size=96)(painted)
    twice = judge.case(content, [style, style], size=96, mix=(1, 3))(painted)
    assert twice.style_distance == pytest.approx(once.style_distance)


def test_a_photograph_in_the_manner_of_its_own_style_has_nowhere_to_go(
    judge: Judge, picture: Make
) -> None:
    content = picture(0)
    assert judge.case(content, [content], size=96)(content).style_distance < 1e-6


def test_large_pictures_are_looked_at_smaller(
    judge: Judge, picture: Make, seen: list[tuple[int, int]]
) -> None:
    content = picture(0, 24, 32)
    judge.case(content, [picture(1)], size=3 * JUDGED_SIZE)(picture(2, 36, 48))
    assert max(max(size) for size in seen) == JUDGED_SIZE


def test_a_picture_of_another_photograph_is_refused(judge: Judge, picture: Make) -> None:
    case = judge.case(picture(0), [picture(1)], size=96)
    with pytest.raises(ArgumentError, match="expected the photograph that it was painted from"):
        case(picture(2, 96, 72))


@pytest.mark.parametrize(
    ("styles", "mix", "size", "complaint"),
    [
        (0, (), 96, "no style picture"),
        (1, (1, 2), 96, "2 weights of a mix for 1"),
        (1, (), 8, "too small for this judge"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(
    judge: Judge, picture: Make, styles: int, mix: tuple[float, ...], size: int, complaint: str
) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        judge.case(picture(0), [picture(1)] * styles, size=size, mix=mix)


def test_every_backbone_may_judge(picture: Make) -> None:
    judge = Judge.of(create("squeezenet1_0", seed=0))
    content = picture(0, 96, 128)
    assert judge.case(content, [picture(1, 96, 128)], size=128)(content).style_distance == (
        pytest.approx(1)
    )


def test_real_photographs_lie_as_far_from_real_styles_as_the_scale_says(shared: Path) -> None:
    weights = shared / "weights" / "squeezenet1_0-imagenet.safetensors"
    images = shared / "images"
    judge = Judge.of(load_backbone("squeezenet1_0", weights=weights).backbone)

    def read(name: str) -> Tensor:
        whole = to_tensor(load_image(images / name)).unsqueeze(0)
        return resize(whole, fit(size_of(whole), 160))

    content, style = read("content/tubingen.jpg"), read("style/starry_night.jpg")
    case = judge.case(content, [style], size=160)
    recoloured = content - content.mean(dim=(2, 3), keepdim=True)
    recoloured = (recoloured + style.mean(dim=(2, 3), keepdim=True)).clamp(0, 1)
    verdict = case(recoloured)
    assert 0.3 < verdict.style_distance < 1  # a palette is some of a style, not most of it
    assert verdict.self_similarity > 0.8
    other = case(resize(read("content/lion.jpg"), size_of(content)))
    assert 1 < other.content_distance < 3
    assert abs(other.self_similarity) < 0.4
    torch.testing.assert_close(case(content).content_distance, 0.0)


def _activations(seed: int, *, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=source, dtype=torch.float64)


def _normal(mean: list[float], deviations: list[float]) -> FeatureDistribution:
    """Independent channels of these means and deviations."""
    centre = torch.tensor(mean, dtype=torch.float64)
    covariance = torch.tensor(deviations, dtype=torch.float64).square().diag()
    return FeatureDistribution(mean=centre, second=covariance + torch.outer(centre, centre))


def test_wasserstein_distance_of_independent_channels_is_their_means_and_deviations() -> None:
    one, other = _normal([0, 1, 2], [1, 2, 0]), _normal([1, 1, 0], [3, 2, 0.5])
    expected = (1 + 0 + 4) + ((1 - 3) ** 2 + 0 + 0.5**2)
    assert wasserstein_distance(one, other) == pytest.approx(expected)
    assert wasserstein_distance(other, one) == pytest.approx(expected)


def test_distances_of_moments_from_themselves_are_nothing() -> None:
    moments = FeatureDistribution.of(_activations(0, channels=6))
    assert gram_distance(moments, moments) == 0
    assert wasserstein_distance(moments, moments) < 1e-12


def test_wasserstein_distance_of_a_moved_map_is_the_move_alone() -> None:
    activations = _activations(1)
    move = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64).view(1, 3, 1, 1)
    distance = wasserstein_distance(
        FeatureDistribution.of(activations + move), FeatureDistribution.of(activations)
    )
    assert distance == pytest.approx(1 + 4 + 0.25)


def test_gram_distance_equals_the_loops() -> None:
    one, other = _activations(2), _activations(3)

    def product(activations: Tensor, i: int, j: int) -> float:
        a, b = activations[0, i].flatten().tolist(), activations[0, j].flatten().tolist()
        return sum(x * y for x, y in zip(a, b, strict=True)) / len(a)

    expected = sum(
        (product(one, i, j) - product(other, i, j)) ** 2 for i in range(3) for j in range(3)
    )
    assert gram_distance(
        FeatureDistribution.of(one), FeatureDistribution.of(other)
    ) == pytest.approx(expected)


@given(order=st.permutations(range(20)))
@settings(max_examples=20)
def test_moments_do_not_know_where_anything_is(order: list[int]) -> None:
    activations = _activations(4)
    moved = activations.flatten(2)[..., order].reshape(activations.shape)
    torch.testing.assert_close(
        FeatureDistribution.of(moved).second, FeatureDistribution.of(activations).second
    )
    torch.testing.assert_close(
        FeatureDistribution.of(moved).mean, FeatureDistribution.of(activations).mean
    )


def test_mixed_moments_are_those_of_all_places_together() -> None:
    one, other = _activations(5), _activations(6, width=15)  # 20 and 60 places
    both = torch.cat([one, other], dim=3)
    mixed = FeatureDistribution.mixed(
        [FeatureDistribution.of(one), FeatureDistribution.of(other)], [1, 3]
    )
    torch.testing.assert_close(mixed.covariance, FeatureDistribution.of(both).covariance)


def test_feature_distance_is_one_at_the_mean_and_two_at_a_stranger() -> None:
    target = _activations(7, height=40, width=50)
    plain = target.mean(dim=(2, 3), keepdim=True).expand_as(target)
    assert feature_distance(target, target) == 0
    assert feature_distance(plain, target) == pytest.approx(1)
    stranger = _activations(8, height=40, width=50)
    assert feature_distance(stranger, target) == pytest.approx(2, abs=0.05)


def test_feature_distance_from_a_plain_target_is_all_or_nothing() -> None:
    plain = torch.ones(1, 2, 3, 3)
    assert feature_distance(plain, plain) == 0
    assert feature_distance(plain + 1, plain) == 1


def test_similarity_does_not_know_how_strong_a_place_is() -> None:
    activations = _activations(9)
    strength = 0.1 + _activations(10, channels=1).abs()
    torch.testing.assert_close(
        similarity_matrix(activations * strength, 32), similarity_matrix(activations, 32)
    )


def test_similarity_of_a_large_map_is_of_its_averages() -> None:
    blocks = _activations(11, height=4, width=6)
    large = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(similarity_matrix(large, 6), similarity_matrix(blocks, 6))


def test_correlation_is_pearsons() -> None:
    one = similarity_matrix(_activations(12), 32)
    other = similarity_matrix(_activations(13), 32)
    above = torch.triu_indices(20, 20, offset=1)
    pairs = torch.stack([one[above[0], above[1]], other[above[0], above[1]]])
    assert correlation(one, other) == pytest.approx(float(torch.corrcoef(pairs)[0, 1]))
    assert correlation(one, 3 * one + 2) == pytest.approx(1)
    assert correlation(one, -one) == pytest.approx(-1)


def test_correlation_with_what_does_not_vary_is_all_or_nothing() -> None:
    flat = torch.ones(4, 4, dtype=torch.float64)
    varied = similarity_matrix(_activations(14, height=2, width=2), 32)
    assert correlation(flat, flat) == 1
    assert correlation(flat, varied) == 0
    assert not math.isnan(correlation(varied, flat))


def _at_hand(home: Path, name: str) -> None:
    folder = home / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"w": next(create("squeezenet1_0", seed=0).parameters()).detach()}
    write_tensors(folder / f"{name}.safetensors", tensors, {"architecture": name})


def test_the_first_network_at_hand_judges(home: Path) -> None:
    _at_hand(home, "vgg16")
    assert choose_judge([]) == "vgg16"
    _at_hand(home, "squeezenet1_0")
    assert choose_judge(["vgg19"]) == "squeezenet1_0"


def test_what_painted_does_not_judge(home: Path) -> None:
    _at_hand(home, "squeezenet1_0")
    with pytest.raises(WeightsError, match="must not judge itself"):
        choose_judge(["squeezenet1_0"])
    _at_hand(home, "vgg19_quarter")
    assert choose_judge(["squeezenet1_0"]) == "vgg19_quarter"


def test_a_network_of_another_kind_than_the_painter_is_always_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is bundled judges what the bundled painter, and any other, has painted."""
    monkeypatch.delenv("LIKENESS_WEIGHTS", raising=False)
    for painter in ("vgg_slim", "vgg19_quarter", "vgg19", "squeezenet1_0"):
        assert choose_judge([painter], tmp_path) == "iresnet_se"


def test_without_any_network_it_is_said_which_to_fetch(home: Path) -> None:
    with pytest.raises(WeightsError, match="models download squeezenet1_0"):
        choose_judge([])
