"""Where the error is, bias or variance, and what to try: train error against dev error."""

from .validation import Verification

_SMALL = 0.02


def error_of(result: Verification) -> float:
    """1 − TAR at FAR 1 %, or 1 − AUC where the pairs are too few for that."""
    return 1 - (result.auc if result.tar is None else result.tar)


def verdict(training: Verification, validation: Verification) -> str:
    """Say which of the two errors to act on.

    Args:
        training: Measured on people in training, without augmentation.
        validation: On people kept out.

    Returns:
        One line.
    """
    tar = training.tar is not None and validation.tar is not None
    measure = "1 − TAR at FAR 1 %" if tar else "1 − AUC"
    if tar:
        bias, dev = error_of(training), error_of(validation)
    else:
        bias, dev = 1 - training.auc, 1 - validation.auc
    variance = dev - bias
    numbers = f"{measure}: {bias:.1%} on people in training, {dev:.1%} on people kept out"
    if max(bias, dev) <= _SMALL:
        return f"{numbers}. Both are small: look for harder photographs to measure with."
    if bias >= variance:
        return (
            f"{numbers}. Bias is the larger part: train longer, with a larger network or a "
            "better teacher, or with less augmentation."
        )
    return (
        f"{numbers}. Variance is the larger part: bring more people, stronger augmentation or "
        "weight decay, or photographs without names and a teacher."
    )
