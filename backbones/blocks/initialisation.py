"""What the weights of a network begin with.

| kind | of a layer with n inputs and m outputs a unit | for |
|---|---|---|
| kaiming | normal, variance 2 / n (He et al. 2015) | rectified layers |
| xavier | uniform, variance 2 / (n + m) (Glorot, Bengio 2010) | tanh and sigmoid |
| uniform | uniform in ±1 / √n (LeCun et al. 1998) | shallow networks |
"""

from torch import nn

from ..spec import WeightInit


def initialise_weights(network: nn.Module, kind: WeightInit) -> None:
    """Draw the weights of all convolutions and linear layers anew; biases become 0.

    Args:
        network: Changed in place; norms and what else it has stay as they are.
        kind: Nothing changes for `WeightInit.OWN`.
    """
    if kind is WeightInit.OWN:
        return
    for module in network.modules():
        if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            continue
        weight = module.weight
        if kind is WeightInit.KAIMING:
            nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")
        elif kind is WeightInit.XAVIER:
            nn.init.xavier_uniform_(weight)
        else:
            bound = weight[0].numel() ** -0.5
            nn.init.uniform_(weight, -bound, bound)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
