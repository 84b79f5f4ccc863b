"""AlexNet: torchvision's one-tower form, and the network as published.

A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural
Networks, 2012. There, two GPUs held half of the filters each: the second, fourth and fifth
convolutions see only the half that lies on their own GPU, which here are two groups.
"""

from torch import nn
from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone


def local_response_norm() -> nn.LocalResponseNorm:
    """B = a / (k + α Σ a²)^β over n = 5 neighbouring channels, with the paper's k, α and β.

    torch divides α by n, which the paper does not.
    """
    neighbours = 5
    return nn.LocalResponseNorm(neighbours, alpha=1e-4 * neighbours, beta=0.75, k=2.0)


def _published() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(inplace=True),
        local_response_norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        local_response_norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
    )


def build(spec: BackboneSpec) -> Backbone:
    """AlexNet up to its fifth rectified convolution."""
    layers = models.alexnet(weights=None).features if spec.name == "alexnet" else _published()
    ends = [i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    network = SequentialBackbone(spec, layers, ends)
    network.initialise_convolutions()
    return network
