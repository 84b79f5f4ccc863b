"""Normalising layers inside a network: over which numbers mean and deviation are taken.

| norm | statistics over | of |
|---|---|---|
| batch | B·H·W | each channel (Ioffe, Szegedy 2015) |
| layer | C·H·W | each image (Ba et al. 2016) |
| instance | H·W | each image and channel (Ulyanov et al. 2016) |
| group | C/G·H·W | each image and group of channels (Wu, He 2018) |
| switchable | a learned mix of batch, layer and instance | each channel (Luo et al. 2019) |

Layer, instance and group norm see one image at a time: training and use are the same computation,
and neither the size of a batch nor its division among processes changes anything. Layer and
instance norm are group norm with one group and with as many as channels.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
                exchanged[child] = (
                    SwitchableNorm(child.num_features, eps=child.eps)
                    if kind is Norm.SWITCHABLE
                    else _group_norm(child, kind)
                )
                setattr(parent, name, exchanged[child])
    if not exchanged:
        raise ArgumentError(f"the network has no norms to exchange: leave norm at {Norm.BATCH}")
    return exchanged


def has_norms(network: nn.Module) -> bool:
    """Whether there are batch norms in it, for `exchange_norms` to exchange."""
    return any(isinstance(it, nn.BatchNorm1d | nn.BatchNorm2d) for it in network.modules())


class SwitchableNorm(nn.Module):
    """Mean and variance are mixtures of those over an instance, a layer and the batch.

    P. Luo, J. Ren, Z. Peng, R. Zhang, J. Li: Differentiable Learning-to-Normalize via Switchable
    Normalization, 2019. The shares are softmaxes of three trained numbers for the means, and of
    three for the variances, that all channels have in common; at first each is a third. In use the
    batch's part is a running average, as in batch norm.

    Args:
        channels: C.
        eps: Is added to the variance.
        momentum: Of the running averages: the share of the newest batch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean_shares = nn.Parameter(torch.zeros(3))
        self.variance_shares = nn.Parameter(torch.zeros(3))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape and type; statistics and scale are float32 or wider."""
        # A convolution under autocast gives bfloat16, whose 8 bits hold no variance of numbers far
        # from 0. None of the operations below is one that autocast would narrow again.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        var, mean = torch.var_mean(wide, dim=(2, 3), correction=0)  # (B, C), of each instance
        # The other variances follow from the instances' (section 3.1): the mean within, and the
        # variance between. E[x²] - E[x]² would be the same, but for what the difference loses.
        between, layer_mean = torch.var_mean(mean, dim=1, keepdim=True, correction=0)  # (B, 1)
        layer_var = var.mean(dim=1, keepdim=True) + between
        means = [mean, layer_mean.expand_as(mean)]
        variances = [var, layer_var.expand_as(mean)]
        batch_mean, batch_var = self.running_mean, self.running_var.clamp_min(0)
        if self.training:
            between, batch_mean = torch.var_mean(mean, dim=0, correction=0)  # (C,)
            batch_var = var.mean(dim=0) + between
            with torch.no_grad():
                self.running_mean.lerp_(batch_mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_(batch_var.to(self.running_var.dtype), self.momentum)
        means.append(batch_mean.expand_as(mean))
        variances.append(batch_var.expand_as(mean))
        shares = torch.softmax(self.mean_shares, dim=0)
        mixed = (torch.stack(means, dim=2) * shares).sum(dim=2)  # (B, C)
        shares = torch.softmax(self.variance_shares, dim=0)
        spread = (torch.stack(variances, dim=2) * shares).sum(dim=2)  # a mean of numbers above 0
        scale = self.weight * (spread + self.eps).rsqrt()
        shift = self.bias - mixed * scale
        return (wide * scale[:, :, None, None] + shift[:, :, None, None]).to(x.dtype)


def _group_norm(batch: nn.BatchNorm1d | nn.BatchNorm2d, norm: Norm) -> nn.GroupNorm:
    channels = batch.num_features
    groups = {
        Norm.LAYER: 1,
        Norm.INSTANCE: channels,
        # As many groups of at least that size as divide the channels evenly.
        Norm.GROUP: math.gcd(channels, max(1, channels // GROUP)),
    }[norm]
    return nn.GroupNorm(groups, channels, eps=batch.eps, affine=batch.affine)
