"""MobileNet v2: torchvision's, without the classifier.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen: MobileNetV2: Inverted Residuals and Linear
Bottlenecks, 2018.
"""

from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone

_ENDS = (0, 1, 3, 6, 13, 17, 18)
"""The last block of each row of the paper's table 2 that has a tap."""


def build(spec: BackboneSpec) -> Backbone:
    """MobileNet v2, as wide as its spec says."""
    layers = models.mobilenet_v2(weights=None, width_mult=spec.width).features
    return SequentialBackbone(spec, layers, _ENDS)
