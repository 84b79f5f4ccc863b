"""What a picture will take on this machine, told before it is painted: memory, time, tiles.

A small picture is looked at first. What a pixel costs there it costs in a large picture too, for
everything that a network does grows with the pixels.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import torch
from torch import Tensor

from data.errors import ArgumentError

from .config import Optimizer, StyleConfig
from .memory import memory_at_hand, peak_of
from .network import StyleNetwork
from .objective import StyleObjective
from .regions import Area
from .tiling import Cutter

MIN_TILE, MAX_MEMORY = 32, 65_536  # px; GB
_SMALL, _LARGE = 64, 160  # px: sides of the pictures that are looked at before
_SHARE = 0.8  # of the memory at hand that is planned with; the rest is for what is not seen
_FLOAT = 4  # bytes
_PICTURES = {Optimizer.ADAM: 14, Optimizer.LBFGS: 36}
"""How many pictures of three channels there are at a time, in float32, beside what the network
sees: iterate, gradients, moments, averages, photograph; for L-BFGS ten pairs of them as well."""


class TileChoice(StrEnum):
    """Whether a picture is looked at in tiles."""

    AUTO = "auto"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much room there is for painting.

    Attributes:
        tile: Longest side of what the network looks at, px, 32 at least; automatically as large as
            the memory allows; or none, the picture in one piece.
        memory: What may be taken, GB, above 0; None for most of what is at hand.

    Raises:
        ArgumentError: A value is out of its range.
    """

    tile: int | TileChoice = TileChoice.AUTO
    memory: float | None = None

    def __post_init__(self) -> None:
        """Check the values; a choice may be given by its name, a number by its digits."""
        tile: object = self.tile
        if isinstance(tile, str):
            tile = int(tile) if tile.isdecimal() else tile
        if isinstance(tile, str) and tile in set(TileChoice):
            tile = TileChoice(tile)
        elif isinstance(tile, bool | str) or not isinstance(tile, int) or tile < MIN_TILE:
            known = ", ".join(TileChoice)
            raise ArgumentError(
                f"tile must be one of {known}, or a whole number of pixels from {MIN_TILE} on, "
                f"not {self.tile!r}"
            )
        object.__setattr__(self, "tile", tile)
        if self.memory is not None and not 0 < self.memory <= MAX_MEMORY:
            raise ArgumentError(
                f"memory must be a number above 0 to {MAX_MEMORY:,} GB, not {self.memory!r}"
            )

    def limit(self, device: torch.device) -> int:
        """Bytes that may be taken on a device."""
        if self.memory is not None:
            return int(self.memory * 1e9)
        return int(_SHARE * memory_at_hand(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """What one scale will take.

    Attributes:
        size: (H, W), px.
        steps: Steps in this scale.
        tile: Longest side of a tile, px; None: the picture in one piece.
        memory: Bytes at the peak, beyond what the program has now.
        seconds: For all steps.
    """

    size: tuple[int, int]
    steps: int
    tile: int | None
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePlan:
    """What a picture will take.

    Attributes:
        scales: From coarse to fine.
        limit: Bytes that may be taken.
    """

    scales: tuple[ScalePlan, ...]
    limit: int

    @property
    def memory(self) -> int:
        """Bytes at the peak of all scales."""
        return max(scale.memory for scale in self.scales)

    @property
    def seconds(self) -> float:
        """For all scales."""
        return sum(scale.seconds for scale in self.scales)

    def as_json(self) -> dict[str, object]:
        """The same as plain JSON; sizes are [width, height]."""
        scales = [asdict(scale) | {"size": list(scale.size[::-1])} for scale in self.scales]
        return {
            "memory": self.memory,
            "limit": self.limit,
            "seconds": self.seconds,
            "scales": scales,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What painting costs with a network on this machine.

    Attributes:
        held: Bytes a pixel of the picture, whether it is looked at in tiles or not.
        looked: Bytes a pixel of what is looked at at once.
        step: Seconds a pixel for a step.
        look: Seconds a pixel for a look without gradient.
        fixed: Seconds for a step, whatever the size.
    """

    held: float
    looked: float
    step: float
    look: float
    fixed: float


def measure_cost(
    network: StyleNetwork, config: StyleConfig, device: torch.device, *, areas: int = 1
) -> Cost:
    """Look at two small pictures, and see what that takes.

    Args:
        network: What will look at the picture.
        config: Kinds of the losses, optimiser.
        device: Where.
        areas: How many areas there will be.
    """
    least = max(4 * network.stride, network.least_side)  # every tap sees a few places
    small, large = max(_SMALL, least), max(_LARGE, 2 * least)
    trial = _trial(network, config, device, small, areas)
    trial()  # the first time is slower
    first = _seconds(trial, device)
    trial = _trial(network, config, device, large, areas)
    looked = peak_of(trial) / large**2
    second = _seconds(trial, device)
    picture = torch.full((1, 3, large, large), 0.5, device=device)
    with torch.no_grad():
        look = _seconds(lambda: network.extract(picture), device)
        kept = sum(
            it.nbytes for tap, it in network.extract(picture).items() if tap in network.content_taps
        )
    pictures = 3 * _FLOAT * _PICTURES[config.optimizer]
    step = max(second - first, second / 2) / (large**2 - small**2)
    return Cost(
        held=pictures + kept / large**2,
        looked=looked,
        step=step,
        look=min(look / large**2, step),
        fixed=max(0.0, first - step * small**2),
    )


def make_plan(
    schedule: Sequence[tuple[tuple[int, int], int]],
    cost: Cost,
    cutter: Cutter,
    room: Room,
    device: torch.device,
) -> ResourcePlan:
    """Decide about tiles, and add up.

    Args:
        schedule: ((H, W) in px, steps) of each scale, from coarse to fine.
        cost: What this network costs here.
        cutter: Cuts pictures up for this network.
        room: How much there is.
        device: Where.

    Raises:
        ArgumentError: Not even the smallest tiles would fit.
    """
    limit = room.limit(device)
    scales = tuple(_scale(size, steps, cost, cutter, room, limit) for size, steps in schedule)
    plan = ResourcePlan(scales=scales, limit=limit)
    if room.tile is TileChoice.AUTO and plan.memory > limit:
        height, width = schedule[-1][0]
        most = int(max(width, height) * math.sqrt(limit / plan.memory))
        raise ArgumentError(
            f"a picture of {width}×{height} px needs about {plan.memory / 1e9:.1f} GB even in "
            f"tiles, and there are {limit / 1e9:.1f}: choose a smaller size, such as {most}, or "
            "allow more with --memory"
        )
    return plan


def _scale(
    size: tuple[int, int], steps: int, cost: Cost, cutter: Cutter, room: Room, limit: int
) -> ScalePlan:
    """What a scale of `size` (H, W) takes."""
    pixels = size[0] * size[1]
    tile = _tile(size, cost, cutter, room, limit)
    if tile is None:
        most = pixels
        seconds = cost.fixed + cost.step * pixels
    else:
        crops = [it.pixels for it in cutter.overlap.tiles(size, tile)]
        most = max(crops)
        seconds = cost.fixed + (cost.step + cost.look) * sum(crops)
    memory = int(cost.held * pixels + cost.looked * most)
    return ScalePlan(size=size, steps=steps, tile=tile, memory=memory, seconds=steps * seconds)


def _tile(size: tuple[int, int], cost: Cost, cutter: Cutter, room: Room, limit: int) -> int | None:
    """The longest side of the tiles, px; None where the picture is looked at in one piece."""
    if isinstance(room.tile, int):
        return room.tile if max(size) > room.tile else None
    pixels = size[0] * size[1]
    if room.tile is TileChoice.NONE or (cost.held + cost.looked) * pixels <= limit:
        return None
    left = max(0.0, limit - cost.held * pixels)
    return cutter.fitting(math.isqrt(int(left / cost.looked)))


def _trial(
    network: StyleNetwork, config: StyleConfig, device: torch.device, side: int, areas: int
) -> Callable[[], object]:
    """What a step asks of the network, on a grey picture of this side, px."""
    picture = torch.full((1, 3, side, side), 0.5, device=device)
    share = None if areas == 1 else torch.full((1, 1, side, side), 1 / areas, device=device)
    parts = [Area(styles=(picture,), share=share)] * areas
    objective = StyleObjective(network, picture, parts, config)

    def evaluate() -> Tensor:
        leaf = picture.clone().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(leaf)["total"], leaf)
        return gradient

    return evaluate


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long some work takes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
