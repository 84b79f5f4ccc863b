"""Results are plain values that need no torch."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from recognition import results
from recognition.results import Face

FACE = Face((10.0, 20.0, 30.0, 60.0), 0.99, ((1, 1), (2, 1), (1.5, 2), (1, 3), (2, 3)))


def test_area_and_centre() -> None:
    assert FACE.area == 800
    assert FACE.centre == (20, 40)


def test_every_result_is_frozen_and_slotted() -> None:
    classes: list[Any] = [each for each in vars(results).values() if dataclasses.is_dataclass(each)]
    assert len(classes) >= 9
    for each in classes:
        assert each.__dataclass_params__.frozen, each
        assert hasattr(each, "__slots__"), each
    with pytest.raises(dataclasses.FrozenInstanceError):
        FACE.detection_score = 1.0  # type: ignore[misc]


def test_importing_results_imports_no_torch() -> None:
    code = "import sys, recognition.results; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
