"""DenseNet: torchvision's, without the classifier.

G. Huang, Z. Liu, L. van der Maaten, K. Weinberger: Densely Connected Convolutional Networks, 2017.
"""

import re
from typing import ClassVar

from torch import nn
from torchvision.models import get_model

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone

_OLD = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.(\d)\.(.*)")
"""`norm.1` in the published weights, which are older than the names of today."""


class DenseNet(SequentialBackbone):
    """The chain; its published weights have two spellings of their names."""

    renamed: ClassVar = {"features.": "convolutions."}

    def own_key(self, published: str) -> str | None:
        """What `state_dict` calls a tensor of a weights file."""
        if old := _OLD.fullmatch(published):
            published = f"{old[1]}{old[2]}.{old[3]}"
        return super().own_key(published)


def build(spec: BackboneSpec) -> Backbone:
    """DenseNet; the last tap is normalised and rectified, as its classifier sees it."""
    layers = get_model(spec.name, weights=None).features
    layers.add_module("relu5", nn.ReLU(inplace=True))
    names = [name for name, _ in layers.named_children()]
    ends = ["relu0", "denseblock1", "denseblock2", "denseblock3", "relu5"]
    return DenseNet(spec, layers, [names.index(end) for end in ends])
