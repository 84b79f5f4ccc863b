"""LeNet-5: as published, and with today's layers.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
1998, section II B. Layers have the paper's names. Images are made grey inside. On 32×32 pixels C5
has one cell; a larger image is searched, as the paper's section VII does, and its cells averaged.

Two departures: the paper scales white to -0.1 and black to 1.175, here grey is -1 … 1; and F6 is
the embedding, so the fixed codes of the output layer, one a character, are left out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import BackboneSpec

_F6 = 84
_SMALLEST = 32

# Table I of the paper: which maps of S2 each map of C3 sees.
_CONNECTIONS = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


class Grey(nn.Module):
    """Red, green and blue to brightness, by the weights of ITU-R BT.601."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        # As `network.Normalise` does: on the CPU even where weights are only described.
        numbers = torch.tensor([0.299, 0.587, 0.114], device="cpu").view(1, 3, 1, 1)
        self.register_buffer("weights", numbers, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 1, H, W)."""
        return (x * self.weights.to(x.dtype)).sum(dim=1, keepdim=True)


class Squash(nn.Module):
    """1.7159 tanh(2/3 x), which maps ±1 to ±1 (appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """The sum of 2×2 cells, times a trained coefficient a map, plus a trained bias.

    Args:
        channels: How many maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, ⌊H/2⌋, ⌊W/2⌋)."""
        return 4 * F.avg_pool2d(x, 2) * self.coefficient + self.bias


class PartialConv2d(nn.Module):
    """A convolution of which each output sees some of the inputs; only those weights are there.

    Args:
        inputs: Channels that come in.
        connections: For each channel that goes out, those that it sees.
        kernel: Of the square filters.
    """

    places: Tensor

    def __init__(self, inputs: int, connections: tuple[tuple[int, ...], ...], kernel: int) -> None:
        super().__init__()
        self._shape = (len(connections), inputs, kernel, kernel)
        pairs = [
            out * inputs + seen for out, all_seen in enumerate(connections) for seen in all_seen
        ]
        self.weight = nn.Parameter(torch.empty(len(pairs), kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(len(connections)))
        self.register_buffer("places", torch.tensor(pairs, device="cpu"), persistent=False)
        self.fan_in = [len(seen) * kernel * kernel for seen in connections for _ in seen]

    def dense(self) -> Tensor:
        """The filters with zeros where nothing is connected."""
        outputs, inputs, height, width = self._shape
        none = self.weight.new_zeros(outputs * inputs, height, width)
        places = self.places.to(self.weight.device)
        return none.index_copy(0, places, self.weight).view(self._shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H - kernel + 1, W - kernel + 1)."""
        return F.conv2d(x, self.dense(), self.bias)


class LeNet(Backbone):
    """The network, of either kind."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        if min(spec.input_size) < _SMALLEST:
            height, width = spec.input_size
            raise ArgumentError(
                f"{spec.name} needs sides of at least {_SMALLEST} pixels, not {height}x{width}"
            )
        published = spec.name == "lenet5"
        squash: type[nn.Module] = Squash if published else nn.ReLU
        self.grey = Grey()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2: nn.Module = Subsample(6) if published else nn.MaxPool2d(2)
        self.c3: nn.Module = PartialConv2d(6, _CONNECTIONS, 5) if published else nn.Conv2d(6, 16, 5)
        self.s4: nn.Module = Subsample(16) if published else nn.MaxPool2d(2)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, _F6)
        head: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.f6, squash()]
        if spec.dimension != _F6:
            self.embed = nn.Sequential(
                nn.Linear(_F6, spec.dimension, bias=False), nn.BatchNorm1d(spec.dimension)
            )
            head.append(self.embed)
        # In the original every layer is squashed; today's have rectifiers behind convolutions.
        sampled = [squash()] if published else []
        self.chain(
            {
                "c1": [self.grey, self.c1, squash()],
                "s2": [self.s2, *sampled],
                "c3": [self.c3, squash()],
                "s4": [self.s4, *sampled],
                "c5": [self.c5, squash()],
            },
            head=head,
        )
        if published:
            self._initialise()
        else:
            self.initialise_convolutions()

    def _initialise(self) -> None:
        """Uniform in ±2.4 / inputs of a unit (appendix A)."""
        # A layer is several where the convolutions are asked to be of another kind.
        parts = [part for layer in (self.c1, self.c5, self.f6) for part in layer.modules()]
        for layer in (part for part in parts if isinstance(part, nn.Conv2d | nn.Linear)):
            bound = 2.4 / math.prod(layer.weight.shape[1:])
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(self.c3, PartialConv2d):
            with torch.no_grad():
                for weight, fan_in in zip(self.c3.weight, self.c3.fan_in, strict=True):
                    weight.uniform_(-2.4 / fan_in, 2.4 / fan_in)


def build(spec: BackboneSpec) -> Backbone:
    """LeNet-5 for 32×32 pixels or more.

    Raises:
        ArgumentError: A side of the input size is below 32.
    """
    return LeNet(spec)
