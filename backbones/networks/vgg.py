"""VGG-11 to VGG-19: torchvision's plain chains of 3×3 convolutions, without the classifier.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.
The classifier is nine tenths of the published weights.
"""

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from ..network import Backbone
from ..spec import BackboneSpec
from .sequential import SequentialBackbone

# torchvision's plans: channels of a convolution, or `M` for max pooling.
_PLANS: dict[str, list[str | int]] = {
    "vgg11": cfgs["A"],
    "vgg13": cfgs["B"],
    "vgg16": cfgs["D"],
    "vgg19": cfgs["E"],
    "vgg_slim": [16, 16, "M", 32, 32, "M", 64, 64, 64, 64, "M", 128, 128, 128, 128, "M", 128],
}


def build(spec: BackboneSpec) -> Backbone:
    """A VGG with max pooling, as trained; or the small one that `train-style-net` teaches.

    Each tap is a rectifier. A pooling layer belongs to the tap behind it, and the last to none.
    """
    plan = _PLANS[spec.name.removesuffix("_bn")]
    layers = make_layers(plan, batch_norm=spec.name.endswith("_bn"))
    ends = [i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    network = SequentialBackbone(spec, layers, ends)
    network.initialise_convolutions()
    return network
