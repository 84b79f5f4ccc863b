"""Each loss against a slow oracle in plain Python, and its gradient against finite differences."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from recognition.learning.choices import LossName, Mining
from recognition.learning.config import LossConfig
from recognition.learning.losses import Objective, build_objective

MARGIN = 0.2
LABELS = [0, 0, 0, 1, 1, 2, 2, 3]


def number(tensor: Tensor) -> float:
    return float(tensor.detach())


def objective(*terms: LossConfig, size: int = 5, people: int = 4) -> Objective:
    torch.manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(people, size))
    return build_objective(
        terms, embedding_size=size, people=people, target_size=size, centres=centres
    )


def single(name: LossName, **settings: object) -> Callable[[Tensor], Tensor]:
    """One loss as a function of the embeddings of LABELS."""
    term = LossConfig(name=name, **settings)  # type: ignore[arg-type]
    built = objective(term).double()
    targets = embeddings(9)
    return lambda vectors: built(vectors, torch.tensor(LABELS), targets)[0]


def embeddings(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(LABELS), 5, dtype=torch.float64, generator=generator)


def squared_distances(vectors: Tensor) -> np.ndarray:
    unit = [np.array(v) / math.sqrt(sum(x * x for x in v)) for v in vectors.tolist()]
    return np.array([[((a - b) ** 2).sum() for b in unit] for a in unit])


def triplets() -> Iterator[tuple[int, int, int]]:
    indices = range(len(LABELS))
    for a in indices:
        for p in indices:
            for n in indices:
                if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]:
                    yield a, p, n


def mean_above_zero(values: list[float]) -> float:
    """The mean over triplets that still cost something, as FaceNet's batches have it."""
    positive = [value for value in values if value > 0]
    return sum(positive) / len(positive) if positive else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_triplets_all_of_them(seed: int) -> None:
    d = squared_distances(embeddings(seed))
    expected = mean_above_zero([d[a, p] - d[a, n] + MARGIN for a, p, n in triplets()])
    got = single(LossName.TRIPLET, mining=Mining.ALL)(embeddings(seed))
    assert number(got) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_triplets_semi_hard(seed: int) -> None:
    d = squared_distances(embeddings(seed))
    chosen = [(a, p, n) for a, p, n in triplets() if d[a, p] < d[a, n] <= d[a, p] + MARGIN]
    expected = mean_above_zero([d[a, p] - d[a, n] + MARGIN for a, p, n in chosen])
    got = single(LossName.TRIPLET, mining=Mining.SEMI_HARD)(embeddings(seed))
    assert number(got) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_triplets_hardest_of_each_anchor(seed: int) -> None:
    d = squared_distances(embeddings(seed))
    costs = []
    for a in sorted({a for a, _, _ in triplets()}):
        farthest = max(d[a, p] for i, p, _ in triplets() if i == a)
        nearest = min(d[a, n] for i, _, n in triplets() if i == a)
        costs.append(farthest - nearest + MARGIN)
    got = single(LossName.TRIPLET, mining=Mining.HARD)(embeddings(seed))
    assert number(got) == pytest.approx(mean_above_zero(costs))


def test_triplets_cost_the_margin_where_everything_coincides() -> None:
    same = torch.ones(len(LABELS), 5, dtype=torch.float64)
    got = single(LossName.TRIPLET, mining=Mining.ALL, margin=0.35)(same)
    assert number(got) == pytest.approx(0.35, abs=1e-5)


def test_triplets_cost_nothing_where_people_are_far_apart() -> None:
    apart = torch.eye(5, dtype=torch.float64)[LABELS].requires_grad_(True)
    for mining in Mining:
        loss = single(LossName.TRIPLET, mining=mining)(apart)
        loss.backward()
        assert number(loss) == 0
    assert apart.grad is not None
    assert not apart.grad.any()


def test_contrastive_pulls_equals_and_pushes_strangers() -> None:
    vectors = embeddings()
    distances = np.sqrt(squared_distances(vectors))
    pairs = list(combinations(range(len(LABELS)), 2))
    same = [distances[i, j] for i, j in pairs if LABELS[i] == LABELS[j]]
    strange = [max(1 - distances[i, j], 0) for i, j in pairs if LABELS[i] != LABELS[j]]
    expected = mean_above_zero(same) + mean_above_zero(strange)
    assert number(single(LossName.CONTRASTIVE)(vectors)) == pytest.approx(expected)


