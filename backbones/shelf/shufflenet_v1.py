"""ShuffleNet v1: grouped 1×1 convolutions, with channels shuffled between them."""

from ..spec import BackboneSpec, Tap
from .imagenet import OWN, classifier


def _shufflenet(groups: int, channels: int, parameters: int) -> BackboneSpec:
    return classifier(
        f"shufflenet_v1_g{groups}",
        "ShuffleNet v1 whose 1×1 convolutions are dense: what its others are compared with"
        if groups == 1
        else f"ShuffleNet v1: 1×1 convolutions in {groups} groups, and a channel shuffle",
        (
            Tap("conv1", 24, 2),
            Tap("stage2", channels, 8),
            Tap("stage3", 2 * channels, 16),
            Tap("stage4", 4 * channels, 32),
        ),
        content="stage3",
        style=("conv1", "stage2", "stage3"),
        paper=(
            "X. Zhang, X. Zhou, M. Lin, J. Sun: ShuffleNet: An Extremely Efficient Convolutional "
            "Neural Network for Mobile Devices, 2018"
        ),
        parameters=parameters,
        licence=OWN,
    )


# Table 1 of the paper: more groups leave room for more channels at the same cost.
SPECS = (
    _shufflenet(1, 144, 954_936),
    _shufflenet(2, 200, 932_848),
    _shufflenet(3, 240, 904_728),
    _shufflenet(4, 272, 879_344),
    _shufflenet(8, 384, 897_768),
)
