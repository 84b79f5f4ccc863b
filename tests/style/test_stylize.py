"""stylize() with a small random network: what it reports, keeps and refuses."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from backbones.registry import create
from data.errors import ArgumentError, StyleError
from style.config import (
    ColorMethod,
    Colors,
    InitialImage,
    Optimizer,
    Region,
    RegionManner,
    StyleConfig,
)
from style.network import StyleNetwork
from style.optimizers import painter
from style.planning import Room
from style.regions import Area
from style.scales import resize
from style.stylize import initial_image, plan_painting, stylize

Picture = Callable[..., Tensor]

SMALL = StyleConfig(size=64, steps=12, first_scale=32, scale_factor=2)


def _last(network: StyleNetwork, content: Tensor, style: Tensor, config: StyleConfig) -> Image:
    *_, last = stylize(content, [style], config, network)
    return last.image


def _pixels(image: Image) -> np.ndarray:
    return np.asarray(image)


def test_every_step_is_reported(network: StyleNetwork, picture: Picture) -> None:
    steps = list(stylize(picture(0), [picture(1)], SMALL, network, preview_every=5))
    assert [progress.step for progress in steps] == list(range(1, 13))
    assert {progress.total for progress in steps} == {12}
    assert [progress.size for progress in steps] == [(24, 32)] * 8 + [(48, 64)] * 4
    assert [p.step for p in steps if p.image is not None] == [5, 10, 12]
    assert all(p.image is None or p.image.size == (64, 48) for p in steps)
    assert all(a.elapsed <= b.elapsed for a, b in pairwise(steps))
    for progress in steps:
        assert list(progress.losses) == ["content", "style", "total_variation", "total"]
        assert all(np.isfinite(value) for value in progress.losses.values())


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_the_style_comes_closer(
    network: StyleNetwork, picture: Picture, optimizer: Optimizer
) -> None:
    config = replace(SMALL, steps=60, first_scale=64, optimizer=optimizer)
    steps = list(stylize(picture(0), [picture(1)], config, network))
    assert steps[-1].losses["style"] < 0.2 * steps[0].losses["style"]
    assert steps[-1].losses["total"] < 0.5 * steps[0].losses["total"]


def test_without_a_say_for_the_style_the_content_stays(
    network: StyleNetwork, picture: Picture
) -> None:
    config = replace(SMALL, steps=60, style_weight=1e-6, tv_weight=0, content_weight=1e3)
    network = replace(network, content_taps={"fine": 1})  # the coarse tap leaves pixels free
    content = picture(0, 48, 64)
    painted = torch.from_numpy(_pixels(_last(network, content, picture(1), config)).copy()) / 255
    assert (painted.permute(2, 0, 1) - content[0]).abs().mean() < 0.02


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_the_same_seed_gives_the_same_picture(
    network: StyleNetwork, picture: Picture, optimizer: Optimizer
) -> None:
    config = replace(SMALL, initial_image=InitialImage.NOISE, optimizer=optimizer, seed=3)
    first = _last(network, picture(0), picture(1), config)
    again = _last(network, picture(0), picture(1), config)
    other = _last(network, picture(0), picture(1), replace(config, seed=4))
    assert np.array_equal(_pixels(first), _pixels(again))
    assert not np.array_equal(_pixels(first), _pixels(other))


def test_the_next_scale_goes_on_with_the_moments_of_the_one_before(
    network: StyleNetwork, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    befores = []

    def spied(*arguments: Any, before: Any, **keywords: Any) -> Any:
        befores.append(before)
        return painter(*arguments, before=before, **keywords)

    monkeypatch.setattr("style.stylize.painter", spied)
    list(stylize(picture(0), [picture(1)], SMALL, network))
    first, second = befores
    assert first is None
    assert second["exp_avg"].shape == (1, 3, 24, 32)


@pytest.mark.parametrize("choice", list(InitialImage))
def test_every_initial_image_is_what_the_first_step_sees(
    network: StyleNetwork, picture: Picture, choice: InitialImage
) -> None:
    shown: list[Tensor] = []

    def spied(image: Tensor) -> Any:
        shown.append(image.detach().clone())
        return network.extract(image)

    config = replace(SMALL, steps=1, initial_image=choice)
    draft = picture(7, 30, 40) if choice is InitialImage.DRAFT else None
    content, style = picture(0, 48, 64), picture(1, 48, 64)
    list(stylize(content, [style], config, replace(network, extract=spied), initial=draft))
    begun = shown[-1]
    if choice is InitialImage.CONTENT:
        torch.testing.assert_close(begun, content)
    elif choice is InitialImage.DRAFT and draft is not None:
        torch.testing.assert_close(begun, resize(draft, (48, 64)))
    elif choice is InitialImage.NOISE:
        assert begun.mean() == pytest.approx(0.5, abs=0.02)
        assert begun.std() == pytest.approx(0.1, abs=0.02)
    else:
        colours, wanted = begun[0].flatten(1), style[0].flatten(1)
        torch.testing.assert_close(colours.mean(dim=1), wanted.mean(dim=1), atol=0.02, rtol=0)
        torch.testing.assert_close(torch.cov(colours), torch.cov(wanted), atol=0.01, rtol=0)


def test_a_draft_must_be_there_where_it_is_asked_for(
    network: StyleNetwork, picture: Picture
) -> None:
    asked = replace(SMALL, initial_image=InitialImage.DRAFT)
    with pytest.raises(ArgumentError, match="no draft was handed in"):
        stylize(picture(0), [picture(1)], asked, network)


def test_the_statistics_of_areas_begin_each_in_its_own_colours(
    network: StyleNetwork, picture: Picture
) -> None:
    share = torch.zeros(1, 1, 48, 64)
    share[..., :32] = 1
    areas = [Area(styles=(picture(1),), share=share), Area(styles=(), share=1 - share)]
    config = replace(SMALL, initial_image=InitialImage.STATISTICS)
    content = picture(0, 48, 64)
    begun = initial_image(content, areas, 32, config)
    torch.testing.assert_close(begun[..., 32:], content[..., 32:])
    alone = initial_image(content, [Area(styles=(picture(1),))], 32, config)
    torch.testing.assert_close(begun[..., :32], alone[..., :32])


def test_a_cancelled_run_keeps_its_picture(network: StyleNetwork, picture: Picture) -> None:
    painting = stylize(picture(0), [picture(1)], SMALL, network)
    for progress in painting:
        if progress.step == 4:  # in the coarse scale
            break
    painting.close()
    assert next(painting, None) is None
    kept = progress.render()
    assert kept.size == (64, 48)
    assert np.array_equal(_pixels(kept), _pixels(progress.render()))


def test_the_last_step_renders_the_picture_that_it_carries(
    network: StyleNetwork, picture: Picture
) -> None:
    *_, last = stylize(picture(0), [picture(1)], SMALL, network)
    assert np.array_equal(_pixels(last.render()), _pixels(last.image))


def test_targets_are_looked_at_once_a_scale(
    network: StyleNetwork, picture: Picture, seen: list[tuple[int, int]]
) -> None:
    list(stylize(picture(0), [picture(1), picture(2)], SMALL, network))
    assert len(seen) == 12 + 2 * 3  # steps, and in two scales one content and two styles


def test_styles_are_scaled_and_never_enlarged(
    network: StyleNetwork, picture: Picture, seen: list[tuple[int, int]]
) -> None:
    config = replace(SMALL, steps=1, style_scale=1.5)
    styles = [picture(1, 300, 150), picture(2, 40, 50), picture(3, 10, 200)]
    list(stylize(picture(0), styles, config, network))
    content, large, small, elongated, *_ = seen
    assert content == (48, 64)
    assert large == (96, 48)  # longer side 1.5 · 64
    assert small == (40, 50)  # as it is
    assert elongated == (8, 160)  # what a stride of 4 needs


def test_a_small_photograph_is_enlarged_to_the_size(
    network: StyleNetwork, picture: Picture
) -> None:
    painted = _last(network, picture(0, 20, 15), picture(1), replace(SMALL, steps=2))
    assert painted.size == (48, 64)


def test_batched_and_single_pictures_are_the_same(network: StyleNetwork, picture: Picture) -> None:
    batched = _last(network, picture(0), picture(1), SMALL)
    single = _last(network, picture(0)[0], picture(1)[0], SMALL)
    assert np.array_equal(_pixels(batched), _pixels(single))


def test_arguments_are_refused_before_the_first_step(
    network: StyleNetwork, picture: Picture
) -> None:
    with pytest.raises(ArgumentError, match="no style picture"):
        stylize(picture(0), [], SMALL, network)
    with pytest.raises(ArgumentError, match=r"2 weights for 1 style picture"):
        stylize(picture(0), [picture(1)], replace(SMALL, style_mix=(1, 2)), network)
    with pytest.raises(ArgumentError, match="too small for this network"):
        stylize(picture(0, 4, 400), [picture(1)], SMALL, network)
    with pytest.raises(ArgumentError, match="style picture 2 of 400×4 px is too small"):
        stylize(picture(0), [picture(1), picture(2, 4, 400)], SMALL, network)


def test_a_broken_network_stops_with_one_line_and_the_picture_so_far(
    network: StyleNetwork, picture: Picture
) -> None:
    looks = 0

    def broken(image: Tensor) -> dict[str, Tensor]:
        nonlocal looks
        looks += 1
        seen = network.extract(image)
        return seen if looks < 5 else {tap: features * torch.nan for tap, features in seen.items()}

    painting = stylize(picture(0), [picture(1)], SMALL, replace(network, extract=broken))
    done = [next(painting), next(painting)]
    with pytest.raises(StyleError, match="content loss became nan"):
        next(painting)
    assert done[-1].render().size == (64, 48)


def test_between_steps_the_caller_has_its_gradients(
    network: StyleNetwork, picture: Picture
) -> None:
    for _ in stylize(picture(0), [picture(1)], replace(SMALL, steps=2), network):
        assert torch.is_grad_enabled()


def test_where_a_region_has_no_style_the_photograph_stays_pixel_by_pixel(
    network: StyleNetwork, picture: Picture
) -> None:
    mask = torch.zeros(1, 48, 64)
    mask[..., :32] = 1
    regions = [Region(mask=mask, style=RegionManner.NONE)]
    config = replace(SMALL, initial_image=InitialImage.NOISE)
    content = picture(0, 48, 64)
    first, again = (
        list(stylize(content, [picture(1)], config, network, regions=regions))[-1].render()
        for _ in range(2)
    )
    assert np.array_equal(_pixels(first), _pixels(again))
    kept = (
        _pixels(first)[:, :32].astype(int)
        - (content[0].permute(1, 2, 0) * 255).round().int().numpy()[:, :32]
    )
    assert abs(kept).max() <= 1


@pytest.mark.parametrize("method", list(ColorMethod))
def test_every_way_of_keeping_colours_paints(
    network: StyleNetwork, picture: Picture, method: ColorMethod
) -> None:
    config = replace(SMALL, steps=2, colors=Colors.CONTENT, color_method=method)
    assert _last(network, picture(0), picture(1), config).size == (64, 48)


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_a_draft_may_lie_in_memory_in_any_order(
    network: StyleNetwork, picture: Picture, optimizer: Optimizer
) -> None:
    config = replace(SMALL, initial_image=InitialImage.DRAFT, optimizer=optimizer)
    ends = []
    for memory in (torch.contiguous_format, torch.channels_last):
        draft = picture(2, 48, 64).to(memory_format=memory)
        *_, last = stylize(picture(0), [picture(1)], config, network, initial=draft)
        ends.append(_pixels(last.image).astype(float))
    assert np.abs(ends[0] - ends[1]).mean() < 1  # rounding may differ with the order


# One of each structure; `tests/backbones/test_sizes.py` tries the gradients of every family.
PAINTERS = (
    "alexnet",
    "dlib_resnet",
    "inception_resnet_v1",
    "iresnet_se",
    "lenet5",
    "mobilefacenet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg19_quarter",
    "vgg_slim",
    "vit_small_16",
    "zfnet",
)


def _picture(height: int, width: int, seed: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PAINTERS)
def test_what_is_planned_can_be_painted(name: str) -> None:
    config = StyleConfig(size=101, steps=2, first_scale=67, precision="float32")
    network = StyleNetwork.of(create(name, seed=0), config)
    content, style = _picture(97, 101, 0), _picture(network.least_side, 71, 1)
    assert plan_painting(content, [style], config, network, room=Room(memory=4)).scales
    *_, last = stylize(content, [style], config, network, room=Room(memory=4))
    assert last.image is not None
    assert last.image.size == (101, 97)


@pytest.mark.parametrize("name", ["inception_resnet_v1", "dlib_resnet", "vgg_slim"])
def test_a_picture_below_the_least_side_is_refused_before_anything_is_computed(name: str) -> None:
    config = StyleConfig(size=128, steps=1)
    network = StyleNetwork.of(create(name, seed=0), config)
    least = network.least_side
    with pytest.raises(ArgumentError, match=f"needs {least} px on the shorter side"):
        stylize(_picture(least - 1, 128, 0), [_picture(64, 64, 1)], config, network)
    with pytest.raises(ArgumentError, match=f"needs {least} px on the shorter side"):
        stylize(_picture(128, 128, 0), [_picture(64, least - 1, 1)], config, network)
