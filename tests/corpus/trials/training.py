"""What trials that train need: a network so small that a whole run takes a moment."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

_CONFTEST = Path(__file__).parents[2] / "recognition" / "learning" / "conftest.py"


@cache
def _register() -> None:
    spec = importlib.util.spec_from_file_location("tiny_network", _CONFTEST)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@contextmanager
def tiny_network() -> Iterator[None]:
    """Let recipes name the backbone `tiny`; plots, which take longer than the run, are empty."""
    _register()
    with patch("recognition.learning.plots.png", lambda figure: b""):
        yield
