"""What the tests of both front doors have in common."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def decoded_here_again() -> Iterator[None]:
    """The page has its pictures decoded by other processes, and tests of other rooms do not."""
    yield
    resources = sys.modules.get("ui.resources")
    if resources is not None:
        resources.decode_apart().close()
        resources.decode_apart.clear()
