"""ShuffleNet v2: torchvision's, without the classifier.

N. Ma, X. Zhang, H.-T. Zheng, J. Sun: ShuffleNet V2: Practical Guidelines for Efficient CNN
Architecture Design, 2018.
"""

from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


class ShuffleNetV2(Backbone):
    """torchvision's layers by their names."""

    surplus = ("fc.*",)

    def __init__(self, spec: BackboneSpec, network: models.ShuffleNetV2) -> None:
        """Take a network apart.

        Args:
            spec: Of this very network.
            network: As torchvision builds it.
        """
        super().__init__(spec)
        for name, layer in network.named_children():
            if name != "fc":
                self.add_module(name, layer)
        self.head = pooled_head(spec)
        self.chain(
            {
                "conv1": [network.conv1],
                "stage2": [network.maxpool, network.stage2],
                "stage3": [network.stage3],
                "stage4": [network.stage4],
                "conv5": [network.conv5],
            },
            head=[self.head],
        )


def build(spec: BackboneSpec) -> Backbone:
    """ShuffleNet v2 of a width."""
    return ShuffleNetV2(spec, models.get_model(spec.name, weights=None))
