import dataclasses
import math
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.registry import available, spec_of
from backbones.spec import Normalisation, WeightsSource, falling_weights
from data.errors import ArgumentError


@pytest.mark.parametrize("name", available())
def test_style_weights_of_every_network_sum_to_one_and_belong_to_taps(name: str) -> None:
    spec = spec_of(name)
    taps = {tap.name for tap in spec.taps}
    assert math.isclose(sum(spec.style_tap_weights), 1)
    assert len(spec.style_tap_weights) == len(spec.style_taps) > 0
    assert spec.content_taps
    assert set(spec.style_taps) | set(spec.content_taps) <= taps


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "vgg19_quarter"])
def test_vgg_has_the_taps_of_gatys_and_the_weights_256_64_16_4_1(name: str) -> None:
    spec = spec_of(name)
    assert spec.content_taps == ("relu4_2",)
    assert spec.style_taps == tuple(f"relu{block}_1" for block in range(1, 6))
    smallest = spec.style_tap_weights[-1]
    assert [weight / smallest for weight in spec.style_tap_weights] == [256, 64, 16, 4, 1]


@given(st.integers(1, 20))
def test_falling_weights_sum_to_one_and_fall_by_four(count: int) -> None:
    weights = falling_weights(count)
    assert len(weights) == count
    assert math.isclose(sum(weights), 1)
    assert all(a == 4 * b for a, b in pairwise(weights))


def test_unknown_tap_names_the_known_ones() -> None:
    spec = spec_of("vgg19")
    assert spec.tap("relu3_1").channels == 256
    with pytest.raises(ArgumentError, match=r"no tap 'relu9_9'.*relu1_1, relu1_2.*relu5_4"):
        spec.tap("relu9_9")


@pytest.mark.parametrize(
    "change",
    [
        {"style_taps": ("relu1_1", "nowhere")},
        {"content_taps": ("nowhere",)},
        {"style_tap_weights": (1.0,)},
        {"style_tap_weights": (0.5, 0.2, 0.1, 0.1, 0.2)},
        {"taps": ()},
        {"taps": (spec_of("vgg19").taps[0],) * 2},
        {"input_size": (0, 224)},
        {"embedding_size": 0},
    ],
)
def test_a_spec_whose_parts_do_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="vgg19"):
        dataclasses.replace(spec_of("vgg19"), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("std", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0)])
def test_a_normalisation_that_divides_by_nothing_is_refused(std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Normalisation(mean=(0.0, 0.0, 0.0), std=std)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", available())
def test_every_published_file_has_a_digest_and_terms(name: str) -> None:
    for source in spec_of(name).weights:
        assert source.url.startswith("https://")
        # Whole, or said to be short: the registry cannot hold a short one in silence.
        assert len(source.sha256) == 64 or (
            source.sha256 in source.url and str(len(source.sha256)) in str(source.short_digest)
        )
        assert source.licence
        assert source.trained_on


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "1234567"},
        {"sha256": "A" * 64},
        {"size": 0},
        {"sha256": "12345678"},  # short, and nothing says so
        {"sha256": "1" * 63},
        {"sha256": "12345678", "short_digest": ""},
        {"sha256": "1" * 64, "short_digest": "The publisher states no more."},
    ],
)
def test_a_source_that_cannot_be_checked_is_refused(change: dict[str, object]) -> None:
    [source] = spec_of("vgg19").weights
    assert isinstance(source, WeightsSource)
    with pytest.raises(ValueError, match="must be"):
        dataclasses.replace(source, **change)  # type: ignore[arg-type]


def test_a_spec_can_be_read_without_torch() -> None:
    code = "import sys, backbones.spec; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
