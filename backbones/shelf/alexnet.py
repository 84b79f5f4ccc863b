"""AlexNet: as torchvision has it, on one GPU; and as published, split over two."""

from ..spec import Tap
from .imagenet import OWN, classifier, imagenet_weights

_STYLE = ("relu1", "relu2", "relu3", "relu4", "relu5")

SPECS = (
    classifier(
        "alexnet",
        "AlexNet in its one-tower form: fast, with few layers",
        (
            Tap("relu1", 64, 4, least=11),
            Tap("relu2", 192, 8, least=23),
            Tap("relu3", 384, 16, least=47),
            Tap("relu4", 256, 16, least=47),
            Tap("relu5", 256, 16, least=47),
        ),
        content="relu4",
        style=_STYLE,
        paper=(
            "A. Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014"
        ),
        parameters=2_469_696,
        weights=imagenet_weights(
            "alexnet-owt-7be5be79.pth",
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            size=244_408_911,
        ),
    ),
    classifier(
        "alexnet_2012",
        "AlexNet as published: local response normalisation, and two groups of filters",
        (
            Tap("relu1", 96, 4, least=15),
            Tap("relu2", 256, 8, least=27),
            Tap("relu3", 384, 16, least=51),
            Tap("relu4", 384, 16, least=51),
            Tap("relu5", 256, 16, least=51),
        ),
        content="relu4",
        style=_STYLE,
        paper=(
            "A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep "
            "Convolutional Neural Networks, 2012"
        ),
        parameters=2_334_080,
        side=227,
        licence=OWN,
    ),
)
