"""JPEG beyond the pixel limit: whether its decoder can shrink it while it reads, and by how much.

A baseline JPEG of one scan is decoded row by row, and each block of 8×8 can come out as 4×4, 2×2 or
1: a photograph of 200 million pixels then takes no more memory than one of 50 million. A
progressive one, or one of several scans, is held whole before the first pixel comes out.
"""

import io
import struct
from dataclasses import dataclass

from PIL.JpegImagePlugin import JpegImageFile

from .errors import ImageError

MOST_JPEG_PIXELS = 250_000_000
"""The most pixels of a baseline JPEG, of which fewer are read: telephones make 200 million."""

_REDUCTIONS = (2, 4, 8)
_BASELINE = (0xC0, 0xC1)  # sequential, Huffman-coded
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others of that range are tables
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers that nothing follows
_SCAN = 0xDA


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """What a JPEG says of itself before its first scan.

    Attributes:
        width: In pixels.
        height: In pixels.
        in_rows: Whether it can be decoded row by row: it is sequential, and of one scan.
    """

    width: int
    height: int
    in_rows: bool

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height

    def reduction(self, most_pixels: int) -> int:
        """By how much its sides are divided, so that no more pixels than these are left; 1 to 8."""
        for by in (1, *_REDUCTIONS):
            if -(-self.width // by) * -(-self.height // by) <= most_pixels:
                return by
        return _REDUCTIONS[-1]


def jpeg_frame(content: bytes) -> JpegFrame | None:
    """What a JPEG says of itself; None for anything else, and for what is cut off before it."""
    frame: tuple[int, int, int, int] | None = None
    position = 2
    if not content.startswith(b"\xff\xd8"):
        return None
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF or marker in _ALONE:  # fill, or nothing follows it
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        body = content[position + 4 : position + 2 + length]
        if marker in _FRAMES:
            if frame is not None or len(body) < 6:
                return None
            frame = (marker, *struct.unpack(">HHB", body[1:6]))
        elif marker == _SCAN:
            if frame is None or not body:
                return None
            kind, height, width, layers = frame
            return JpegFrame(width, height, kind in _BASELINE and body[0] == layers)
        position += 2 + length
    return None


def open_reduced(content: bytes, frame: JpegFrame, most_pixels: int) -> JpegImageFile:
    """Open a JPEG so that its decoder shrinks it; nothing is decoded yet.

    Args:
        content: The file.
        frame: What it says of itself.
        most_pixels: As many as may come out.

    Raises:
        ImageError: It has more pixels than can be read even so, or cannot be decoded in rows.
    """
    shown = f"it has {frame.width}×{frame.height} pixels"
    if frame.pixels > MOST_JPEG_PIXELS:
        raise ImageError(
            f"{shown}; at most {MOST_JPEG_PIXELS:,} are read of a JPEG: make it smaller"
        )
    if not frame.in_rows:
        raise ImageError(
            f"{shown} in a progressive JPEG, of which at most {most_pixels:,} are read; of a "
            f"baseline one {MOST_JPEG_PIXELS:,}: save it as that, or make it smaller"
        )
    # Not through Image.open, whose own limit is for what is decoded whole.
    image = JpegImageFile(io.BytesIO(content))
    by = frame.reduction(most_pixels)
    image.draft(None, (frame.width // by, frame.height // by))
    if image.width * image.height > most_pixels:
        raise ImageError(f"{shown}; at most {most_pixels:,} are read: make it smaller")
    return image
