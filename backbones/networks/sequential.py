"""Networks that are one chain of layers: taps lie behind some of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import nn

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


class SequentialBackbone(Backbone):
    """torchvision's `features`, without the classifier, and an average over the image."""

    surplus = ("classifier.*",)
    renamed: ClassVar = {"features.": "convolutions."}  # the name of a method here

    def __init__(self, spec: BackboneSpec, layers: nn.Sequential, ends: Sequence[int]) -> None:
        """Cut a chain at its taps.

        Args:
            spec: Of this very network.
            layers: All that comes before the classifier.
            ends: For each tap, the number of the layer that gives its feature map; what follows
                the last one is left out.
        """
        super().__init__(spec)
        self.convolutions = layers[: ends[-1] + 1]
        self.head = pooled_head(spec)
        cuts = pairwise([0, *(end + 1 for end in ends)])
        stages = [list(self.convolutions[start:end]) for start, end in cuts]
        names = [tap.name for tap in spec.taps]
        self.chain(dict(zip(names, stages, strict=True)), head=[self.head])
