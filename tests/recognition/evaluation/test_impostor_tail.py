import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto

from data.errors import ArgumentError, WeightsError
from recognition.evaluation.impostor_tail import (
    ImpostorTail,
    Parameters,
    Searched,
    chance_of_any,
    tail_from_json,
)
from recognition.matching import Matching

RULES = ("best", "mean", "trimmed")


def tail_of(
    *,
    probes: float = -2.2,
    photographs: float = 0.5,
    mean: float = 0.8,
    fits: int = 8,
    seed: int = 0,
) -> ImpostorTail:
    """A tail like that of a good network, with other fits that stray from the first."""
    rng = np.random.default_rng(seed)
    level, scale, shape, share = 0.3, 0.05, -0.1, 0.01
    strays = [0.0, *rng.normal(scale=0.1, size=fits)]
    return ImpostorTail(
        quantiles=((0.5, 0.015), (0.1, 0.16), (0.02, 0.26), (0.01, 0.3), (0.001, 0.4)),
        level=level,
        fits=tuple(
            Parameters(
                share=share * math.exp(stray),
                scale=scale * math.exp(stray / 2),
                shape=shape,
                probes=(probes, -0.4),
                photographs=(photographs, 0.2),
                mean=mean,
                trimmed=mean,
            )
            for stray in strays
        ),
        counted=2e-5,
        people=1000,
        photographs=2400,
        most_photographs=30,
        measured_on="nobody",
        measured_at="2026-01-01T00:00:00+00:00",
    )


INDEPENDENT, IDENTICAL = -60.0, 60.0


@given(st.floats(1e-9, 0.5), st.integers(1, 10_000))
def test_independent_comparisons_follow_the_simple_rule(p: float, count: int) -> None:
    assert chance_of_any(p, 0.0, count) == pytest.approx(1 - (1 - p) ** count, rel=1e-6)


@given(st.floats(1e-6, 0.999), st.integers(1, 10_000))
def test_comparisons_that_stand_or_fall_together_are_one(p: float, count: int) -> None:
    assert chance_of_any(p, 1.0, count) == pytest.approx(p)


@pytest.mark.parametrize(("p", "rho", "count"), [(0.1, 0.2, 3), (0.01, 0.05, 20), (0.3, 0.5, 7)])
def test_in_between_probes_differ_as_a_beta_distribution_says(
    p: float, rho: float, count: int
) -> None:
    both = 1 / rho - 1
    own = np.random.default_rng(0).beta(p * both, (1 - p) * both, size=400_000)
    assert chance_of_any(p, rho, count) == pytest.approx(np.mean(1 - (1 - own) ** count), rel=0.02)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6))
def test_a_chance_is_a_chance(p: float, rho: float, count: float) -> None:
    found = float(chance_of_any(p, rho, count))
    assert 0 <= found <= 1
    assert count < 1 or found >= p * (1 - 1e-9)


def test_the_rate_of_pairs_is_that_of_the_generalised_pareto_distribution() -> None:
    tail = tail_of()
    for threshold in (0.3, 0.4, 0.55):
        expected = 0.01 * genpareto.sf(threshold - 0.3, -0.1, scale=0.05)
        assert tail.far(threshold)[0] == pytest.approx(expected)
    # Below the level it goes through what was counted.
    assert tail.far(0.16)[0] == pytest.approx(0.1)
    assert tail.far(-1)[0] == pytest.approx(1)
    for rate in (0.2, 0.01, 1e-3, 1e-5):
        assert tail.far(tail.far_threshold(rate))[0] == pytest.approx(rate)


