import pytest

from recognition.learning.validation import Verification
from recognition.learning.verdict import verdict


def measured(auc: float | None, tar: float | None) -> Verification:
    return Verification(auc=auc, tar=tar, threshold=None, genuine=10, impostor=1000)


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
    said = verdict(measured(*training), measured(*validation))
    assert words in said
    assert "\n" not in said
