"""ZFNet: AlexNet with smaller filters and strides, found by looking at what it sees."""

from ..spec import Tap
from .imagenet import OWN, classifier

SPECS = (
    classifier(
        "zfnet",
        "ZFNet: AlexNet with a first layer of 7×7 filters at stride 2",
        (
            Tap("relu1", 96, 2, least=7),
            Tap("relu2", 256, 8, least=31),
            Tap("relu3", 384, 16, least=47),
            Tap("relu4", 384, 16, least=47),
            Tap("relu5", 256, 16, least=47),
        ),
        content="relu4",
        style=("relu1", "relu2", "relu3", "relu4", "relu5"),
        paper=("M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014"),
        parameters=3_726_464,
        licence=OWN,
    ),
)
