"""Where the error is, bias or variance, and what to try: train error against dev error."""

from .validation import Verification

_SMALL = 0.02


def verdict(training: Verification, validation: Verification) -> str:
    """Say which of the two errors to act on.

    Args:
        training: Measured on people in training, without augmentation.
        validation: On people kept out.

    Returns:
        One line.
    """
    measure, bias, dev = _errors(training, validation)
    if bias is None or dev is None:
        return "Where the error is cannot be told: nobody has two photographs to compare."
    numbers = f"{measure}: {bias:.1%} on people in training, {dev:.1%} on people kept out"
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


def _errors(
    training: Verification, validation: Verification
) -> tuple[str, float | None, float | None]:
    """Both errors by the same measure: 1 − TAR at FAR 1 % where both sides support it."""
    if training.tar is not None and validation.tar is not None:
        return "1 − TAR at FAR 1 %", 1 - training.tar, 1 - validation.tar
    both = (training.auc, validation.auc)
    bias, dev = (None if value is None else 1 - value for value in both)
    return "1 − AUC", bias, dev
