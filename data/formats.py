"""The formats in which pictures are read and written, and what each of them can hold."""

from enum import StrEnum

# Pillow knows dozens of formats; each one left out is code that no stranger's file can reach. Its
# JPEG reader takes MPO as well.
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "HEIF"})
"""The formats that are read, in Pillow's words."""

_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}

IMAGE_SUFFIXES: frozenset[str] = frozenset(_FORMAT_OF_SUFFIX)
"""The suffixes, in lower case, by which a picture is known in a folder."""

# Telephones, browsers and chat programs give these one another's names all the time. The others
# stay behind their own names: a .png that is a TIFF was made to reach TIFF's large decoder.
_OFTEN_MISNAMED = frozenset({"JPEG", "PNG", "WEBP", "BMP", "GIF", "HEIF"})

_BEGINNINGS = {
    "TIFF": (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+"),
    "PPM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"Py"),
}
"""How files begin whose formats stay behind their own names."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
"""Suffixes, in lower case, of the formats in which pictures are written."""

_DEEP = frozenset({".png", ".tif", ".tiff"})
_DEEP_BY_ITSELF = frozenset({".tif", ".tiff"})
_OPAQUE = frozenset({".jpg", ".jpeg"})


class Depth(StrEnum):
    """Bits of a channel."""

    EIGHT = "8"
    SIXTEEN = "16"


def holds(suffix: str, depth: Depth) -> bool:
    """Whether a format, by its suffix, has channels of so many bits."""
    return depth is Depth.EIGHT or suffix.lower() in _DEEP


def usual_depth(suffix: str) -> Depth:
    """How deep a format, by its suffix, is written where nothing else is asked for."""
    return Depth.SIXTEEN if suffix.lower() in _DEEP_BY_ITSELF else Depth.EIGHT


def holds_alpha(suffix: str) -> bool:
    """Whether a format, by its suffix, knows transparency."""
    return suffix.lower() not in _OPAQUE


def promised_formats(suffix: str) -> frozenset[str]:
    """What a file of this suffix may hold, in Pillow's words."""
    promised = _FORMAT_OF_SUFFIX.get(suffix.lower())
    if promised is None:
        return FORMATS
    return _OFTEN_MISNAMED if promised in _OFTEN_MISNAMED else frozenset({promised})


def disguised(name: str, content: bytes) -> str | None:
    """The format that a file has and its name does not promise; None for what is often misnamed.

    Args:
        name: What the file is called.
        content: Its bytes, of which only the first are looked at.
    """
    dot = name.rfind(".")
    promised = promised_formats(name[dot:] if dot >= 0 else "")
    for kept, beginnings in _BEGINNINGS.items():
        if kept not in promised and content.startswith(beginnings):
            return kept
    return None
