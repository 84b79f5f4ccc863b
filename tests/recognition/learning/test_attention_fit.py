"""Attention over a person's photographs: what the fit finds, and where it keeps to the mean."""

import numpy as np
import numpy.typing as npt
import pytest

from data.errors import DatasetError
from recognition.learning import attention_fit
from recognition.learning.attention_fit import fit_attention
from recognition.template_attention import TemplateAttention


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_fit, "_STEPS", 60)
    monkeypatch.setattr(attention_fit, "_TRIALS", 5)
    monkeypatch.setattr(attention_fit, "_PARTS", 2)
    monkeypatch.setattr(attention_fit, "_RATE", 0.2)


def crowd(
    people: int, each: int, seed: int, *, damage: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """People with photographs of whom some are damaged, which the last number alone tells."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), each)
    centres = rng.normal(size=(people, 16))[owners]
    bad = rng.random(len(owners)) < 0.4
    spread = np.where(bad, damage, 0.4)[:, None]
    faces = centres + spread * rng.normal(size=centres.shape)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    marked = np.c_[faces, 0.5 * bad]
    return (marked / np.linalg.norm(marked, axis=1, keepdims=True)).astype(np.float32), owners


def separation(attention: TemplateAttention, seed: int) -> float:
    """How far a probe is more like its own person than like the others, for people never seen."""
    vectors, owners = crowd(60, 6, seed, damage=3.0)
    groups = [vectors[owners == one] for one in range(60)]
    pooled = np.stack([attention.weights(own[1:]) @ own[1:] for own in groups])
    similarities = np.stack([own[0] for own in groups]) @ pooled.T
    own = np.diag(similarities)
    others = similarities[~np.eye(60, dtype=bool)]
    return float((own.mean() - others.mean()) / others.std())


def test_it_learns_to_pass_over_damaged_photographs_and_serves_others_better() -> None:
    fit = fit_attention(*crowd(80, 6, 1, damage=3.0))
    assert not fit.is_mean
    assert fit.loss < 0.95 * fit.loss_of_mean
    good = np.zeros((1, 17), np.float32)
    bad = np.eye(17, dtype=np.float32)[[16]]
    assert fit.attention.weights(np.concatenate([good, bad]))[0] > 0.7
    mean = TemplateAttention(np.zeros(17, np.float32))
    assert separation(fit.attention, 2) > separation(mean, 2)
    assert (fit.people, fit.photographs) == (80, 480)


def test_where_all_photographs_are_alike_it_stays_close_to_the_mean() -> None:
    fit = fit_attention(*crowd(80, 4, 1, damage=0.4))
    vectors, owners = crowd(20, 4, 3, damage=0.4)
    for one in range(20):
        assert fit.attention.weights(vectors[owners == one]).max() < 0.5


def test_it_is_the_same_again() -> None:
    people = crowd(40, 3, 1, damage=3.0)
    first, second = fit_attention(*people), fit_attention(*people)
    np.testing.assert_array_equal(first.attention.query, second.attention.query)


def test_too_few_people_are_refused() -> None:
    vectors, owners = crowd(60, 2, 1, damage=1.0)
    with pytest.raises(DatasetError, match="0 people have three"):
        fit_attention(vectors, owners)
