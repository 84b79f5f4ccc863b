"""Verdicts: 0 is the style, 1 the untouched photograph, and what lies between."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import ArgumentError
from data.images import load_image, to_tensor
from style.evaluation.judge import JUDGED_SIZE, Judge
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
