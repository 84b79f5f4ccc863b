"""Rectifiers inside a network, exchanged for others."""

from collections.abc import Callable, Iterable

from torch import nn

from data.errors import ArgumentError

from ..spec import Activation

_KINDS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.SiLU, nn.Hardswish, nn.GELU, nn.Tanh)
"""What is exchanged. Gates (sigmoid) are not: they say how much passes, between 0 and 1."""

_MAKERS: dict[Activation, Callable[[], nn.Module]] = {
    Activation.RELU: nn.ReLU,
    Activation.LEAKY_RELU: lambda: nn.LeakyReLU(0.1),
    Activation.PRELU: nn.PReLU,
    Activation.TANH: nn.Tanh,
    Activation.SIGMOID: nn.Sigmoid,
}


def exchange_activations(
    network: nn.Module, activation: Activation, chained: Iterable[nn.Module]
) -> dict[nn.Module, nn.Module]:
    """Put another activation in the place of every one that a network has.

    Args:
        network: As built; nothing changes for `Activation.OWN`.
        activation: The kind that it gets. A PReLU has one slope a layer.
        chained: Layers that run and are perhaps not registered in the network.

    Returns:
        What was exchanged, and for what.

    Raises:
        ArgumentError: The network has none.
    """
    if activation is Activation.OWN:
        return {}
    exchanged: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _KINDS):
                exchanged.setdefault(child, _MAKERS[activation]())
                setattr(parent, name, exchanged[child])
    for layer in chained:
        if isinstance(layer, _KINDS) and layer not in exchanged:
            exchanged[layer] = _MAKERS[activation]()
    if not exchanged:
        raise ArgumentError(
            f"the network has no activation to exchange: leave activation at {Activation.OWN}"
        )
    return exchanged
