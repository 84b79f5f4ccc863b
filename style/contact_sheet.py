"""A contact sheet: one photograph painted with several values of one or two settings, side by side.

The type is Pillow's own scalable one; every length follows from the size of the cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _GREY, _EMPTY = "#ffffff", "#1c1c1e", "#74747a", "#efeff1"
_LEAST_TYPE, _MOST_TYPE = 12, 32  # px

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A setting that varies over the sheet.

    Attributes:
        name: What it is called.
        labels: Its values in words.
    """

    name: str
    labels: tuple[str, ...]


def contact_sheet(
    cells: Sequence[Sequence[Image.Image | None]],
    columns: Axis,
    rows: Axis | None = None,
    *,
    title: str = "",
    caption: str = "",
) -> Image.Image:
    """Draw a contact sheet.

    Args:
        cells: Pictures, mode RGB, row by row; None leaves a place empty. All of them are shown at
            the size of the largest.
        columns: What varies from left to right, with a label for each column.
        rows: What varies from top to bottom, likewise; None for a sheet of one row.
        title: A line over the sheet.
        caption: A smaller line below that.

    Returns:
        The sheet, mode RGB.

    Raises:
        ValueError: There is no picture.
    """
    pictures = [cell for row in cells for cell in row if cell is not None]
    if not pictures:
        raise ValueError("a contact sheet needs a picture")
    width, height = (max(side) for side in zip(*(cell.size for cell in pictures), strict=True))
    plan = _Plan(
        cells=(width, height), columns=columns, rows=rows, grid=(len(cells[0]), len(cells))
    )
    sheet = Image.new("RGB", plan.size, _PAPER)
    _draw_heading(sheet, plan, title, caption)
    _draw_axes(sheet, plan)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            _draw_cell(sheet, plan, (x, y), cell)
    return sheet


class _Plan:
    """Where everything stands, px."""

    def __init__(
        self,
        *,
        cells: tuple[int, int],
        columns: Axis,
        rows: Axis | None,
        grid: tuple[int, int],
    ) -> None:
        """Lay out `grid` (columns, rows) of `cells` (width, height), px."""
        self.cell, self.columns, self.rows = cells, columns, rows
        self.type = min(max(round(cells[0] / 15), _LEAST_TYPE), _MOST_TYPE)
        self.body = _font(self.type)
        self.large = _font(round(1.5 * self.type))
        self.gap = max(4, self.type // 2)
        self.margin = 2 * self.type
        labels = max((self.body.getlength(text) for text in rows.labels), default=0) if rows else 0
        beside = round(labels) + 3 * self.type if rows else 0  # the name, upright, and the values
        self.heading = round(3.9 * self.type)
        self.left = self.margin + beside
        self.top = self.margin + self.heading + round(3.6 * self.type)
        across = grid[0] * (cells[0] + self.gap) - self.gap
        down = grid[1] * (cells[1] + self.gap) - self.gap
        self.right, self.bottom = self.left + across, self.top + down
        self.size = (self.right + self.margin, self.bottom + self.margin)

    def corner(self, place: tuple[int, int]) -> tuple[int, int]:
        """The upper left corner of a cell, by (column, row)."""
        return (
            self.left + place[0] * (self.cell[0] + self.gap),
            self.top + place[1] * (self.cell[1] + self.gap),
        )


def _draw_heading(sheet: Image.Image, plan: _Plan, title: str, caption: str) -> None:
    """The two lines over the sheet."""
    pen = ImageDraw.Draw(sheet)
    room = plan.right - plan.margin
    at = (plan.margin, plan.margin)
    pen.text(at, _cut(title, plan.large, room), fill=_INK, font=plan.large)
    below = (plan.margin, plan.margin + round(2.1 * plan.type))
    pen.text(below, _cut(caption, plan.body, room), fill=_GREY, font=plan.body)


def _draw_axes(sheet: Image.Image, plan: _Plan) -> None:
    """The names of the settings in grey, their values beside the cells in black."""
    pen = ImageDraw.Draw(sheet)
    width, height = plan.cell
    middle = (plan.left + plan.right) // 2
    name = _cut(plan.columns.name, plan.body, plan.right - plan.left)
    above = plan.top - round(2.2 * plan.type)
    pen.text((middle, above), name, fill=_GREY, font=plan.body, anchor="ms")
    for x, label in enumerate(plan.columns.labels):
        left, top = plan.corner((x, 0))
        text = _cut(label, plan.body, width)
        at = (left + width // 2, top - round(0.6 * plan.type))
        pen.text(at, text, fill=_INK, font=plan.body, anchor="ms")
    if plan.rows is None:
        return
    for y, label in enumerate(plan.rows.labels):
        left, top = plan.corner((0, y))
        at = (left - round(0.7 * plan.type), top + height // 2)
        pen.text(at, label, fill=_INK, font=plan.body, anchor="rm")
    _draw_upright(sheet, plan, plan.rows.name)


def _draw_upright(sheet: Image.Image, plan: _Plan, name: str) -> None:
    """The name of the rows' setting, read from bottom to top, at the left edge."""
    text = _cut(name, plan.body, plan.bottom - plan.top)
    line = Image.new("RGB", (round(plan.body.getlength(text)) + 2, 2 * plan.type), _PAPER)
    at = (line.width // 2, line.height // 2)
    ImageDraw.Draw(line).text(at, text, fill=_GREY, font=plan.body, anchor="mm")
    turned = line.transpose(Image.Transpose.ROTATE_90)
    top = (plan.top + plan.bottom - turned.height) // 2
    sheet.paste(turned, (plan.margin - plan.type // 2, top))


def _draw_cell(
    sheet: Image.Image, plan: _Plan, place: tuple[int, int], cell: Image.Image | None
) -> None:
    """One picture, or the empty place of one."""
    if cell is None:
        left, top = plan.corner(place)
        box = (left, top, left + plan.cell[0] - 1, top + plan.cell[1] - 1)
        ImageDraw.Draw(sheet).rectangle(box, fill=_EMPTY)
        return
    shown = cell if cell.size == plan.cell else cell.resize(plan.cell, Image.Resampling.LANCZOS)
    sheet.paste(shown, plan.corner(place))


def _font(size: int) -> _Font:
    """Pillow's own type at this size, px."""
    return ImageFont.load_default(size)


def _cut(text: str, font: _Font, room: float) -> str:
    """The text, without its end where it is longer than `room`, px."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"
