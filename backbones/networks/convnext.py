"""ConvNeXt-T: torchvision's, without the classifier and the layer norm that belongs to it.

Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie: A ConvNet for the 2020s, 2022.
"""

from torchvision.models import get_model

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone


def build(spec: BackboneSpec) -> Backbone:
    """ConvNeXt; the layer that halves the image belongs to the stage behind it."""
    layers = get_model(spec.name, weights=None).features
    return SequentialBackbone(spec, layers, (0, 1, 3, 5, 7))
