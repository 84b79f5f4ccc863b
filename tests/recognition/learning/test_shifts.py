import numpy as np
import pytest
import torch
from torch import Tensor

from recognition.learning.dataset import NOBODY, Photographs, _permuted, find_shifts


def people(count: int, *, seed: int, light: float = 0.0, colour: float = 1.0, blur: int = 0):
    """Two photographs of each, of one light for both."""
    rng = np.random.default_rng(seed)
    of_person = rng.normal(0, 20, (count, 1, 1, 1, 1)).repeat(2, axis=1)
    pixels = 120 + light + of_person + rng.normal(0, 25, (count, 2, 3, 24, 24))
    for _ in range(blur):
        pixels = (pixels + np.roll(pixels, 1, -1) + np.roll(pixels, 1, -2)) / 3
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * colour
    labels = torch.arange(count).repeat_interleave(2)
    tensor = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)).flatten(0, 1)
    return Photographs(tensor, labels, tuple(f"{i:03}" for i in range(count)))


def test_one_source_in_two_parts_is_no_shift():
    """At a level of 1 % for four traits together, forty splits of one source give next to none."""
    found = [
        find_shifts("test", people(20, seed=2 * i), "training", people(40, seed=2 * i + 1))
        for i in range(40)
    ]
    assert sum(map(bool, found)) <= 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"light": 40.0}, "brighter"),
        ({"light": -40.0}, "darker"),
        ({"colour": 0.0}, "less colourful"),
        ({"blur": 2}, "more blurred"),
    ],
)
def test_another_source_is_told_by_what_differs(change: dict[str, float], words: str):
    lines = find_shifts("test", people(20, seed=1, **change), "training", people(40, seed=2))  # type: ignore[arg-type]
    assert any(line.startswith(f"test photographs are {words} than training") for line in lines)
    assert all("\n" not in line for line in lines)


def test_nobody_and_a_few_people_prove_nothing():
    few, nobody = people(2, seed=1, light=60), people(0, seed=1)
    assert find_shifts("test", few, "training", people(3, seed=2)) == []
    assert find_shifts("test", nobody, "training", people(9, seed=2)) == []


def test_photographs_without_names_count_one_by_one():
    named = people(40, seed=3)
    pixels = people(40, seed=4, light=50).pixels
    unnamed = Photographs(pixels, torch.full((80,), NOBODY), ())
    [line] = find_shifts("unlabelled", unnamed, "training", named)
    assert "unlabelled photographs are brighter" in line


def exact(first: Tensor, second: Tensor) -> float:
    """The share of all share-outs of the people that differ by as much."""
    from itertools import combinations

    everyone = torch.cat([first, second])[:, 0]
    measured = abs(first.mean() - second.mean())
    hits = []
    for chosen in combinations(range(len(everyone)), len(first)):
        mask = torch.zeros(len(everyone), dtype=torch.bool)
        mask[list(chosen)] = True
        difference = abs(everyone[mask].mean() - everyone[~mask].mean())
        hits.append(bool(difference >= measured - 1e-12))
    return sum(hits) / len(hits)


def test_the_permutation_test_draws_from_all_share_outs():
    generator = torch.Generator().manual_seed(7)
    first = torch.rand(4, 1, generator=generator, dtype=torch.float64) + 0.25
    second = torch.rand(6, 1, generator=generator, dtype=torch.float64)
    assert abs(float(_permuted(first, second)) - exact(first, second)) < 0.03
