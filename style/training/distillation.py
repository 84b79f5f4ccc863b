"""A small network learns a larger one's feature maps."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.metadata import weights_metadata
from backbones.network import Backbone, Stage
from backbones.registry import create
from data.errors import ArgumentError

from .config import StyleTrainingConfig
from .dataset import ContentPhotographs, cut, estrange, generator, held_out_batches
from .distances import feature_distance, gram_distance, gram_energy, gram_matrices

# A network as it learns from another one: maps to other channels, and parameters that learn fast.
#
# Where it has its teacher's channels, its parameters are not its weights w and b, but v and c
# with
#
#     w = σ' v Z / √n        b = σ' c - Σ w μ
#
# where n and μ are length and mean of the patches that the convolution sees, Z = (C + ridge)^-½
# whitens them, C being their covariance, and σ' is the root mean square of each output channel,
# all measured once on the teacher's maps. So every parameter is about 1, sees uncorrelated inputs
# of deviation 1, and gives outputs of size 1; c begins with the mean that the output is to have.
#
# Otherwise a plain chain of rectified convolutions is badly conditioned: neighbouring places of a
# map are nearly equal, all values are positive, and channels differ in size by orders of
# magnitude. It is the natural gradient's metric on the side of the inputs (Desjardins et al.
# 2015, Natural Neural Networks) with fixed numbers; in the end nothing of it is left in the
# network.

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


# A small network learns a larger one's feature maps, from random weights.
#
# Distillation of hidden layers as in FitNets (Romero et al. 2015): the small network's map at
# each tap, through a 1×1 convolution where the teacher has other channels, is to be the
# teacher's. Only what a painter needs is asked for, maps and Gram matrices, so that nothing has
# to be labelled.

_MARGIN = 16  # px at a crop's border that are not compared: the networks may pad otherwise
_WIDEST = 48  # places of a map a side that are compared: the finest maps say the same all over
_MEASURED = 4  # batches that the teacher's statistics are measured on
_DOUBT = 0.05  # noise on a forced map, as a share of its deviation: its source will err


class Distillation:
    """The lesson of a small network; see `backbones.training.steps.Lesson`."""

    def __init__(
        self,
        config: StyleTrainingConfig,
        photographs: ContentPhotographs,
        teacher: Backbone,
        prose: Mapping[str, str],
        device: torch.device,
    ) -> None:
        """Put student and teacher together.

        Args:
            config: Of the run.
            photographs: What is looked at.
            teacher: Frozen, with trained weights.
            prose: What the weights' header says about their making.
            device: Where all of it runs.

        Raises:
            ArgumentError: The two have no tap in common, or `forced` and different channels.
        """
        self._config, self._photographs, self._device = config, photographs, device
        self._prose = dict(prose)
        student = create(config.backbone, seed=config.seed)
        theirs = {tap.name: tap for tap in teacher.spec.taps}
        self._taps = tuple(tap.name for tap in student.spec.taps if tap.name in theirs)
        if not self._taps:
            raise ArgumentError(
                f"{config.backbone} and {teacher.spec.name} have no tap in common: name another "
                "teacher"
            )
        self._style_taps = student.spec.style_taps
        self._margins = {
            tap: _margin(student.spec.tap(tap).stride, config.data.crop) for tap in self._taps
        }
        self._look = FeatureExtractor(teacher, self._taps)
        self.module: Student = Student(
            student, {tap: theirs[tap].channels for tap in self._taps}, seed=config.seed
        )
        self.module.to(device).to(memory_format=torch.channels_last).train()
        if config.forced > 0 and self.module.maps:
            raise ArgumentError(
                f"{teacher.spec.name} has other channels than {config.backbone}: set forced to 0"
            )
        self._held_out = held_out_batches(photographs, config.data)
        self._scales = dict.fromkeys(self._taps, 1.0)
        self._scales = self._measured_scales()
        if not self.module.maps:
            batches = [self._batch(step) for step in range(_MEASURED)]
            self.module.measure([(batch, self._targets(batch)) for batch in batches])

    def losses(self, step: int) -> dict[str, Tensor]:
        """Distances of maps and of Gram matrices, summed over the taps."""
        forced = step < self._config.forced * self._config.steps
        images = self._batch(step)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.in_bf16):
            targets = self._targets(images)
            found = self.module(images, self._doubted(targets, step) if forced else None)
        maps, grams = self._distances(found, targets)
        features = torch.stack(list(maps.values())).sum()
        moments = torch.stack(list(grams.values())).sum()
        # Matrices far from the teacher's pull in all directions at once: they come in later.
        total = features if forced else features + self._config.moments * moments
        return {"features": features, "moments": moments, "total": total}

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Distances by tap on photographs kept out; `distance` is the mean of all."""
        found: dict[str, list[float]] = {}
        for batch in self._held_out:
            images = batch.to(self._device)
            targets = self._targets(images)
            maps, grams = self._distances(module(images), targets)
            for name, values in (("features", maps), ("moments", grams)):
                for tap, value in values.items():
                    found.setdefault(f"{name}.{tap}", []).append(float(value))
        figures = {name: sum(values) / len(values) for name, values in found.items()}
        return {"distance": sum(figures.values()) / len(figures)} | figures

    def weights(self, module: nn.Module) -> tuple[Mapping[str, Tensor], dict[str, str]]:
        """The network without what maps it to its teacher."""
        assert isinstance(module, Student)
        return module.folded(), weights_metadata(module.network.spec) | self._prose

    def _batch(self, step: int) -> Tensor:
        source = generator(self._config.seed, "step", step)
        squares = cut(self._photographs.training, self._config.data, source)
        return estrange(squares, source).to(self._device, memory_format=torch.channels_last)

    def _targets(self, images: Tensor) -> dict[str, Tensor]:
        """The teacher's maps, each tap scaled to a mean square of 1."""
        with torch.no_grad():
            return {
                tap: found.float() * self._scales[tap] for tap, found in self._look(images).items()
            }

    def _doubted(self, maps: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """Maps as an imperfect predecessor may give them."""
        source = generator(self._config.seed, "doubt", step)
        noisy = {}
        for tap, each in maps.items():
            noise = torch.empty(each.shape).normal_(0, _DOUBT, generator=source).to(each)
            noisy[tap] = each + noise * each.std(dim=(0, 2, 3), keepdim=True)
        return noisy

    def _measured_scales(self) -> dict[str, float]:
        """By tap, what brings the teacher's maps to a mean square of 1.

        A network of rectifiers may be scaled at each layer without any change but that of scale;
        a scale near 1 is the one that random weights begin with.
        """
        squares = dict.fromkeys(self._taps, 0.0)
        for step in range(_MEASURED):
            for tap, found in self._targets(self._batch(step)).items():
                squares[tap] += float(found.square().mean()) / _MEASURED
        return {tap: square**-0.5 if square > 0 else 1.0 for tap, square in squares.items()}

    def _distances(
        self, maps: Mapping[str, Tensor], targets: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of the maps by tap, and of the Gram matrices by tap for style."""
        features, moments = {}, {}
        for tap in self._taps:
            found = _inside(maps[tap].float(), self._margins[tap])
            wanted = _inside(targets[tap], self._margins[tap])
            features[tap] = feature_distance(found, wanted)
            if tap in self._style_taps:
                grams = gram_matrices(wanted)
                apart = gram_distance(gram_matrices(found), grams, gram_energy(wanted, grams))
                moments[tap] = apart
        return features, moments


def _margin(stride: int, crop: int) -> int:
    """Places that are left out on every side of a map of this stride, px."""
    return max(_MARGIN // stride, (crop // stride - _WIDEST) // 2)


def _inside(maps: Tensor, margin: int) -> Tensor:
    """Maps (B, C, H, W) without a border of so many places."""
    return maps[..., margin:-margin, margin:-margin] if margin else maps
