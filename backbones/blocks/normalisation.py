"""Normalising layers inside a network: over which numbers mean and deviation are taken.

| norm | statistics over | of |
|---|---|---|
| batch | B·H·W | each channel (Ioffe, Szegedy 2015) |
| layer | C·H·W | each image (Ba et al. 2016) |
| instance | H·W | each image and channel (Ulyanov et al. 2016) |
| group | C/G·H·W | each image and group of channels (Wu, He 2018) |

All but the first see one image at a time: training and use are the same computation, and neither
the size of a batch nor its division among processes changes anything. Layer and instance norm are
group norm with one group and with as many as channels.
"""

import math
from collections.abc import Sequence

from torch import nn

from data.errors import ArgumentError

from ..spec import Norm

GROUP = 16
"""Channels a group. Wu and He 2018, table 3, find 16 as good as 32 groups a layer; narrow layers
keep groups with something to average over."""


def exchange_norms(
    network: nn.Module, norm: Norm, *, head: Sequence[nn.Module] = ()
) -> dict[nn.Module, nn.Module]:
    """Put another kind in the place of a network's batch norms; their names stay.

    Args:
        network: As built; nothing changes for `Norm.BATCH`.
        norm: The kind that it gets.
        head: Layers of the network whose feature maps have shrunk to one cell. There a channel or
            a group has (almost) nothing to average over, so every kind takes all channels.

    Returns:
        What was exchanged, and for what.

    Raises:
        ArgumentError: The network has no batch norm.
    """
    if norm is Norm.BATCH:
        return {}
    in_head = {module for layer in head for module in layer.modules()}
    exchanged: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                kind = Norm.LAYER if child in in_head else norm
                exchanged[child] = _group_norm(child, kind)
                setattr(parent, name, exchanged[child])
    if not exchanged:
        raise ArgumentError(f"the network has no norms to exchange: leave norm at {Norm.BATCH}")
    return exchanged


def _group_norm(batch: nn.BatchNorm1d | nn.BatchNorm2d, norm: Norm) -> nn.GroupNorm:
    channels = batch.num_features
    groups = {
        Norm.LAYER: 1,
        Norm.INSTANCE: channels,
        # As many groups of at least that size as divide the channels evenly.
        Norm.GROUP: math.gcd(channels, max(1, channels // GROUP)),
    }[norm]
    return nn.GroupNorm(groups, channels, eps=batch.eps, affine=batch.affine)
