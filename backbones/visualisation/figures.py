"""A sheet for each way of looking into a network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from data.errors import ArgumentError
from data.progress import Progress

from ..network import Backbone
from ..spec import HeadPooling
from . import Show, attribution
from .deconvnet import deconvolve
from .sheet import Cell, SheetRow, heat, overlay, projection, sheet, signed
from .units import (
    Gathering,
    Patch,
    Unit,
    check_embeddable,
    check_size,
    feature_maps,
    gather,
    receptive_box,
    strongest_channels,
)

LONGEST_SIDE = 320
"""To which an image is reduced before a network looks at it, px."""

_COVERED_SIDE = 224
"""The same where it looks many times."""

UNITS, PATCHES, PAIRS = 10, 9, 5
"""Units shown where none is named, patches of each, and patches with what made them."""

_MAPS = 15
_SIDE, _MIDDLE, _SMALL = 240, 160, 92  # px, of images on a sheet
_SQUARES = 12  # an image's longer side has so many places of the square that covers it


class Images(Protocol):
    """Images that can be seen twice: all in a row, and then the ones that are wanted."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def __getitem__(self, number: int, /) -> Tensor:
        """The image that was the `number`-th in the row, counted from 0."""
        ...


def draw(
    show: Show,
    network: Backbone,
    images: Iterable[Tensor],
    units: Sequence[Unit] = (),
    *,
    progress: Progress | None = None,
) -> Image.Image:
    """Draw what a network sees.

    Args:
        show: The way of looking.
        network: With trained weights, frozen and in eval mode.
        images: What `prepare` has made: one, but for `Show.PATCHES`, which sees many, one after the
            other.
        units: Empty: those that the images excite most, or the embedding as a whole. Of an
            attribution one at most.
        progress: Told how many squares of how many have covered the image, for `Show.OCCLUSION`.

    Raises:
        ArgumentError: An image is too small for the tap, nothing excites the unit, or there is no
            image.
    """
    if show is Show.PATCHES:
        return _patches(network, images, units)
    if (image := next(iter(images), None)) is None:
        raise ArgumentError("no picture to look at: give one")
    if show is Show.MAPS:
        return _maps(network, image, units)
    if show is Show.DECONV:
        return _deconv(network, image, units)
    return _attribution(show, network, image, units[0] if units else None, progress)


def draw_pairs(network: Backbone, images: Images, units: Sequence[Unit] = ()) -> Image.Image:
    """Draw the patches of many images that excite units most, each with what of it made that.

    Args:
        network: As in `draw`.
        images: What `prepare` has made for `Show.DECONV`.
        units: Empty: those that are strong on few places.

    Raises:
        ArgumentError: An image is too small for a tap, or nothing excites the units.
    """
    alone = len(units) == 1
    count = PATCHES if alone else PAIRS
    found = gather(network, _taps(network, units), images, count=count)
    rows = [
        SheetRow(list(_pairs(network, images, unit, patches)), str(unit))
        for unit, patches in _favourites(found, units)
    ]
    return sheet(
        f"What units of {network.spec.name} look for",
        rows,
        side=_MIDDLE if alone else _SMALL,
        columns=6 if alone else 2 * PAIRS,
        note="In pairs: a patch that excites the unit, and what of it made the activation.",
    )


def _pairs(
    network: Backbone, images: Images, unit: Unit, patches: Iterable[Patch]
) -> Iterator[Cell]:
    """Each patch, and its part of what the deconvnet makes of the whole image."""
    for patch in patches:
        left, top, right, bottom = patch.box
        signal = deconvolve(network, images[patch.image], unit)
        yield Cell(patch.pixels)
        yield Cell(projection(signal)[:, top:bottom, left:right])


