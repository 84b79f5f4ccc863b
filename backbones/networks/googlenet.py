"""GoogLeNet: torchvision's Inception modules, without the classifier.

C. Szegedy et al.: Going Deeper with Convolutions, 2015, as torchvision has it: with batch
norm, and 3×3 filters in the place of 5×5 ones.
"""

from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


class GoogLeNet(Backbone):
    """torchvision's layers by their names."""

    surplus = ("fc.*", "aux1.*", "aux2.*")
    own_rectifiers = True

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        # torchvision's own initialisation takes half a minute; that of the layers serves as well.
        net = models.GoogLeNet(aux_logits=False, init_weights=False)
        for name, layer in net.named_children():
            if name not in ("avgpool", "dropout", "fc"):
                self.add_module(name, layer)
        self.head = pooled_head(spec)
        self.chain(
            {
                "conv1": [net.conv1],
                "conv3": [net.maxpool1, net.conv2, net.conv3],
                "inception3b": [net.maxpool2, net.inception3a, net.inception3b],
                "inception4a": [net.maxpool3, net.inception4a],
                "inception4d": [net.inception4b, net.inception4c, net.inception4d],
                "inception4e": [net.inception4e],
                "inception5b": [net.maxpool4, net.inception5a, net.inception5b],
            },
            head=[self.head],
        )
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """GoogLeNet."""
    return GoogLeNet(spec)
