import pytest

from recognition.learning.reports import verdict
from recognition.learning.validation import ValidationFigures


def measured(auc: float | None, tar: float | None) -> ValidationFigures:
    return ValidationFigures(auc=auc, tar=tar, threshold=None, genuine=10, impostor=1000)


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [
        ((0.9, 0.6), (0.9, 0.5), "TAR at FAR 1 %: 40.0% on people in training, 50.0%"),
        ((0.9, 0.6), (0.9, 0.5), "Bias is the larger part"),
        ((0.9, 0.98), (0.9, 0.6), "Variance is the larger part"),
        ((0.9, 0.99), (0.9, 0.985), "Both are small"),
        ((0.9, None), (0.7, None), "1 − AUC: 10.0% on people in training, 30.0%"),
        ((0.9, 0.9), (0.7, None), "Variance is the larger part"),
        ((0.9, None), (None, None), "cannot be told"),
    ],
)
def test_the_larger_error_is_named(
    training: tuple[float | None, float | None],
    validation: tuple[float | None, float | None],
    words: str,
) -> None:
    said = verdict(measured(*training), measured(*validation), people=(5000, 5000))
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("people", [(3, 3), (5000, 3), (9, 400), (40, 40)])
def test_too_few_people_tell_nothing_of_a_small_difference(people: tuple[int, int]) -> None:
    said = verdict(measured(0.9, 0.85), measured(0.9, 0.75), people=people)
    assert "15.0% on people in training, 25.0% on people kept out" in said
    assert f"With {people[0]} and {people[1]} people" in said
    assert "is the larger part" not in said


def test_enough_people_or_a_large_difference_do() -> None:
    small = verdict(measured(0.9, 0.85), measured(0.9, 0.75), people=(4000, 4000))
    assert "Bias is the larger part" in small
    large = verdict(measured(0.9, 0.99), measured(0.9, 0.4), people=(40, 40))
    assert "Variance is the larger part" in large