def prepare(show: Show, network: Backbone, image: Tensor, units: Sequence[Unit] = ()) -> Tensor:
    """An image in a size that the network takes, and looks at in a moment.

    Args:
        show: The way of looking.
        network: As in `draw`.
        image: (3, H, W) float32, 0 … 1.
        units: As in `draw`.

    Returns:
        (3, h, w) float32, 0 … 1, no larger than the image unless the network embeds one size alone.

    Raises:
        ArgumentError: The image is too small for a unit's tap, or to be embedded.
    """
    spec = network.spec
    height, width = image.shape[-2:]
    embeds = not units and show not in (Show.MAPS, Show.DECONV, Show.PATCHES)
    one_size = spec.head_pooling is HeadPooling.GLOBAL_DEPTHWISE or spec.embedding_size is not None
    if embeds and one_size:
        # The middle of it, in the one size that such a network embeds.
        target = spec.input_size
        factor = max(target[0] / height, target[1] / width)
        image = _scaled(image, factor, target)
        top, left = ((side - aim) // 2 for side, aim in zip(image.shape[1:], target, strict=True))
        return image[:, top : top + target[0], left : left + target[1]]
    longest = _COVERED_SIDE if show is Show.OCCLUSION else LONGEST_SIDE
    if embeds:
        check_embeddable(spec, image)
        taps = [spec.taps[-1].name]
    else:
        taps = _taps(network, units)
        for tap in taps:
            check_size(spec, tap, image)
    # A narrow picture's shorter side stays long enough.
    least = max(spec.tap(tap).least_side for tap in taps)
    factor = max(longest / max(height, width), least / min(height, width))
    return _scaled(image, factor) if factor < 1 else image


def _scaled(image: Tensor, factor: float, least: tuple[int, int] = (1, 1)) -> Tensor:
    size = [
        max(round(side * factor), low) for side, low in zip(image.shape[1:], least, strict=True)
    ]
    found = F.interpolate(image[None], size, mode="bilinear", antialias=True)
    return found[0].clamp(0, 1)


def _taps(network: Backbone, units: Sequence[Unit]) -> list[str]:
    """Those of the units, each once; of no unit the content tap."""
    return list(dict.fromkeys(unit.tap for unit in units)) or [network.spec.content_taps[0]]


def _chosen(network: Backbone, image: Tensor, units: Sequence[Unit], count: int) -> Sequence[Unit]:
    """The units, or those of the content tap that an image excites most."""
    if units:
        return units
    tap = network.spec.content_taps[0]
    channels = strongest_channels(feature_maps(network, image, tap), count)
    if not channels:
        raise ArgumentError(f"nothing in this picture excites {tap}: name a unit of another tap")
    return [Unit(tap, channel) for channel in channels]


def _maps(network: Backbone, image: Tensor, units: Sequence[Unit]) -> Image.Image:
    """Feature maps, each scaled by its own largest number."""
    cells = [Cell(image, "the picture")]
    for one in _chosen(network, image, units, _MAPS):
        found = feature_maps(network, image, one.tap)[one.channel]
        cells.append(Cell(heat(found), f"{one}   up to {float(found.max()):.3g}"))
        if units:
            grown = F.interpolate(found[None, None], image.shape[1:], mode="bilinear")[0, 0]
            cells.append(Cell(overlay(image, grown.clamp_min(0)), "laid over it"))
    return sheet(
        f"Feature maps of {network.spec.name}",
        [SheetRow(cells)],
        side=_SIDE if len(units) == 1 else 168,
        # Maps and what is laid over them stand below each other where there are many.
        columns=5 if len(units) > 1 else 4,
        note="Black is none, yellow the largest activation of that map.",
    )


def _deconv(network: Backbone, image: Tensor, units: Sequence[Unit]) -> Image.Image:
    """Each unit's strongest place, and what made it, in the place's receptive field."""
    cells = []
    for one in _chosen(network, image, units, 12):
        maps = feature_maps(network, image, one.tap)
        place = divmod(int(maps[one.channel].argmax()), maps.shape[2])
        box = receptive_box(network.spec, one, place, maps.shape[1:], image.shape[1:])
        left, top, right, bottom = box
        signal = deconvolve(network, image, one)
        # Stretched together: what lies outside the field is 0.
        shown = projection(signal)[:, top:bottom, left:right]
        cells += [Cell(image[:, top:bottom, left:right], str(one)), Cell(shown, "what made it")]
    return sheet(
        f"Deconvnet of {network.spec.name}",
        [SheetRow(cells)],
        side=_SIDE if len(units) == 1 else 132,
        columns=6,
        note="In pairs: what the unit's strongest place sees, and what of it made its activation.",
    )


def _attribution(
    show: Show, network: Backbone, image: Tensor, unit: Unit | None, progress: Progress | None
) -> Image.Image:
    """Image, map and both together."""
    what = "its embedding" if unit is None else str(unit)
    score = attribution.score_of(network, unit)
    both = False
    if show is Show.SALIENCY:
        # Smoothed by a pixel or two, or else it is dust.
        found = _blurred(attribution.saliency(score, image))
        title, note = f"Saliency for {what}", "The steeper the number by a pixel, the brighter."
    elif show is Show.GRADCAM:
        found = attribution.grad_cam(network, image, unit)
        title, note = f"Grad-CAM for {what}", "Bright: where the maps lie that raise the number."
    else:
        stride = max(1, round(max(image.shape[1:]) / _SQUARES))
        found = attribution.occlusion(
            score, image, side=2 * stride, stride=stride, progress=progress
        )
        title = f"Occlusion for {what}"
        note = "Red: covering it lowers the number. Blue: covering it raises it."
        both = True
    colours = signed(found) if both else heat(found)
    cells = [
        Cell(image, "the picture"),
        Cell(colours, f"from {float(found.min()):.3g} to {float(found.max()):.3g}"),
        Cell(overlay(image, found, both_signs=both), "both"),
    ]
    return sheet(
        f"{title} of {network.spec.name}", [SheetRow(cells)], side=_SIDE, columns=3, note=note
    )


def _blurred(values: Tensor) -> Tensor:
    places = torch.arange(-4.0, 5.0)
    kernel = torch.exp(-places.square() / 4)
    kernel = kernel / kernel.sum()
    padded = F.pad(values[None, None], (4, 4, 4, 4), mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).to(values))
    return F.conv2d(across, kernel.view(1, 1, -1, 1).to(values))[0, 0]


