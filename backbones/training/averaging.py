"""A moving average of the weights, with bias correction."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """v ← β v + (1 − β) w after each step; v / (1 − βᵗ) is the average.

    Without the correction the first epochs would still hold the zeros that v began with. Running
    statistics of norms are averaged along with the weights that they belong to; counters are taken
    as they are.

    Attributes:
        sums: v, by the names of the network's state.
        steps: t.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin.

        Args:
            network: Whose weights are averaged.
            decay: β, 0 … 1.
        """
        self._decay = decay
        self.steps = 0
        self.sums = {
            name: torch.zeros_like(value)
            for name, value in network.state_dict().items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        state = network.state_dict()
        names = list(self.sums)
        torch._foreach_lerp_(
            [self.sums[name] for name in names], [state[name] for name in names], 1 - self._decay
        )

    def averaged(self, network: nn.Module) -> dict[str, Tensor]:
        """The network's state with averaged numbers; as it is before the first step."""
        state = network.state_dict()
        if self.steps == 0:
            return state
        correction = 1 - self._decay**self.steps
        return {
            name: self.sums[name] / correction if name in self.sums else value
            for name, value in state.items()
        }
