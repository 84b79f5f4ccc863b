"""LeNet-5: the first of them, for grey images of 32 pixels."""

from dataclasses import replace

from ..spec import HALF, Tap
from .imagenet import OWN, classifier

_ORIGINAL = classifier(
    "lenet5",
    "LeNet-5 as published: tanh, trained averages, a table of connections; 60,000 weights",
    (
        Tap("c1", 6, 1, least=6),
        Tap("s2", 6, 2, least=8),
        Tap("c3", 16, 2, least=16),
        Tap("s4", 16, 4, least=20),
        Tap("c5", 120, 4, least=36),
    ),
    content="c3",
    style=("c1", "c3"),
    paper=(
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document "
        "Recognition, 1998"
    ),
    parameters=60_000,
    normalisation=HALF,
    side=32,
    embedding_size=84,
    licence=OWN,
)

SPECS = (
    _ORIGINAL,
    replace(
        _ORIGINAL,
        name="lenet5_modern",
        summary="LeNet-5 with rectifiers and max pooling, all maps connected",
        parameters=60_856,
    ),
)
