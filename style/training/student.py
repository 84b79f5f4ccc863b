"""A network as it learns from another one: maps to other channels, and parameters that learn fast.

Where it has its teacher's channels, its parameters are not its weights w and b, but v and c with

    w = v · σ' / σ        b = c · σ' - Σ w · μ

where μ and σ are mean and deviation of each input channel and σ' the root mean square of each
output channel, measured once on the teacher's maps. So every parameter sees inputs about 0 with a
deviation of 1, and is to give outputs of size 1; a plain chain of rectified convolutions, whose
maps are all positive and of very different sizes, is badly conditioned otherwise. It is what batch
normalisation (Ioffe and Szegedy 2015) does, but with fixed numbers, and in the end nothing of it is
left in the network.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.network import Backbone, Stage

_BEGINNING = 0.2  # of the random weights
_LEAST = 1e-2  # deviation of a channel that never varies; maps have a root mean square of 1


class Student(nn.Module):
    """A network, and what brings its feature maps to the teacher's channels."""

    def __init__(self, network: Backbone, channels: Mapping[str, int], *, seed: int) -> None:
        """Add a 1×1 convolution wherever the teacher has other channels.

        Args:
            network: With random weights.
            channels: Of the teacher, by tap.
            seed: Of the convolutions' weights.
        """
        super().__init__()
        self.network = network
        self._taps = tuple(channels)
        other = {tap for tap, count in channels.items() if network.spec.tap(tap).channels != count}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.maps = nn.ModuleDict(
                {
                    tap: nn.Conv2d(network.spec.tap(tap).channels, channels[tap], 1)
                    for tap in channels
                    if tap in other
                }
            )
        self._sizes: dict[str, tuple[Tensor, Tensor, Tensor]] = {}  # by convolution: μ, σ, σ'

    @torch.no_grad()
    def measure(self, batches: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> None:
        """Take the teacher's statistics, by which the parameters are read from now on.

        Args:
            batches: Images (B, 3, H, W), and the teacher's maps by tap, in the student's channels.
        """
        found: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for images, targets in batches:
            x = self.network.normalise(images)
            for name, convolution, before in self._plain():
                for layer in before:
                    x = layer(x)
                mean, square = x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))
                x = targets[name]
                found.setdefault(convolution, []).append(
                    (mean, square, x.square().mean(dim=(0, 2, 3)))
                )
        for convolution, moments in found.items():
            mean, square, output = (
                torch.stack(each).mean(dim=0) for each in zip(*moments, strict=True)
            )
            deviation = (square - mean.square()).clamp_min(_LEAST**2).sqrt()
            self._sizes[convolution] = (mean, deviation, output.clamp_min(_LEAST**2).sqrt())
            # What begins small ends without what nothing asked for.
            self.network.get_submodule(convolution).weight.mul_(_BEGINNING)  # type: ignore[operator]

    def forward(
        self, images: Tensor, forced: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The feature maps by tap, in the teacher's channels.

        Args:
            images: (B, 3, H, W) in [0, 1].
            forced: By tap, what the stage behind it sees in the place of its predecessor's map.
        """
        names = {id(layer): name for name, layer in self.network.named_modules()}
        x, found = self.network.normalise(images), {}
        for tap, layers in self._stages():
            for layer in layers:
                name = names[id(layer)]
                if name in self._sizes:
                    x = F.conv2d(x, *self._weights(name), padding=layer.padding)  # type: ignore[arg-type]
                else:
                    x = layer(x)
            if tap in self._taps:
                found[tap] = self.maps[tap](x) if tap in self.maps else x
                if forced is not None:
                    x = forced[tap]
        return found

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """The network's own weights."""
        state = self.network.state_dict()
        for name in self._sizes:
            weight, bias = self._weights(name)
            state |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return state

    def _weights(self, name: str) -> tuple[Tensor, Tensor]:
        """The w and b of a convolution."""
        convolution = self.network.get_submodule(name)
        mean, deviation, output = self._sizes[name]
        weight = convolution.weight * (output[:, None] / deviation).view(
            *convolution.weight.shape[:2], 1, 1
        )
        bias = convolution.bias * output - (weight.sum(dim=(2, 3)) * mean).sum(dim=1)
        return weight, bias

    def _plain(self) -> Iterator[tuple[str, str, list[nn.Module]]]:
        """Stages of one convolution: tap, the convolution's name, and what lies before it.

        They end at the first stage that is otherwise, or has no tap in common with the teacher.
        """
        names = {id(layer): name for name, layer in self.network.named_modules()}
        for tap, layers in self._stages():
            *before, convolution, last = layers
            if tap not in self._taps or not _is_plain(convolution) or not isinstance(last, nn.ReLU):
                return
            yield tap, names[id(convolution)], before

    def _stages(self) -> list[Stage]:
        return list(self.network.stages_through(self.network.last_of(self._taps)))


def _is_plain(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.padding_mode == "zeros"
        and layer.groups == 1
        and layer.stride == (1, 1)
        and layer.bias is not None
    )
