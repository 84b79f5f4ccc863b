"""Where the error is, bias or variance, and what to try: train error against dev error."""

import math

from .validation import Verification

_SMALL = 0.02
_FEWEST = 10
"""People of whom two photographs are compared: with fewer, an error is one person's story."""


def verdict(training: Verification, validation: Verification, *, people: tuple[int, int]) -> str:
    """Say which of the two errors to act on, where the people are enough to tell.

    Args:
        training: Measured on people in training, without augmentation.
        validation: On people kept out.
        people: How many people with two photographs or more each was measured on. Errors come by
            person, so the spread of both shares is taken from these, not from the pairs.

    Returns:
        One line.
    """
    measure, bias, dev = _errors(training, validation)
    if bias is None or dev is None:
        return "Where the error is cannot be told: nobody has two photographs to compare."
    numbers = f"{measure}: {bias:.1%} on people in training, {dev:.1%} on people kept out"
    if min(people) < _FEWEST or _is_within_chance(bias, dev, people):
        return (
            f"{numbers}. With {people[0]} and {people[1]} people of two photographs or more it "
            "cannot be told whether bias or variance is larger: keep more people out, or bring "
            "more photographs."
        )
    if max(bias, dev) <= _SMALL:
        return f"{numbers}. Both are small: measure with harder photographs."
    if bias >= dev - bias:
        return (
            f"{numbers}. Bias is the larger part: train longer, with a larger network or a "
            "better teacher, or with less augmentation."
        )
    return (
        f"{numbers}. Variance is the larger part: bring more people, stronger augmentation or "
        "weight decay, or photographs without names and a teacher."
    )


def _is_within_chance(bias: float, dev: float, people: tuple[int, int]) -> bool:
    """Whether bias and variance, dev less bias, differ by less than two standard errors."""
    spread = 4 * bias * (1 - bias) / people[0] + dev * (1 - dev) / people[1]
    return max(bias, dev) > _SMALL and abs(2 * bias - dev) < 2 * math.sqrt(spread)


def _errors(
    training: Verification, validation: Verification
) -> tuple[str, float | None, float | None]:
    """Both errors by the same measure: 1 − TAR at FAR 1 % where both sides support it."""
    if training.tar is not None and validation.tar is not None:
        return "1 − TAR at FAR 1 %", 1 - training.tar, 1 - validation.tar
    both = (training.auc, validation.auc)
    bias, dev = (None if value is None else 1 - value for value in both)
    return "1 − AUC", bias, dev
