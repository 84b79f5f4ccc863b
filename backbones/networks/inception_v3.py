"""Inception v3: torchvision's, without the classifier and the auxiliary one.

C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna: Rethinking the Inception Architecture for
Computer Vision, 2016. The first convolutions and those that halve the image do not pad, so feature
maps are a few cells smaller than the image divided by the stride.
"""

from torchvision import models

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


class InceptionV3(Backbone):
    """torchvision's layers by their names."""

    surplus = ("fc.*", "AuxLogits.*")
    own_rectifiers = True

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        net = models.Inception3(aux_logits=False, init_weights=False)
        for name, layer in net.named_children():
            if name not in ("avgpool", "dropout", "fc"):
                self.add_module(name, layer)
        self.head = pooled_head(spec)
        self.chain(
            {
                "conv2b": [net.Conv2d_1a_3x3, net.Conv2d_2a_3x3, net.Conv2d_2b_3x3],
                "conv4a": [net.maxpool1, net.Conv2d_3b_1x1, net.Conv2d_4a_3x3],
                "mixed5d": [net.maxpool2, net.Mixed_5b, net.Mixed_5c, net.Mixed_5d],
                "mixed6e": [net.Mixed_6a, net.Mixed_6b, net.Mixed_6c, net.Mixed_6d, net.Mixed_6e],
                "mixed7c": [net.Mixed_7a, net.Mixed_7b, net.Mixed_7c],
            },
            head=[self.head],
        )
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """Inception v3."""
    return InceptionV3(spec)