def test_pair_classifier_weighs_both_answers_alike() -> None:
    vectors, built = embeddings(), objective(LossConfig(name=LossName.PAIR)).double()
    linear = built.terms["pair"].classifier
    weights, bias = linear.weight[0].detach().numpy(), number(linear.bias)
    unit = [np.array(v) / np.linalg.norm(v) for v in vectors.tolist()]
    costs: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(len(LABELS)), 2):
        same = LABELS[i] == LABELS[j]
        logit = bias + sum(
            w * abs(x - y) for w, x, y in zip(weights, unit[i], unit[j], strict=True)
        )
        probability = 1 / (1 + math.exp(-logit))
        costs[same].append(-math.log(probability if same else 1 - probability))
    expected = sum(sum(values) / len(values) for values in costs.values()) / 2
    got = built(vectors, torch.tensor(LABELS), None)[0]
    assert number(got) == pytest.approx(expected)


def test_softmax_of_an_undecided_classifier_is_the_logarithm_of_the_people() -> None:
    built = objective(LossConfig(name=LossName.SOFTMAX)).double()
    for parameter in built.parameters():
        parameter.data.zero_()
    loss = built(embeddings(), torch.tensor(LABELS), None)[0]
    assert number(loss) == pytest.approx(math.log(4))


@pytest.mark.parametrize("name", [LossName.ARCFACE, LossName.COSFACE])
def test_margin_losses_move_the_right_answer_by_their_margin(name: LossName) -> None:
    margin, scale = (20.0, 8.0) if name is LossName.ARCFACE else (0.2, 8.0)
    built = objective(LossConfig(name=name, margin=margin, scale=scale)).double()
    centres = next(built.parameters()).detach().numpy()  # (D, people)
    centres = centres / np.linalg.norm(centres, axis=0)
    costs = []
    for vector, label in zip(embeddings().numpy(), LABELS, strict=True):
        cosines = vector / np.linalg.norm(vector) @ centres
        if name is LossName.ARCFACE:
            cosines[label] = math.cos(math.acos(cosines[label]) + math.radians(margin))
        else:
            cosines[label] -= margin
        exponents = np.exp(scale * cosines)
        costs.append(-math.log(exponents[label] / exponents.sum()))
    got = built(embeddings(), torch.tensor(LABELS), None)[0]
    assert number(got) == pytest.approx(sum(costs) / len(costs), rel=1e-6)


def test_sub_centers_give_each_person_three() -> None:
    built = objective(LossConfig(name=LossName.SUBCENTER))
    assert next(built.parameters()).shape == (5, 4 * 3)


@pytest.mark.parametrize("name", [name for name in LossName if name is not LossName.FEATURES])
def test_gradients_against_finite_differences(name: LossName) -> None:
    mining = Mining.ALL  # mined sets jump from one batch to the next
    function = single(name, mining=mining)
    assert torch.autograd.gradcheck(function, (embeddings(3).requires_grad_(True),), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in LossName if not name.needs_teacher])
def test_photographs_without_names_change_nothing(name: LossName) -> None:
    built = objective(LossConfig(name=name)).double()
    alone = built(embeddings(), torch.tensor(LABELS), None)[0]
    strangers = torch.full((3, 5), 0.7, dtype=torch.float64)
    joined = built(torch.cat([embeddings(), strangers]), torch.tensor([*LABELS, -1, -1, -1]), None)[
        0
    ]
    torch.testing.assert_close(joined, alone)


@pytest.mark.parametrize("name", [name for name in LossName if not name.needs_teacher])
def test_a_batch_without_names_gives_a_zero_with_a_gradient(name: LossName) -> None:
    built = objective(LossConfig(name=name)).double()
    vectors = embeddings().requires_grad_(True)
    loss = built(vectors, torch.full((len(LABELS),), -1), None)[0]
    loss.backward()
    assert number(loss) == 0
    assert vectors.grad is not None


def test_the_objective_is_the_weighted_sum() -> None:
    terms = [
        LossConfig(name=LossName.TRIPLET, weight=0.5),
        LossConfig(name=LossName.DISTILL, weight=2.0),
    ]
    built = objective(*terms).double()
    total, parts = built(embeddings(), torch.tensor(LABELS), embeddings(5))
    assert float(total) == pytest.approx(
        0.5 * float(parts["triplet"]) + 2 * float(parts["distill"])
    )
    assert not parts["triplet"].requires_grad
