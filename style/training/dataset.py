"""Photographs in memory, and batches of crops that are drawn from them by number.

What a network for style must understand is not photographs but paintings, and pictures on their
way from one to the other: colours that no camera saw, strokes, noise. So crops are recoloured far
beyond a camera's errors, blurred, sharpened, mixed with one another and covered with noise.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from data.augmentation import Draws, blur, recolour, shrink
from data.errors import DatasetError, ImageError
from data.files import printable, private_folder
from data.images import find_images, load_image, save_image

from ..presets.registry import PRESETS
from .config import StyleDataConfig, StyleTrainingConfig

_LONGEST = 640  # px, as which a photograph is kept in memory
_DRAWN_SIZE = 384  # px a side of a drawn style picture
_MOST_MISSED = 0.2  # of the photographs
_MIXED, _STRANGE, _NOISY, _BLURRED, _COARSE = 0.15, 0.35, 0.35, 0.15, 0.15  # how often
_NOISE = 0.25  # its largest standard deviation
_HELD_OUT_SEED = 20_000_003  # so that the crops kept out are the same for every run


@dataclass(frozen=True, slots=True, eq=False)
class ContentPhotographs:
    """What was read.

    Attributes:
        training: Each (3, H, W) uint8.
        held_out: The same, of photographs that are not trained on.
        missed: Those that could not be used, with the reason.
    """

    training: tuple[Tensor, ...]
    held_out: tuple[Tensor, ...]
    missed: tuple[tuple[Path, str], ...]


def read_photographs(config: StyleDataConfig) -> ContentPhotographs:
    """Read a folder of photographs.

    Args:
        config: Where they are; how many are kept out: every so manyth of the sorted names.

    Raises:
        ArgumentError: There is no such folder.
        DatasetError: It holds too few photographs, or more than a fifth of them cannot be used.
    """
    paths = find_images([config.photographs])
    read, missed = [], []
    for path in paths:
        try:
            read.append(_pixels(path, config))
        except ImageError as error:
            missed.append((path, str(error)))
    shown = printable(config.photographs)
    if len(missed) > _MOST_MISSED * len(paths):
        raise DatasetError(
            f"{len(missed)} of the {len(paths)} photographs in {shown} cannot be used, the first "
            f"because {missed[0][1]}: expected at most a fifth"
        )
    if len(read) <= config.held_out:
        raise DatasetError(
            f"{shown} has {len(read)} usable photographs: expected more than the "
            f"{config.held_out} to be held out"
        )
    kept_out = {round(i * len(read) / config.held_out) for i in range(config.held_out)}
    return ContentPhotographs(
        training=tuple(read[i] for i in range(len(read)) if i not in kept_out),
        held_out=tuple(read[i] for i in sorted(kept_out)),
        missed=tuple(missed),
    )


def _pixels(path: Path, config: StyleDataConfig) -> Tensor:
    """A photograph as (3, H, W) uint8, not larger than need be."""
    image = load_image(path)
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    if min(image.size) < config.least * config.crop:
        raise ImageError(f"{printable(path)} has {image.width}×{image.height} px, too few to crop")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def drawn_styles(config: StyleTrainingConfig) -> list[Tensor]:
    """Pictures drawn by this application, each (3, H, W) uint8; kept in the run's folder.

    Args:
        config: How many variants of each preset.
    """
    folder = config.out / "styles"
    found = []
    for preset in PRESETS:
        for variant in range(config.data.drawn):
            path = folder / f"{preset.name}-{variant}.png"
            if not path.is_file():
                private_folder(folder)
                save_image(preset.draw(_DRAWN_SIZE, seed=preset.seed + variant), path)
            found.append(torch.from_numpy(np.array(load_image(path))).permute(2, 0, 1))
    return found


def generator(seed: int, *place: object) -> torch.Generator:
    """A generator for one place in a run, such as a step; it follows from the seed alone."""
    text = "/".join(map(str, (seed, *place)))
    return torch.Generator().manual_seed(zlib.crc32(text.encode()))


def cut(
    photographs: tuple[Tensor, ...], config: StyleDataConfig, source: torch.Generator
) -> Tensor:
    """Squares from photographs drawn at random, of any size and place, half of them mirrored.

    Args:
        photographs: Each (3, H, W) uint8.
        config: How many, and their side in pixels.
        source: Draws.

    Returns:
        (batch, 3, crop, crop) float32 in [0, 1].
    """
    chosen = torch.randint(len(photographs), (config.batch,), generator=source).tolist()
    draws = torch.rand(config.batch, 4, generator=source).tolist()
    squares = [
        square(photographs[number], config, *drawn)
        for number, drawn in zip(chosen, draws, strict=True)
    ]
    return torch.cat(squares)


def square(
    photograph: Tensor, config: StyleDataConfig, size: float, top: float, left: float, mirror: float
) -> Tensor:
    """One square (1, 3, crop, crop) in [0, 1]; the four numbers in [0, 1) say which."""
    _, height, width = photograph.shape
    widest = min(height, width)
    side = round(config.least * config.crop * (widest / (config.least * config.crop)) ** size)
    y, x = int(top * (height - side + 1)), int(left * (width - side + 1))
    part = photograph[None, :, y : y + side, x : x + side].float().div_(255)
    wanted = (config.crop, config.crop)
    part = F.interpolate(part, wanted, mode="bilinear", align_corners=False, antialias=True)
    return part.flip(3) if mirror < 0.5 else part


def estrange(squares: Tensor, source: torch.Generator) -> Tensor:
    """Change pictures further than any camera would, each in another way.

    Args:
        squares: (B, 3, H, W) in [0, 1].
        source: Draws.

    Returns:
        (B, 3, H, W) in [0, 1], new.
    """
    draws = Draws(len(squares), source)
    changed = _recoloured(squares, draws)
    mixed = draws.chosen("mixed", _MIXED)
    share = draws.shares("share")[mixed].view(-1, 1, 1, 1)
    changed[mixed] = changed[mixed].lerp(changed[mixed - 1], share)
    blur(changed, draws, probability=_BLURRED, sigma=2.0)
    shrink(changed, draws, probability=_COARSE, least=0.3)
    noisy = draws.chosen("noisy", _NOISY)
    noise = torch.randn(len(noisy), *squares.shape[1:], generator=draws.stream("noise"))
    strength = draws.shares("strength")[noisy].view(-1, 1, 1, 1).square()
    changed[noisy] += _NOISE * strength * noise
    return changed.clamp_(0, 1)


def recoloured(squares: Tensor, source: torch.Generator) -> Tensor:
    """Pictures (B, 3, H, W) in other colours, many in strange ones, and otherwise as they are."""
    return _recoloured(squares, Draws(len(squares), source)).clamp_(0, 1)


def _recoloured(squares: Tensor, draws: Draws) -> Tensor:
    changed = recolour(
        squares, draws, brightness=0.4, contrast=0.5, saturation=0.8, grey=0.08, pca_colour=0.5
    ).clone()
    _colour_strangely(changed, draws)
    return changed


def _colour_strangely(pictures: Tensor, draws: Draws) -> None:
    """Turn the colours of some pictures about the middle grey, and shift them, in place."""
    chosen = draws.chosen("strange", _STRANGE)
    random = torch.randn(len(chosen), 3, 3, generator=draws.stream("turn"))
    turn, _ = torch.linalg.qr(random)  # (n, 3, 3), orthogonal
    shift = torch.rand(len(chosen), 3, 1, generator=draws.stream("shift")).sub_(0.5).mul_(0.4)
    flat = pictures[chosen].flatten(2) - 0.5  # (n, 3, H*W)
    turned = turn @ flat + 0.5 + shift
    pictures[chosen] = turned.view(len(chosen), *pictures.shape[1:]).clamp_(0, 1)


def held_out_batches(photographs: ContentPhotographs, config: StyleDataConfig) -> list[Tensor]:
    """The same squares for every run: the middle of each photograph that is kept out.

    Half of them are changed as training's are, since paintings are what counts.
    """
    squares = [square(each, config, 0.6, 0.5, 0.5, 0.9) for each in photographs.held_out]
    batches = list(torch.split(torch.cat(squares), config.batch))
    source = generator(_HELD_OUT_SEED)
    return [
        estrange(batch, source) if number % 2 else batch for number, batch in enumerate(batches)
    ]
