"""Whom the page serves: the owner of this machine, or people whom a proxy has signed in."""

import os

BEHIND = "LIKENESS_BEHIND"
"""The variable that holds the proxy's address, where the page stands behind one."""


def serves_others() -> bool:
    """Whether anybody but the owner is served.

    Then verdicts and rates are shown instead of exact similarities: by those, a photograph could be
    altered little by little until it passes for somebody else.
    """
    return bool(os.environ.get(BEHIND))
