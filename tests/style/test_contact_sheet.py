"""The contact sheet: every cell whole and in its place, labels beside them, nothing over them."""

import numpy as np
import pytest
from PIL import Image

from style.contact_sheet import Axis, contact_sheet

COLOURS = [[(200, 40 * x, 40 * y) for x in range(4)] for y in range(3)]
COLUMNS = Axis(name="strength", labels=("0.2", "0.4", "0.6", "0.8"))
ROWS = Axis(name="style scale", labels=("0.5", "1", "a label that is long"))


def cells(width: int, height: int) -> list[list[Image.Image | None]]:
    return [[Image.new("RGB", (width, height), colour) for colour in row] for row in COLOURS]


def place(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what has this colour."""
    y, x = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


@pytest.mark.parametrize("size", [(64, 48), (256, 192), (40, 300)])
def test_every_cell_is_there_whole_and_in_order(size: tuple[int, int]) -> None:
    sheet = contact_sheet(cells(*size), COLUMNS, ROWS, title="A" * 500, caption="b")
    boxes = [[place(sheet, colour) for colour in row] for row in COLOURS]
    for row in boxes:
        for left, top, right, bottom in row:
            assert (right - left, bottom - top) == size
    corners = [[box[:2] for box in row] for row in boxes]
    assert all(len({left for left, _ in column}) == 1 for column in zip(*corners, strict=True))
    assert all(len({top for _, top in row}) == 1 for row in corners)
    assert [x for x, _ in corners[0]] == sorted({x for x, _ in corners[0]})
    pixels = np.asarray(sheet)
    assert sum((pixels == c).all(axis=2).sum() for row in COLOURS for c in row) == 12 * np.prod(
        size
    )


def test_the_margins_stay_white_and_the_labels_are_dark() -> None:
    sheet = contact_sheet(cells(64, 48), COLUMNS, ROWS, title="A" * 500, caption="c" * 500)
    pixels = np.asarray(sheet.convert("L"))
    edge = 8
    for side in (pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:]):
        assert (side == 255).all()
    left, top, *_ = place(sheet, COLOURS[0][0])
    assert pixels[:top].min() < 80
    assert pixels[top:, :left].min() < 80


def test_an_empty_place_is_grey_and_cells_of_other_sizes_are_scaled() -> None:
    grid = cells(64, 48)
    grid[2][3] = None
    grid[0][0] = Image.new("RGB", (32, 24), COLOURS[0][0])
    sheet = contact_sheet(grid, COLUMNS, ROWS)
    left, top, right, bottom = place(sheet, COLOURS[0][0])
    assert (right - left, bottom - top) == (64, 48)
    column, row = place(sheet, COLOURS[0][3])[0], place(sheet, COLOURS[2][0])[1]
    assert sheet.getpixel((column + 5, row + 5)) == (239, 239, 241)


def test_one_setting_makes_one_row() -> None:
    sheet = contact_sheet(cells(64, 48)[:1], COLUMNS)
    assert sheet.height < contact_sheet(cells(64, 48)[:2], COLUMNS, ROWS).height
    with pytest.raises(ValueError, match="needs a picture"):
        contact_sheet([[None]], COLUMNS)
