"""Networks with random weights, built once for all tests here."""

import functools
from collections.abc import Callable

import pytest

from backbones.network import Backbone
from backbones.registry import create


@pytest.fixture(scope="session")
def random_network() -> Callable[[str], Backbone]:
    """A network by name, with seeded random weights; not to be changed."""
    return functools.cache(lambda name: create(name, seed=0).requires_grad_(False))
