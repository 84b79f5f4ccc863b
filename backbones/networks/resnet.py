"""ResNet-18 to ResNet-152, ResNeXt-50 and Wide ResNet-50: torchvision's residual networks.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, 2016; with
torchvision's stride in the 3×3 convolution of a bottleneck.
"""

from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


class ResNet(Backbone):
    """torchvision's layers, without the classifier."""

    surplus = ("fc.*",)

    def __init__(self, spec: BackboneSpec, network: models.ResNet) -> None:
        """Take a network apart.

        Args:
            spec: Of this very network.
            network: As torchvision builds it.
        """
        super().__init__(spec)
        for name, layer in network.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, layer)
        self.head = pooled_head(spec)
        self.chain(
            {
                "conv1": [network.conv1, network.bn1, network.relu],
                "layer1": [network.maxpool, network.layer1],
                "layer2": [network.layer2],
                "layer3": [network.layer3],
                "layer4": [network.layer4],
            },
            head=[self.head],
        )


def build(spec: BackboneSpec) -> Backbone:
    """A residual network."""
    return ResNet(spec, models.get_model(spec.name, weights=None))
