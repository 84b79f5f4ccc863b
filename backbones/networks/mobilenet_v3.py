"""MobileNet v3: torchvision's, without the classifier.

A. Howard et al.: Searching for MobileNetV3, 2019.
"""

from torchvision.models import get_model

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone

# The last block of each size and width in the paper's tables 1 and 2.
_ENDS = {
    "mobilenet_v3_small": (0, 1, 3, 8, 11, 12),
    "mobilenet_v3_large": (0, 1, 3, 6, 12, 15, 16),
}


def build(spec: BackboneSpec) -> Backbone:
    """MobileNet v3, small or large."""
    layers = get_model(spec.name, weights=None).features
    return SequentialBackbone(spec, layers, _ENDS[spec.name])
