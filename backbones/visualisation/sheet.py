"""Pictures of what a network sees: rows of small images with a line of text each, on white."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data.images import to_image

_MARGIN = 18
_GAP = 8
_TEXT, _FAINT = (34, 34, 34), (110, 110, 110)
_TITLE_SIZE, _LABEL_SIZE = 19, 13
_TEXT_LINE = _LABEL_SIZE + 6

# Matplotlib's `inferno`, and a diverging scale of blue, white and red, at even steps.
_HEAT = (
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
    (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164),
)  # fmt: skip
_SIGNED = (
    (33, 102, 172), (103, 169, 207), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (239, 138, 98), (178, 24, 43),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One small image.

    Attributes:
        image: (3, h, w) float32, 0 … 1.
        label: What stands below it; empty: nothing.
    """

    image: Tensor
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """Cells side by side.

    Attributes:
        cells: From left to right; they may be too many for a line, and go on in the next.
        label: What stands above them; empty: nothing.
    """

    cells: Sequence[Cell]
    label: str = ""


def sheet(
    title: str, rows: Sequence[SheetRow], *, side: int, columns: int, note: str = ""
) -> Image.Image:
    """Draw a sheet.

    Args:
        title: At the top.
        rows: Below it.
        side: Of the square that each image is fitted into, px.
        columns: Cells in a line, at most.
        note: Small, at the foot.
    """
    title_font, font = (ImageFont.load_default(size) for size in (_TITLE_SIZE, _LABEL_SIZE))
    lines = [line for row in rows for line in _lines(row, side, columns)]
    texts = [(title, title_font), (note, font), *((line.label, font) for line in lines)]
    width = max(
        *(_MARGIN + int(shown.getlength(text)) + _MARGIN for text, shown in texts),
        *(2 * _MARGIN + len(line.pictures) * (side + _GAP) - _GAP for line in lines),
    )
    top = _MARGIN + _TITLE_SIZE + 2 * _GAP
    height = top + sum(line.height for line in lines) + (_TEXT_LINE + _GAP) * bool(note) + _GAP
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN - 4), title, fill=_TEXT, font=title_font)
    y = top
    for line in lines:
        if line.label:
            draw.text((_MARGIN, y), line.label, fill=_TEXT, font=font)
        above = y + _TEXT_LINE * bool(line.label)
        for place, (picture, label) in enumerate(line.pictures):
            x = _MARGIN + place * (side + _GAP)
            left, lower = (side - picture.width) // 2, (line.tallest - picture.height) // 2
            canvas.paste(picture, (x + left, above + lower))
            draw.text((x, above + line.tallest + 3), label, fill=_FAINT, font=font)
        y += line.height
    draw.text((_MARGIN, y), note, fill=_FAINT, font=font)
    return canvas


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A row, or as much of it as stands in one line."""

    label: str
    pictures: Sequence[tuple[Image.Image, str]]

    @property
    def tallest(self) -> int:
        return max(picture.height for picture, _ in self.pictures)

    @property
    def height(self) -> int:
        texts = bool(self.label) + any(label for _, label in self.pictures)
        return texts * _TEXT_LINE + self.tallest + _GAP


def _lines(row: SheetRow, side: int, columns: int) -> Iterator[_Line]:
    pictures = [(_fitted(cell.image, side), cell.label) for cell in row.cells]
    for first in range(0, len(pictures), columns):
        yield _Line("" if first else row.label, pictures[first : first + columns])


def heat(values: Tensor) -> Tensor:
    """A map in colours from black over red to yellow: (h, w) → (3, h, w).

    Its smallest number is black, or 0 where it has none below; its largest is yellow.
    """
    low = min(0.0, float(values.min()))
    return _coloured((values - low) / max(float(values.max()) - low, 1e-12), _HEAT)


def signed(values: Tensor, most: float | None = None) -> Tensor:
    """A map in blue below 0, white at 0 and red above: (h, w) → (3, h, w).

    Args:
        values: The map.
        most: The size that has the full colour; None: that of the largest number.
    """
    most = max(float(values.abs().max()) if most is None else most, 1e-12)
    return _coloured((values / most).clamp(-1, 1) / 2 + 0.5, _SIGNED)


def overlay(
    image: Tensor, values: Tensor, *, both_signs: bool = False, most: float | None = None
) -> Tensor:
    """A map laid over its image, the stronger the less of the image is left.

    Args:
        image: (3, H, W) float32, 0 … 1.
        values: (H, W).
        both_signs: Whether numbers below 0 mean something.
        most: The size that has the full colour; None: that of the largest number.
    """
    grey = image.mean(dim=0, keepdim=True).expand_as(image) * 0.8 + 0.1
    strength = values.abs() if both_signs else values.clamp_min(0)
    most = max(float(strength.max()) if most is None else most, 1e-12)
    share = (strength / most).clamp_max(1).pow(0.7) * 0.75
    colours = signed(values, most) if both_signs else heat(values)
    return grey * (1 - share) + colours * share


def projection(values: Tensor) -> Tensor:
    """A signal in the space of pixels, about mid-grey: (3, h, w) → (3, h, w), 0 … 1."""
    strength = values.abs().flatten()
    strength = strength[strength > 0.01 * strength.max()]
    # A few pixels are far stronger than all others: they are cut off.
    most = float(torch.quantile(strength, 0.98)) if len(strength) else 1.0
    return (values / max(most, 1e-12)).clamp(-1, 1) / 2 + 0.5


def _coloured(share: Tensor, scale: Sequence[tuple[int, int, int]]) -> Tensor:
    """0 … 1 by a scale of colours: (h, w) → (3, h, w)."""
    steps = torch.tensor(scale, dtype=torch.float32).T / 255  # (3, S)
    place = share.float().clamp(0, 1) * (len(scale) - 1)
    below = place.floor().long().clamp_max(len(scale) - 2)
    part = place - below
    return steps[:, below] * (1 - part) + steps[:, below + 1] * part


def _fitted(image: Tensor, side: int) -> Image.Image:
    """The image, as large as fits into a square; cells of small maps stay squares."""
    height, width = image.shape[-2:]
    factor = side / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if factor > 3:
        grown = F.interpolate(image[None].float(), size, mode="nearest")[0]
    else:
        grown = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
    return to_image(grown.clamp(0, 1))
