"""The places that tiles own are those of the whole picture: each once, and each the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbones.registry import create
from data.errors import ArgumentError
from style.config import PaintingPrecision, StyleConfig
from style.network import ReceptiveField, StyleNetwork, measure_views
from style.tiling import Overlap

OVERLAP = Overlap(before=24, after=16, stride=8)


@given(
    length=st.integers(1, 700),
    side=st.integers(48, 300),
    stride=st.sampled_from([1, 2, 4, 8]),
    more=st.integers(-3, 3),
)
@settings(deadline=None, max_examples=200)
def test_every_place_is_owned_once(length: int, side: int, stride: int, more: int) -> None:
    places = list(range(max(1, length // stride + more)))  # margins add places, kernels take some
    spans = OVERLAP.spans(length, side)
    assert [place for span in spans for place in places[span.places(stride)]] == places
    assert spans[0].start == spans[0].first == 0
    assert spans[-1].stop == spans[-1].last == length
    assert [span.last for span in spans[:-1]] == [span.first for span in spans[1:]]


@given(length=st.integers(1, 3000), side=st.integers(48, 500))
@settings(deadline=None, max_examples=200)
def test_tiles_are_aligned_and_no_larger_than_asked(length: int, side: int) -> None:
    for span in OVERLAP.spans(length, side):
        assert span.stop - span.start <= side
        assert span.start % 8 == span.first % 8 == 0
        assert span.start == max(0, span.first - 24)
        assert span.stop >= min(length, span.last + 16)


def test_a_place_of_a_tile_sees_nothing_beyond_its_crop() -> None:
    views = [
        ReceptiveField(stride=1, before=3, after=2),
        ReceptiveField(stride=4, before=9, after=11),
    ]
    overlap = Overlap.of(views, 4)
    assert overlap == Overlap(before=12, after=8, stride=4)
    for span in overlap.spans(301, 64):
        for view in views:
            owned = range(*span.places(view.stride).indices(400 // view.stride))
            for place in owned:
                seen = (place * view.stride - view.before, place * view.stride + view.after)
                assert span.start == 0 or seen[0] >= span.start
                assert span.stop == 301 or seen[1] < span.stop


@pytest.mark.parametrize("size", [(213, 90), (65, 331)])
@pytest.mark.parametrize("name", ["vgg19_quarter", "squeezenet1_0", "resnet18"])
def test_put_together_tiles_are_the_map_of_the_whole(name: str, size: tuple[int, int]) -> None:
    network = StyleNetwork.of(
        create(name, seed=0), StyleConfig(precision=PaintingPrecision.FLOAT32)
    )
    views = measure_views(network.extract, network.stride, torch.zeros(1))
    overlap = Overlap.of(views.values(), network.stride)
    picture = torch.rand(1, 3, *size)
    tiles = overlap.tiles(size, overlap.least_tile + network.stride)
    assert len(tiles) > 1 or max(size) <= overlap.least_tile + network.stride
    with torch.no_grad():
        whole = network.extract(picture)
        found = {tap: torch.full_like(features, torch.nan) for tap, features in whole.items()}
        for tile in tiles:
            crop = network.extract(tile.crop(picture))
            for tap, view in views.items():
                target = tile.of(found[tap], view.stride)
                assert target.isnan().all()  # no place twice
                target.copy_(tile.own(crop[tap], view.stride))
    for tap, features in whole.items():
        torch.testing.assert_close(found[tap], features, rtol=1e-4, atol=1e-5)


def test_too_small_tiles_are_refused_with_the_least_size() -> None:
    with pytest.raises(ArgumentError, match="expected 48 px"):
        OVERLAP.spans(100, 47)
    assert len(OVERLAP.spans(40, 41)) == 1
