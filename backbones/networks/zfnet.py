"""ZFNet: AlexNet with a 7×7 first layer at stride 2, a second one at stride 2, and no groups.

M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014, figure 3. Its
sizes (110, 55, 26, 13) need a pixel of padding in the first layer and pooling that rounds up.
"""

from torch import nn

from ..network import Backbone
from ..spec import BackboneSpec
from .alexnet import local_response_norm
from .sequential import SequentialBackbone


def _layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        local_response_norm(),
        nn.Conv2d(96, 256, 5, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        local_response_norm(),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
    )


def build(spec: BackboneSpec) -> Backbone:
    """ZFNet up to its fifth rectified convolution."""
    layers = _layers()
    ends = [i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    network = SequentialBackbone(spec, layers, ends)
    network.initialise_convolutions()
    return network
