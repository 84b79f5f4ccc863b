"""Whether a calibration that comes from a file can be one: a stranger may have written it."""

import math
from contextlib import suppress
from datetime import datetime

from ..results import Calibration

_MOST = 2**40  # people, photographs or comparisons


def is_sound(found: Calibration) -> bool:
    """Whether a calibration's values are of their types, finite, and within their ranges."""
    ratio = (found.rise, found.fall, found.offset)
    error = found.calibration_error
    return (
        all(isinstance(text, str) for text in (found.weights_digest, found.data))
        and _is_moment(found.calibrated_at)
        and all(map(_is_number, (found.threshold, found.threshold_low, found.threshold_high)))
        and -1 <= found.threshold <= 2  # a fitted tail may end beyond 1, and accept nobody
        and all(_is_share(rate) for rate in (found.rate_low, found.rate_high))
        and all(_is_share(rate) and 0 < rate < 1 for rate in (found.rate, found.prior))
        and all(
            type(count) is int and 1 <= count < _MOST
            for count in (found.comparisons, found.people, found.templates)
        )
        and (all(value is None for value in ratio) or all(map(_is_number, ratio)))
        and (error is None or _is_share(error))
    )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def _is_moment(text: object) -> bool:
    with suppress(ValueError):
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    return False
