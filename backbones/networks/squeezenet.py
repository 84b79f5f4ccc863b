"""SqueezeNet: torchvision's convolutions, without the classifier.

F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally, K. Keutzer: SqueezeNet: AlexNet-level
accuracy with 50x fewer parameters and <0.5MB model size, 2016.
"""

from torch import nn
from torchvision.models import get_model

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone


def build(spec: BackboneSpec) -> Backbone:
    """SqueezeNet 1.0, or 1.1, which pools earlier."""
    layers = get_model(spec.name, weights=None).features
    first, *fires = [i for i, it in enumerate(layers) if not isinstance(it, nn.MaxPool2d)][1:]
    return SequentialBackbone(spec, layers, [first, *fires])
