"""The formats in which pictures are read and written, and what each of them can hold."""

from enum import StrEnum

# Pillow knows dozens of formats; each one left out is code that no stranger's file can reach. Its
# JPEG reader takes MPO as well.
FORMATS = frozenset(
    {"JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "BMP", "TIFF", "PPM", "GIF", "HEIF"}
)
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
    ".avif": "AVIF",
    ".avifs": "AVIF",
    ".jp2": "JPEG2000",
    ".j2k": "JPEG2000",
    ".jpx": "JPEG2000",
    ".jpf": "JPEG2000",
    ".j2c": "JPEG2000",
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
_OFTEN_MISNAMED = frozenset({"JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "HEIF"})

_BEGINNINGS = {
    "JPEG": (b"\xff\xd8",),
    "PNG": (b"\x89PNG",),
    "BMP": (b"BM",),
    "GIF": (b"GIF8",),
    "TIFF": (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+"),
    "PPM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"Py"),
    "JPEG2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
}
"""How files begin, where the first bytes alone tell."""

_IN_CONTAINERS = {  # the bytes from the fourth on, or from the eighth
    "WEBP": (8, (b"WEBP",)),
    "AVIF": (4, (b"ftypavif", b"ftypavis")),
    "HEIF": (4, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")),
}

_WORDS = {"WEBP": "WebP", "HEIF": "HEIC", "JPEG2000": "JPEG 2000", "PPM": "PPM (PNM)"}
_USUAL_ORDER = (
    "JPEG", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM"
)  # fmt: skip

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


def format_word(name: str) -> str:
    """What people call a format."""
    return _WORDS.get(name, name)


def in_words(formats: frozenset[str]) -> str:
    """Some formats as a list for people, the usual ones first."""
    return ", ".join(format_word(name) for name in _USUAL_ORDER if name in formats)


def begins_like(name: str, content: bytes) -> bool:
    """Whether a file begins as those of a format do."""
    if name in _IN_CONTAINERS:
        at, beginnings = _IN_CONTAINERS[name]
        return content[at : at + 8].startswith(beginnings)
    return content.startswith(_BEGINNINGS[name])


def disguised(name: str, content: bytes) -> str | None:
    """The format that a file has and its name does not promise; None for what is often misnamed.

    Args:
        name: What the file is called.
        content: Its bytes, of which only the first are looked at.
    """
    dot = name.rfind(".")
    promised = promised_formats(name[dot:] if dot >= 0 else "")
    for kept in sorted(FORMATS - _OFTEN_MISNAMED - promised):
        if begins_like(kept, content):
            return kept
    return None