@pytest.mark.parametrize("people", [1, 10, 87, 1000])
def test_without_correlations_a_search_is_so_many_comparisons(people: int) -> None:
    tail = tail_of(probes=INDEPENDENT, photographs=INDEPENDENT)
    for each in (1, 3):
        threshold = tail.threshold(0.01, Searched({each: people}))
        single = 1 - 0.99 ** (1 / (people * each))
        assert threshold == pytest.approx(tail.far_threshold(single), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_photographs_that_are_all_alike_count_as_one(rule: str) -> None:
    tail = tail_of(photographs=IDENTICAL, mean=1.0)
    one = tail.threshold(0.01, Searched({1: 40}))
    for each in (2, 5, 69):
        assert tail.threshold(0.01, Searched({each: 40}, Matching(rule))) == pytest.approx(
            one, abs=1e-6
        )


@pytest.mark.parametrize("rule", RULES)
def test_one_person_by_one_photograph_is_a_comparison(rule: str) -> None:
    tail = tail_of()
    assert tail.threshold(0.01, Searched({1: 1}, Matching(rule))) == pytest.approx(
        tail.far_threshold(0.01)
    )


def test_attention_is_taken_for_the_mean_of_as_many_as_weigh_alike_or_for_the_best() -> None:
    tail, weighed = tail_of(), Matching.ATTENTION
    for worth in (1, 3, 5):
        known = Searched({5: 20}, weighed, {worth: 20})
        mean = Searched({worth: 20}, Matching.MEAN)
        assert tail.threshold(0.01, known) == tail.threshold(0.01, mean)
        assert (known.people, known.photographs) == (20, 100)
    unknown = tail.threshold(0.01, Searched({5: 20}, weighed))
    assert unknown == tail.threshold(0.01, Searched({5: 20}))


def test_thresholds_rise_with_people_and_photographs_and_fall_with_the_rate() -> None:
    tail = tail_of()
    sizes = [1, 2, 10, 87, 200, 1000, 100_000]
    rising = (
        [tail.threshold(0.01, Searched({1: people})) for people in sizes],
        [tail.threshold(0.01, Searched({each: 20})) for each in (1, 2, 3, 5, 20, 69)],
        [tail.threshold(rate, Searched({2: 50})) for rate in (0.3, 0.1, 0.03, 0.01, 0.003, 1e-4)],
        [tail.threshold(0.01, Searched(each)) for each in ({1: 9}, {1: 8, 4: 1}, {1: 9, 4: 1})],
    )
    for thresholds in rising:
        assert all(first < second for first, second in pairwise(thresholds))
    # No rule is above the default one.
    for rule in ("mean", "trimmed"):
        assert tail.threshold(0.01, Searched({5: 20}, Matching(rule))) < tail.threshold(
            0.01, Searched({5: 20})
        )


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 500), st.integers(1, 70))
def test_a_higher_threshold_names_no_more_strangers(
    first: float, second: float, people: int, each: int
) -> None:
    tail, searched = tail_of(fits=2), Searched({each: people})
    low, high = sorted((first, second))
    assert tail.named_rate(low, searched).rate >= tail.named_rate(high, searched).rate * (1 - 1e-6)


def test_correlated_probes_name_fewer_strangers_than_the_simple_rule() -> None:
    tail, simple = tail_of(), tail_of(probes=INDEPENDENT)
    searched = Searched({1: 200})
    assert tail.named_rate(0.4, searched).rate < simple.named_rate(0.4, searched).rate


def test_an_interval_holds_the_rate_and_narrows_with_those_enrolled() -> None:
    tail = tail_of()
    widths = []
    for people in (1, 10, 100):
        threshold = tail.threshold(0.01, Searched({1: people}))
        found = tail.named_rate(threshold, Searched({1: people}))
        assert 0 <= found.low < found.rate < found.high <= 1
        assert found.rate == pytest.approx(0.01, rel=1e-4)
        widths.append(found.high / found.rate)
    assert widths[0] > widths[1] > widths[2]
    certain = replace(tail, fits=tail.fits[:1] * 3).pairs_rate(0.4)
    assert certain.low == certain.rate == certain.high


def test_what_lies_beyond_what_was_counted_says_so() -> None:
    tail = tail_of()
    few, many = Searched({1: 10}), Searched({1: 100_000})
    assert not tail.named_rate(tail.threshold(0.01, few), few).extrapolated
    assert tail.named_rate(tail.threshold(0.01, many), many).extrapolated
    assert tail.named_rate(0.4, Searched({69: 1})).extrapolated
    assert tail.pairs_rate(1.0).extrapolated


def test_what_cannot_be_asked_is_refused() -> None:
    tail = tail_of()
    with pytest.raises(ArgumentError, match="NaN"):
        tail.pairs_rate(math.nan)
    for rate in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ArgumentError, match="FPIR"):
            tail.threshold(rate, Searched({1: 1}))
    heavy = replace(tail, fits=(replace(tail.fits[0], shape=0.9, scale=0.5),))
    with pytest.raises(ArgumentError, match="cannot be promised among so many"):
        heavy.threshold(1e-4, Searched({1: 100_000}))
    for nobody in ({}, {0: 3}, {1: 0}):
        with pytest.raises(ArgumentError):
            Searched(nobody)


def test_it_is_read_as_it_was_written_and_nothing_else_is() -> None:
    tail = tail_of()
    assert tail_from_json(tail.to_json()) == tail
    text = tail.to_json()
    for damaged in (
        text[:-5],
        text.replace('"scale":0.05', '"scale":-0.05'),
        text.replace('"level":0.3', '"level":NaN'),
        text.replace('"fits":[', '"fits":[3,'),
        text.replace('"counted"', '"accounted"'),
        text.replace('"format":1', '"format":2'),
        text.replace("[0.5,0.015]", "[0.5,0.9]"),
    ):
        assert damaged != text
        with pytest.raises(WeightsError, match="cannot be understood"):
            tail_from_json(damaged)


def test_people_alike_by_chance_grow_with_their_photographs() -> None:
    tail = tail_of()
    counts = np.array([[1, 1], [2, 1], [3, 2], [10, 10]])
    chances = tail.alike_by_chance(0.5, counts)
    assert chances[0] == pytest.approx(tail.far(0.5)[0])
    assert (np.diff(chances) > 0).all()
    assert (chances <= chances[0] * counts.prod(axis=1) * (1 + 1e-9)).all()
