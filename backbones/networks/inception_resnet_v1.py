"""Inception-ResNet-v1 as a face network: FaceNet's, in facenet-pytorch's translation.

F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: A Unified Embedding for Face Recognition and
Clustering, 2015; C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi: Inception-v4, Inception-ResNet and
the Impact of Residual Connections on Learning, 2017. Its convolutions do not pad, so feature maps
are a few cells smaller than the image divided by the stride.
"""

from facenet_pytorch import InceptionResnetV1
from torch import nn

from ..network import Backbone
from ..registry import register
from ..spec import (
    SIGNED,
    Alignment,
    BackboneSpec,
    Tap,
    WeightsSource,
    falling_weights,
)

SPEC = BackboneSpec(
    name="inception_resnet_v1",
    summary="FaceNet's Inception-ResNet-v1: a face recogniser, 512 numbers a face",
    taps=(
        Tap("conv2d_2b", 64, 2, least=9),
        Tap("conv2d_4a", 192, 4, least=23),
        Tap("repeat_1", 256, 8, least=35),
        Tap("repeat_2", 896, 16, least=59),
        Tap("block8", 1792, 32, least=107),
    ),
    content_taps=("repeat_1",),
    style_taps=("conv2d_2b", "conv2d_4a", "repeat_1", "repeat_2"),
    style_tap_weights=falling_weights(4),
    input_size=(160, 160),
    alignment=Alignment.BOX,
    normalisation=SIGNED,
    embedding_size=512,
    weights=(
        WeightsSource(
            name="vggface2",
            url=(
                "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
                "20180402-114759-vggface2.pt"
            ),
            # Not stated by the publisher; several independent projects that pin the file agree.
            sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            size=111_898_327,
            trained_on="VGGFace2",
            licence="MIT (facenet-pytorch); VGGFace2's own terms apply to its use",
        ),
    ),
    licence="MIT (facenet-pytorch)",
)


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


@register(SPEC)
def inception_resnet_v1(spec: BackboneSpec) -> Backbone:
    """Inception-ResNet-v1."""
    return InceptionResNet(spec)
