"""Units: single channels of a tap, where they are strong, and on which patches of many images.

M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014, shows units by the
patches of a data set that excite them most: the receptive fields of their strongest places.
"""

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import ArgumentError

from ..network import Backbone
from ..profile import profile
from ..spec import BackboneSpec


@dataclass(frozen=True, slots=True)
class Unit:
    """One channel of a tap.

    Attributes:
        tap: The tap's name.
        channel: Counted from 0.
    """

    tap: str
    channel: int

    def __str__(self) -> str:
        return f"{self.tap}:{self.channel}"


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A piece of an image that excites a unit.

    Attributes:
        activation: Of the unit at its strongest place in that image.
        image: Which of the images, counted from 0.
        box: Left, top, right and bottom edge, px, of what the place sees, cut at the borders.
        pixels: (3, h, w) of the image.
    """

    activation: float
    image: int
    box: tuple[int, int, int, int]
    pixels: Tensor


def parse_unit(text: str, spec: BackboneSpec) -> Unit:
    """Read `fire5:12`.

    Args:
        text: A tap's name, a colon, a channel.
        spec: Of the network.

    Raises:
        ArgumentError: It is not written so, or there is no such tap or channel.
    """
    found = re.fullmatch(r"([^:]+):(\d{1,5})", text.strip())
    if not found:
        raise ArgumentError(f"a unit is written TAP:CHANNEL, such as {spec.content_taps[0]}:12")
    tap = spec.tap(found[1])
    if int(found[2]) >= tap.channels:
        raise ArgumentError(
            f"{tap.name} has channels 0 to {tap.channels - 1}, and none of the number {found[2]}"
        )
    return Unit(tap.name, int(found[2]))


def check_size(spec: BackboneSpec, tap: str, image: Tensor) -> None:
    """Refuse an image that is too small for a tap.

    Raises:
        ArgumentError: A side is shorter than the tap takes.
    """
    least = spec.tap(tap).least_side
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ArgumentError(
            f"{spec.name} needs {least} pixels each way for {tap}, and the picture has "
            f"{width}x{height}: take a larger one"
        )


def check_embeddable(spec: BackboneSpec, image: Tensor) -> None:
    """Refuse an image that is too small to be embedded, by a network that takes many sizes.

    Raises:
        ArgumentError: A side is shorter than the last tap takes, and than the network's own images.
    """
    last = spec.taps[-1]
    least = min(math.ceil(last.least_side / spec.resolution), *spec.input_size)
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ArgumentError(
            f"{spec.name} needs {least} pixels each way to embed a picture, and this one has "
            f"{width}x{height}: take a larger one, or name a unit of an earlier tap"
        )


def device_of(network: Backbone) -> torch.device:
    """Where a network computes."""
    return next(network.parameters()).device


@torch.no_grad()
def feature_maps(network: Backbone, image: Tensor, tap: str) -> Tensor:
    """The maps of one image: (C, h, w), on the CPU.

    Args:
        network: With trained weights.
        image: (3, H, W) float32, 0 … 1.
        tap: Of the maps.

    Raises:
        ArgumentError: There is no such tap, or the image is too small for it.
    """
    check_size(network.spec, tap, image)
    return network.features(image[None].to(device_of(network)), [tap])[tap][0].cpu()


def strongest_channels(maps: Tensor, count: int) -> list[int]:
    """The channels with the largest activation anywhere, the largest first.

    Args:
        maps: (C, h, w).
        count: How many at most; those that are nowhere above 0 are left out.
    """
    peaks = maps.flatten(1).amax(dim=1)
    ordered = torch.argsort(peaks, descending=True, stable=True)[:count].tolist()
    return [channel for channel in ordered if peaks[channel] > 0]


def receptive_box(
    spec: BackboneSpec, unit: Unit, place: tuple[int, int], maps: Sequence[int], size: Sequence[int]
) -> tuple[int, int, int, int]:
    """What a cell of a map sees of the image.

    Args:
        spec: Of the network.
        unit: Of the map.
        place: Row and column of the cell.
        maps: (h, w) of the map.
        size: (H, W) of the image.

    Returns:
        Left, top, right and bottom edge, px, inside the image.
    """
    field = _receptive_field(spec.name, unit.tap)
    edges = []
    for cell, cells, side in zip(place, maps, size, strict=True):
        # Maps of networks that do not pad are smaller than the image by the stride: their cells
        # are centred on it all the same.
        stride = spec.tap(unit.tap).stride
        centre = side / 2 + (cell - (cells - 1) / 2) * stride
        half = side if field is None else field / 2
        edges.append((max(0, math.floor(centre - half)), min(side, math.ceil(centre + half))))
    (top, bottom), (left, right) = edges
    return left, top, right, bottom


_fields: dict[tuple[str, str], int | None] = {}


def _receptive_field(name: str, tap: str) -> int | None:
    if (name, tap) not in _fields:
        for layer in profile(name).layers:
            _fields[name, layer.name] = layer.receptive_field
    return _fields[name, tap]


class Gathering:
    """The patches that excite each channel of a tap most, of as many images as come by.

    Args:
        network: With trained weights.
        tap: Of the units.
        count: Patches kept a channel.
    """

    def __init__(self, network: Backbone, tap: str, count: int) -> None:
        self._network, self._tap, self._count = network, tap, count
        channels = network.spec.tap(tap).channels
        self._best: list[list[tuple[float, int, Patch]]] = [[] for _ in range(channels)]
        self._sums = torch.zeros(channels, dtype=torch.float64)
        self._images = 0

    @property
    def images(self) -> int:
        """How many were seen."""
        return self._images

    def add(self, image: Tensor) -> None:
        """See one image more.

        Args:
            image: (3, H, W) float32, 0 … 1.

        Raises:
            ArgumentError: It is too small for the tap.
        """
        maps = feature_maps(self._network, image, self._tap)
        peaks, places = maps.flatten(1).max(dim=1)
        self._sums += maps.mean(dim=(1, 2)).double()
        number, self._images = self._images, self._images + 1
        for channel, (peak, place) in enumerate(zip(peaks.tolist(), places.tolist(), strict=True)):
            best = self._best[channel]
            if peak <= 0 or (len(best) == self._count and peak <= best[0][0]):
                continue
            cell = divmod(place, maps.shape[2])
            unit = Unit(self._tap, channel)
            box = receptive_box(self._network.spec, unit, cell, maps.shape[1:], image.shape[1:])
            left, top, right, bottom = box
            patch = Patch(peak, number, box, image[:, top:bottom, left:right].clone())
            # Of equals the earlier image stays: the second key falls with the number.
            put = heapq.heapreplace if len(best) == self._count else heapq.heappush
            put(best, (peak, -number, patch))

    def patches(self, channel: int) -> list[Patch]:
        """The patches of one channel, the strongest first."""
        return [patch for _, _, patch in sorted(self._best[channel], reverse=True)]

    def selective(self, count: int) -> list[Unit]:
        """The units that are choosy: strong on their patches, and hardly anywhere else.

        Args:
            count: How many at most.

        Returns:
            Those whose weakest kept patch is most above their mean activation.
        """
        means = (self._sums / max(1, self._images)).tolist()
        ratios = {
            channel: best[0][0] / (means[channel] + 1e-6)
            for channel, best in enumerate(self._best)
            if len(best) == min(self._count, self._images) and best
        }
        ordered = sorted(ratios, key=lambda channel: -ratios[channel])
        return [Unit(self._tap, channel) for channel in ordered[:count]]


def gather(
    network: Backbone, taps: Sequence[str], images: Iterable[Tensor], *, count: int
) -> dict[str, Gathering]:
    """See many images, each once.

    Args:
        network: With trained weights.
        taps: Of the units.
        images: (3, H, W) each, of any sizes.
        count: Patches kept a channel.

    Returns:
        What was found at each tap.

    Raises:
        ArgumentError: There is no such tap, or an image is too small for one.
    """
    found = {tap: Gathering(network, tap, count) for tap in taps}
    for image in images:
        for gathering in found.values():
            gathering.add(image)
    return found
