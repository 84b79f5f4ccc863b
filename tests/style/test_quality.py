from itertools import permutations

import pytest

from style.config import PaintingQuality, StyleConfig, settings_of


@pytest.mark.parametrize("quality", PaintingQuality)
def test_every_quality_makes_a_config(quality: PaintingQuality) -> None:
    settings = settings_of(quality)
    config = StyleConfig(**settings)  # type: ignore[arg-type]
    assert {"size", "steps"} <= set(settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_balanced_is_what_is_painted_without_a_word() -> None:
    assert StyleConfig(**settings_of(PaintingQuality.BALANCED)) == StyleConfig()  # type: ignore[arg-type]


def test_each_takes_more_than_the_one_before() -> None:
    work = [settings_of(q)["size"] ** 2 * settings_of(q)["steps"] for q in PaintingQuality]
    assert work == sorted(set(work))


@pytest.mark.parametrize(("one", "other"), list(permutations(PaintingQuality, 2)))
def test_a_quality_undoes_what_another_one_had_set(
    one: PaintingQuality, other: PaintingQuality
) -> None:
    both = {**settings_of(one), **settings_of(other)}
    assert StyleConfig(**both) == StyleConfig(**settings_of(other))  # type: ignore[arg-type]
