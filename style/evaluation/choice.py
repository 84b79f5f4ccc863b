"""Which network judges, where nobody names one: one at hand that did not paint."""

from collections.abc import Collection
from pathlib import Path

from backbones.places import find_weights
from backbones.registry import available
from data.errors import WeightsError

JUDGES = ("squeezenet1_0", "vgg19", "vgg16", "iresnet_se", "vgg19_quarter", "vgg_slim")
"""Networks that judge, the first one at hand before the others: unlike those that paint.

What is bundled besides the painter is iresnet_se, a recogniser of faces. It orders paintings much
as SqueezeNet does (`benchmarks/style_judges.py`), and shares neither shape nor teacher with the
painter, as the networks after it do.
"""


def choose_judge(painters: Collection[str], home: Path | None = None) -> str:
    """The network that judges pictures of these painters.

    Args:
        painters: Names of the networks that the pictures were painted with.
        home: The application's data folder; None takes the user's.

    Raises:
        WeightsError: No network is at hand but those that painted.
    """
    known = available()
    for name in JUDGES:
        if name in known and name not in painters and find_weights(name, home=home):
            return name
    raise WeightsError(
        "no network that could judge is at hand, for what painted must not judge itself: "
        "run `likeness models download squeezenet1_0` (5 MB), or name one with --judge"
    )
