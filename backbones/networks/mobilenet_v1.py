"""MobileNet v1: a chain of depthwise separable convolutions.

A. Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications, 2017. The paper's width multiplier α scales every layer's channels; its resolution
multiplier ρ scales the image, and every size is taken.
"""

from torch import nn

from ..blocks.convolutions import separable
from ..network import Backbone
from ..shelf.mobilenet_v1 import channels_of
from ..spec import BackboneSpec
from .sequential import SequentialBackbone

# Table 1 of the paper: channels of each separable convolution at α = 1, and its stride.
_ROWS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
_STEM = 32
_ENDS = (0, 1, 3, 5, 11, 13)


def build(spec: BackboneSpec) -> Backbone:
    """MobileNet v1, as wide as its name and its spec say."""
    inputs = channels_of(spec.name, spec.width, _STEM)
    layers = [nn.Sequential(nn.Conv2d(3, inputs, 3, 2, 1, bias=False), *_rectified(inputs))]
    for channels, stride in _ROWS:
        outputs = channels_of(spec.name, spec.width, channels)
        convolution = separable(
            inputs, outputs, stride=stride, between=lambda own: nn.Sequential(*_rectified(own))
        )
        layers.append(nn.Sequential(convolution, *_rectified(outputs)))
        inputs = outputs
    network = SequentialBackbone(spec, nn.Sequential(*layers), _ENDS)
    network.initialise_convolutions()
    return network


def _rectified(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