def _patches(network: Backbone, images: Iterable[Tensor], units: Sequence[Unit]) -> Image.Image:
    """The patches of many images that excite units most."""
    found = gather(network, _taps(network, units), images, count=PATCHES)
    rows = [
        SheetRow([Cell(patch.pixels) for patch in patches], str(unit))
        for unit, patches in _favourites(found, units)
    ]
    [seen] = {gathering.images for gathering in found.values()}
    alone = len(units) == 1
    return sheet(
        f"What units of {network.spec.name} look for",
        rows,
        side=_SIDE if alone else _SMALL,
        columns=3 if alone else PATCHES,
        note=f"The strongest places of {seen:,} pictures, as far as each sees.",
    )


def _favourites(
    found: Mapping[str, Gathering], units: Sequence[Unit]
) -> list[tuple[Unit, list[Patch]]]:
    """The patches that excite each unit most; without units those of choosy ones.

    Args:
        found: By tap.
        units: Of those taps.

    Raises:
        ArgumentError: Nothing excites one of the units, or any of the tap's.
    """
    chosen = units or [one for gathering in found.values() for one in gathering.selective(UNITS)]
    rows = [(unit, found[unit.tap].patches(unit.channel)) for unit in chosen]
    idle = [str(unit) for unit, patches in rows if not patches]
    if idle or not rows:
        raise ArgumentError(
            f"none of these pictures excites {', '.join(idle or found)}: take others"
        )
    return rows
