"""Inception-ResNet-v1 as a face network: FaceNet's, in facenet-pytorch's translation.

F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: A Unified Embedding for Face Recognition and
Clustering, 2015; C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi: Inception-v4, Inception-ResNet and
the Impact of Residual Connections on Learning, 2017. Its convolutions do not pad, so feature maps
are a few cells smaller than the image divided by the stride.
"""

from facenet_pytorch import InceptionResnetV1
from torch import nn

from ..network import Backbone
from ..spec import BackboneSpec


class InceptionResNet(Backbone):
    """facenet-pytorch's layers, without the classifier and without the last normalisation."""

    surplus = ("logits.*",)

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        net = InceptionResnetV1(pretrained=None)  # anything else would download
        if spec.dimension != net.last_linear.out_features:
            net.last_linear = nn.Linear(net.last_linear.in_features, spec.dimension, bias=False)
            net.last_bn = nn.BatchNorm1d(spec.dimension, eps=net.last_bn.eps)
        for name, layer in net.named_children():
            self.add_module(name, layer)
        self.chain(
            {
                "conv2d_2b": [net.conv2d_1a, net.conv2d_2a, net.conv2d_2b],
                "conv2d_4a": [net.maxpool_3a, net.conv2d_3b, net.conv2d_4a],
                "repeat_1": [net.conv2d_4b, net.repeat_1],
                "repeat_2": [net.mixed_6a, net.repeat_2],
                "block8": [net.mixed_7a, net.repeat_3, net.block8],
            },
            head=[net.avgpool_1a, net.dropout, nn.Flatten(), net.last_linear, net.last_bn],
        )


def build(spec: BackboneSpec) -> Backbone:
    """Inception-ResNet-v1."""
    return InceptionResNet(spec)
