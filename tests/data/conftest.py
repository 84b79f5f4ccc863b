"""The corpus of bad pictures, handed to the tests of this room."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).parents[1] / "corpus.py"
    spec = importlib.util.spec_from_file_location("corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CORPUS = _load()


@pytest.fixture(scope="session")
def corpus() -> ModuleType:
    """The script that makes the pictures."""
    return _CORPUS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever asks for an `item` once for each file of the corpus."""
    if "item" in metafunc.fixturenames:
        items = list(_CORPUS.corpus())
        metafunc.parametrize("item", items, ids=[item.name for item in items])
