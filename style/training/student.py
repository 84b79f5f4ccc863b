"""A network as it learns from another one: maps to other channels, and parameters that learn fast.

Where it has its teacher's channels, its parameters are not its weights w and b, but v and c with

    w = σ' v Z / √n        b = σ' c - Σ w μ

where n and μ are length and mean of the patches that the convolution sees, Z = (C + ridge)^-½
whitens them, C being their covariance, and σ' is the root mean square of each output channel, all
measured once on the teacher's maps. So every parameter is about 1, sees uncorrelated inputs of
deviation 1, and gives outputs of size 1; c begins with the mean that the output is to have.

Otherwise a plain chain of rectified convolutions is badly conditioned: neighbouring places of a map
are nearly equal, all values are positive, and channels differ in size by orders of magnitude. It is
the natural gradient's metric on the side of the inputs (Desjardins et al. 2015, Natural Neural
Networks) with fixed numbers; in the end nothing of it is left in the network.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.network import Backbone, Stage

_BEGINNING = 0.2  # of the random weights: what begins small ends without what nobody asked for
_RIDGE = 3e-2  # of the mean variance: what varies less is noise
_LEAST = 1e-2  # root mean square of an output that is never there; whole maps have one of 1


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
        self._sizes: dict[str, tuple[Tensor, Tensor, Tensor]] = {}  # by convolution: μ, Z, σ'

    @torch.no_grad()
    def measure(self, batches: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> None:
        """Take the teacher's statistics, by which the parameters are read from now on.

        Args:
            batches: Images (B, 3, H, W), and the teacher's maps by tap, in the student's channels.
        """
        found: dict[str, list[tuple[Tensor, ...]]] = {}
        for images, targets in batches:
            x = self.network.normalise(images)
            for name, convolution, before in self._plain():
                for layer in before:
                    x = layer(x)
                mean, products = _patch_moments(x, self._convolution(convolution))
                x = targets[name]
                levels = x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))
                found.setdefault(convolution, []).append((mean, products, *levels))
        for convolution, moments in found.items():
            mean, products, level, output = (
                torch.stack(each).mean(dim=0) for each in zip(*moments, strict=True)
            )
            whitener = _whitener(products - mean.outer(mean))
            self._sizes[convolution] = (mean, whitener, output.clamp_min(_LEAST**2).sqrt())
            layer = self._convolution(convolution)
            assert layer.bias is not None  # a plain one, see below
            layer.weight.mul_(_BEGINNING * len(mean) ** 0.5)
            layer.bias.copy_(level / self._sizes[convolution][2])

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
                name = names.get(id(layer), "")  # what has no weights may have none
                x = self._convolved(x, name) if name in self._sizes else layer(x)
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

    def _convolved(self, x: Tensor, name: str) -> Tensor:
        """What a convolution gives."""
        weight, bias = self._weights(name)
        return F.conv2d(x, weight, bias, padding=self._convolution(name).padding)

    def _convolution(self, name: str) -> nn.Conv2d:
        layer = self.network.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        return layer

    def _weights(self, name: str) -> tuple[Tensor, Tensor]:
        """The w and b of a convolution."""
        convolution = self._convolution(name)
        assert convolution.bias is not None  # a plain one, see below
        mean, whitener, output = self._sizes[name]
        with torch.autocast(mean.device.type, enabled=False):
            scale = output[:, None] / len(mean) ** 0.5
            flat = scale * convolution.weight.flatten(1) @ whitener  # (C', n)
            bias = convolution.bias * output - flat @ mean
        return flat.view_as(convolution.weight), bias

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


def _patch_moments(maps: Tensor, convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Mean (C*k*k) and mean products (C*k*k, C*k*k) of the patches that a convolution sees."""
    height, width = convolution.kernel_size
    patches = F.unfold(maps, (height, width)).transpose(1, 2).flatten(0, 1)  # (places, C*k*k)
    return patches.mean(dim=0), patches.T @ patches / len(patches)


def _whitener(covariance: Tensor) -> Tensor:
    """The inverse root of a covariance, small directions left small."""
    values, vectors = torch.linalg.eigh(covariance.double())
    ridge = _RIDGE * values.mean()
    root: Tensor = vectors * (values.clamp_min(0) + ridge).rsqrt() @ vectors.T
    return root.to(covariance)
