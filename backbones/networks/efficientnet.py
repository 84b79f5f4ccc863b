"""EfficientNet-B0: torchvision's, without the classifier.

M. Tan, Q. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019.
"""

from torchvision.models import get_model

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone


def build(spec: BackboneSpec) -> Backbone:
    """EfficientNet; stages 4 and 6 have no tap of their own."""
    layers = get_model(spec.name, weights=None).features
    return SequentialBackbone(spec, layers, (0, 1, 2, 3, 5, 7, 8))
