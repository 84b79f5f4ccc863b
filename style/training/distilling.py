"""A small network learns a larger one's feature maps, from random weights.

Distillation of hidden layers as in FitNets (Romero et al. 2015): the small network's map at each
tap, through a 1×1 convolution where the teacher has other channels, is to be the teacher's. Only
what a painter needs is asked for, maps and Gram matrices, so that nothing has to be labelled.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import create
from data.errors import ArgumentError

from .config import TrainingConfig
from .distances import feature_distance, gram_distance, gram_energy, gram_matrices
from .lessons import convolutions
from .pictures import Photographs, cut, estrange, generator, held_out_batches
from .student import Student

_MARGIN = 16  # px at a crop's border that are not compared: the networks may pad otherwise
_WIDEST = 48  # places of a map a side that are compared: the finest maps say the same all over
_MEASURED = 4  # batches that the teacher's statistics are measured on
_DOUBT = 0.05  # noise on a forced map, as a share of its deviation: its source will err


class Distillation:
    """The lesson of a small network; see `lessons.Lesson`."""

    def __init__(
        self,
        config: TrainingConfig,
        photographs: Photographs,
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
        self.seen = config.data.batch
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
        with convolutions(self._config, self._device):
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
