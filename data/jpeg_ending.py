"""A JPEG that lacks nothing but its end marker, told from one that lacks pixels.

A decoder that meets the end of the data too early makes up the rest. So the file is decoded with
different bytes put behind it: where all pixels are there, nothing of that is looked at, and the
pictures are equal; where some are missing, they come out differently.
"""

import io
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

from .pixels import Array

_START, _END = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # in a scan: neither a byte 255 nor a restart
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others of that range are tables
_RESTARTS = tuple(bytes((0xFF, 0xD0 + number)) for number in range(8))
_COEFFICIENTS = 64

# Neither holds a byte 255, and each is the other's opposite: no bit is the same in both.
_FILL = bytes(1 + (number * 73 + 41) % 253 for number in range(256))
_OPPOSITE = bytes(255 - value for value in _FILL)


def ended(content: bytes) -> bytes | None:
    """The same JPEG with the end marker that it lacks.

    Args:
        content: The file.

    Returns:
        None where it is no JPEG, has its end marker, or lacks more than that.
    """
    body = content.rstrip(b"\xff")
    if not content.startswith(_START) or not _has_all_scans(body):
        return None
    whole = body + _END
    try:
        pixels = _pixels(whole)
        fills = (_FILL, _OPPOSITE, _next_restart(body) + _FILL)
        others = (_pixels(body + fill + _END) for fill in fills)
        return whole if all(np.array_equal(pixels, other) for other in others) else None
    except (OSError, SyntaxError, ValueError):
        return None


def _pixels(content: bytes) -> Array:
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        return np.asarray(image)


def _next_restart(content: bytes) -> bytes:
    """The restart marker that comes next in the last scan; without it a decoder skips the rest."""
    last = max(map(content.rfind, _RESTARTS))
    if last < content.rfind(bytes((0xFF, _SCAN))):
        return _RESTARTS[0]
    return _RESTARTS[(content[last + 1] - _RESTARTS[0][1] + 1) % len(_RESTARTS)]


def _has_all_scans(content: bytes) -> bool:
    """Whether each layer's coefficients are all there, to the last bit; and no end marker is.

    Between two scans of a progressive file nothing is missing that its decoder would notice.
    """
    layers = 0
    missing: dict[int, set[int]] = {}
    for marker, body in _segments(content):
        if marker == _END[1]:
            return False
        if marker in _FRAMES and len(body) > 5:
            layers = body[5]
        elif marker == _SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for layer in body[1 : 1 + 2 * body[0] : 2]:
                left = missing.setdefault(layer, set(range(_COEFFICIENTS)))
                if bits & 15 == 0:
                    left -= set(range(first, last + 1))
    return layers > 0 and len(missing) == layers and not any(missing.values())


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker of a JPEG behind the first, and what its segment holds."""
    position = len(_START)
    while found := _MARKER.search(content, position):
        marker = found[1][0]
        length = int.from_bytes(content[found.end() : found.end() + 2], "big")
        yield marker, content[found.end() + 2 : found.end() + length]
        position = found.end() + (0 if marker in (_END[1], 0x01) else max(length, 2))
