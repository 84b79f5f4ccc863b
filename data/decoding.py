"""A stranger's bytes → upright RGB, every limit checked first."""

import io
import logging
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from .distribution import install_command
from .errors import AppError, ImageError
from .files import printable
from .formats import FORMATS, begins_like, format_word, in_words
from .modes import to_rgb
from .pixels import Array, Pixels, read_deep, to_pixels

# What a file is that is no picture, or none that is read: told by how it begins, in words.
#
# Only the first bytes are looked at, and nothing is decoded; who wonders why a file is refused
# reads "it is a web page" sooner than a list of formats.

_LOOKED_AT = 1024  # bytes of a file

_FETCH_AGAIN = "fetch the picture itself"
_SAVE_AS = "save it as JPEG or PNG"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that is not read as a picture.

    Attributes:
        what: In words, with its article.
        is_picture: Whether it is a picture all the same, of a kind that is not read.
        advice: What to do.
    """

    what: str
    is_picture: bool
    advice: str

    @property
    def refusal(self) -> str:
        """Why it is refused, as the second half of a sentence."""
        why = "which is not read" if self.is_picture else "not a picture"
        return f"it is {self.what}, {why}: {self.advice}"


def kind_of(content: bytes) -> FileKind | None:
    """What a file is, where that can be told; None for pictures that are read, and the unknown.

    Args:
        content: Its bytes, of which only the first are looked at.
    """
    head = content[:_LOOKED_AT]
    if head and not head.strip(b"\0") and not content.strip(b"\0"):
        return FileKind("nothing but zero bytes", False, "its download was cut off: fetch it again")
    for kind, fits in _KINDS:
        if fits(head):
            return kind
    return _as_text(head)


def _begins(*beginnings: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(beginnings)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Whether it is a container of ISO's media formats whose first brand is one of these."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12].startswith(brands)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    """Whether it begins with this, after blanks and a byte order mark; case does not count."""
    compiled = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:" + pattern + rb")", re.IGNORECASE | re.DOTALL)
    return lambda head: compiled.match(head) is not None


def _picture(what: str, advice: str = _SAVE_AS) -> FileKind:
    return FileKind(what, True, advice)


def _other(what: str, advice: str = _FETCH_AGAIN) -> FileKind:
    return FileKind(what, False, advice)


_POINTER = "a pointer to a file that is kept elsewhere"
_SVG = _picture("a drawing (SVG)", "save it as PNG")
_WEB_PAGE = _other("a web page", "open its address in a browser, and save the picture itself")
_VIDEO = _other("a video", "save one frame of it as JPEG or PNG")
_SOUND = _other("a sound file")
_ARCHIVE = _other("an archive", "unpack it first")
_DOCUMENT = _other("a document", "save the picture in it as JPEG or PNG")

_KINDS: tuple[tuple[FileKind, Callable[[bytes], bool]], ...] = (
    (
        _other(f"{_POINTER} (Git LFS)", "fetch it with `git lfs pull`"),
        _begins(b"version https://git-lfs", b"version https://hawser"),
    ),
    (
        _other(f"{_POINTER} (git-annex)", "fetch it with `git annex get`"),
        _matches(rb"[./\\]*(?:\.git/|/)annex/objects/"),
    ),
    (_other("a shortcut", "name the file that it leads to"), _begins(b"L\0\0\0\x01\x14\x02\0")),
    (
        _other("a shortcut", "name the file that it leads to"),
        _matches(rb"\[(?:InternetShortcut|Desktop Entry)\]"),
    ),
    (
        _other("the part of a file that macOS keeps beside it", "name the file without `._`"),
        _begins(b"\0\x05\x16\x07", b"\0\x05\x16\0"),
    ),
    (_picture("an icon (ICO)", "save it as PNG"), _begins(b"\0\0\1\0")),
    (_picture("a pointer's picture (CUR)", "save it as PNG"), _begins(b"\0\0\2\0")),
    (_picture("an icon (ICNS)", "save it as PNG"), _begins(b"icns")),
    (_picture("a Photoshop picture (PSD)"), _begins(b"8BPS")),
    (_picture("a GIMP picture (XCF)"), _begins(b"gimp xcf")),
    (
        _picture("a JPEG XL picture"),
        _begins(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ),
    (_picture("a JPEG XR picture"), _begins(b"II\xbc\x01")),
    (_picture("a camera's raw picture (RAF)"), _begins(b"FUJIFILMCCD-RAW")),
    (_picture("a camera's raw picture (RW2)"), _begins(b"IIU\0")),
    (_picture("a camera's raw picture (ORF)"), _begins(b"IIRO", b"IIRS", b"MMOR")),
    (_picture("a camera's raw picture (CR3)"), _brand(b"crx ")),
    (_picture("an OpenEXR picture"), _begins(b"v/1\x01")),
    (_picture("a Radiance picture (HDR)"), _begins(b"#?RADIANCE", b"#?RGBE")),
    (_picture("a texture (DDS)"), _begins(b"DDS ")),
    (_picture("a QOI picture"), _begins(b"qoif")),
    (_picture("a FITS picture"), _begins(b"SIMPLE  =")),
    (_picture("a medical picture (DICOM)"), _begins(b"DICM", at=128)),
    (_picture("a DjVu document"), _begins(b"AT&TFORM")),
    (_picture("a metafile (EMF)"), _begins(b" EMF", at=40)),
    (_picture("a metafile (WMF)"), _begins(b"\xd7\xcd\xc6\x9a")),
    (
        _picture("a PostScript page (EPS)", "save it as PNG"),
        _begins(b"%!PS", b"\xc5\xd0\xd3\xc6"),
    ),
    (_other("a PDF document", "save its picture as JPEG or PNG"), _matches(rb"%PDF-")),
    (_SVG, _matches(rb"(?:<\?xml.{0,600}?|<!--.{0,600}?-->\s*)?(?:<!DOCTYPE svg.{0,400}?)?<svg")),
    (
        _WEB_PAGE,
        _matches(
            rb"(?:<\?xml.{0,200}?>\s*)?(?:<!--.{0,600}?-->\s*)?"
            rb"<(?:!doctype html|html|head|body|script|title|meta|iframe|div|p|h1|table|a)\b"
        ),
    ),
    (_other("the answer of a web server", "fetch the picture again"), _matches(rb"HTTP/\d")),
    (_VIDEO, _brand(b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp4", b"M4V", b"qt", b"3g")),
    (_VIDEO, _brand(b"avc1", b"dash", b"MSNV", b"f4v")),
    (_SOUND, _brand(b"M4A", b"M4B")),
    (_VIDEO, _begins(b"moov", b"mdat", b"wide", b"free", at=4)),
    (
        _VIDEO,
        _begins(b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3", b"0&\xb2u\x8ef\xcf"),
    ),
    (_VIDEO, lambda head: head.startswith(b"RIFF") and head[8:12] == b"AVI "),
    (_SOUND, lambda head: head.startswith(b"RIFF") and head[8:12] == b"WAVE"),
    (_SOUND, _begins(b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"#!AMR", b"MThd")),
    (
        _DOCUMENT,
        lambda head: head.startswith(b"PK\3\4") and (b"word/" in head or b"[Content" in head),
    ),
    (_DOCUMENT, _begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf")),
    (
        _ARCHIVE,
        _begins(
            b"PK\3\4",
            b"PK\5\6",
            b"\x1f\x8b",
            b"BZh",
            b"\xfd7zXZ\0",
            b"7z\xbc\xaf'\x1c",
            b"Rar!",
            b"(\xb5/\xfd",
        ),
    ),
    (_ARCHIVE, _begins(b"ustar", at=257)),
    (_other("a database (SQLite)"), _begins(b"SQLite format 3\0")),
    (
        _other("a program"),
        _begins(
            b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!/", b"#! /", b"\0asm"
        ),
    ),
    (_other("a font"), _begins(b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0\0")),
    (_other("a NumPy array", "make a picture of it first"), _begins(b"\x93NUMPY")),
    (_other("a pickle, which is never opened"), _begins(b"\x80\x02", b"\x80\x03", b"\x80\x04")),
    (_other("an XML file"), _matches(rb"<\?xml")),
    (_other("a JSON file"), _matches(rb'[\[{]\s*(?:["\[{\]}]|-?\d)')),
)


def _as_text(head: bytes) -> FileKind | None:
    """Text of any kind; not what may be a picture in text, whose decoder says what is wrong."""
    if not head or re.match(rb"P[1-7fFy]\s", head):
        return None
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else a character was cut in the middle
            return None
        text = head[: error.start].decode("utf-8-sig")
    if (
        text.isascii()
        and not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    ):
        return None
    return _other("a text file") if len(text) >= 4 and any(map(str.isalpha, text)) else None


# A JPEG that lacks nothing but its end marker, told from one that lacks pixels.
#
# A decoder that meets the end of the data too early makes up the rest. So the file is decoded
# with different bytes put behind it: where all pixels are there, nothing of that is looked at,
# and the pictures are equal; where some are missing, they come out differently.

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


# JPEG beyond the pixel limit: whether its decoder can shrink it while it reads, and by how much.
#
# A baseline JPEG of one scan is decoded row by row, and each block of 8×8 can come out as 4×4,
# 2×2 or 1: a photograph of 200 million pixels then takes no more memory than one of 50 million. A
# progressive one, or one of several scans, is held whole before the first pixel comes out.

MOST_JPEG_PIXELS = 250_000_000
"""The most pixels of a baseline JPEG, of which fewer are read: telephones make 200 million."""

_REDUCTIONS = (2, 4, 8)
_BASELINE = (0xC0, 0xC1)  # sequential, Huffman-coded
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers that nothing follows


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


# A stranger's bytes to upright RGB; every limit is checked before pixels are touched.

_Result = TypeVar("_Result")

MAX_PIXELS = 50_000_000
"""The most pixels that a picture is decoded to: about 7,000 × 7,000.

Only a baseline JPEG may have more, up to `MOST_JPEG_PIXELS`: its sides are halved until it fits.
"""

MIN_SIDE = 8
"""Pixels that width and height must have at least."""

TOO_MUCH_MEMORY = "decoding it takes more memory than it may; make it smaller, or save it again"

ANIMATED = "it is animated: its first frame was taken"
PAGES = "it has several pages: the first was taken"
OTHERS = "it holds several pictures: the main one was taken"
NO_END = "it lacks its end marker, as after a copy that was cut off; its pixels are all there"

Warn = Callable[[str], None]
"""Told what is odd about a picture that is read all the same: the second half of a sentence."""

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SEQUENCE_BRANDS = frozenset({b"hevc", b"hevx", b"msf1"})
_LONGEST_BRANDS = 128  # bytes of a container's beginning

# What EXIF's eight orientations ask for; anything else means upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_WARNING_FILTERS = threading.Lock()

# What Pillow logs about a broken file would reach the user beside the one line of our own.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def unheard(warning: str) -> None:
    """Take no notice of what is odd about a picture."""


def decode(
    content: bytes,
    *,
    formats: Iterable[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    warn: Warn = unheard,
) -> Image.Image:
    """Decode one picture safely; of an animation, or of several pages, the first.

    Args:
        content: A file's bytes.
        formats: Which of `FORMATS` it may be; no other's decoder sees the bytes.
        max_pixels: The most pixels to decode, at most `MAX_PIXELS`.

        warn: Told what is odd about a picture that is read.

    Returns:
        The picture: mode RGB, 8 bit, upright, without metadata. Of a baseline JPEG with more pixels
        than `MAX_PIXELS` half, a quarter or an eighth of each side.

    Raises:
        ImageError: Why it is refused, as the second half of a sentence.
    """
    return _decoded(content, formats, max_pixels, _as_image, warn)


def decode_pixels(
    content: bytes,
    *,
    formats: Iterable[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    warn: Warn = unheard,
) -> Pixels:
    """Decode one picture safely, with all of its bits and its transparency; else as `decode`."""
    return _decoded(content, formats, max_pixels, _as_pixels, warn)


def _decoded(
    content: bytes,
    formats: Iterable[str],
    max_pixels: int,
    convert: Callable[[Image.Image | Pixels], _Result],
    warn: Warn,
) -> _Result:
    """Decode and convert one picture; whatever goes wrong is an `ImageError`."""
    readers = sorted(set(formats) - {"HEIF"})
    max_pixels = min(max_pixels, MAX_PIXELS)
    if not content:
        raise ImageError("it is empty; expected a picture: fetch it again")
    try:
        with _quiet():
            if _is_heic(content) and "HEIF" in formats:
                return convert(_read_heic(content, max_pixels, warn))
            try:
                return _read(content, readers, max_pixels, convert, warn)
            except OSError:
                # It may be a JPEG whose pixels are all there; what is damaged is refused as before.
                whole = ended(content) if "JPEG" in readers else None
                if whole is None:
                    raise
                read = _read(whole, readers, max_pixels, convert, warn)
                warn(NO_END)
                return read
    except AppError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(_unidentified(content, frozenset(formats))) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"it has too many pixels; at most {max_pixels:,} are read: make it smaller"
        ) from error
    except MemoryError as error:
        raise ImageError(TOO_MUCH_MEMORY) from error
    # Decoders meet a stranger's bytes here, and raise anything from struct.error to SystemError.
    except Exception as error:
        raise ImageError(
            f"it is damaged ({printable(str(error).strip()) or type(error).__name__}); "
            "expected a whole picture: fetch it again"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's remarks on odd metadata; a decompression bomb is an error.

    Warning filters belong to the whole process: hence the lock, and one picture at a time.
    """
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _as_image(read: Image.Image | Pixels) -> Image.Image:
    return read.image() if isinstance(read, Pixels) else to_rgb(read)


def _as_pixels(read: Image.Image | Pixels) -> Pixels:
    return read if isinstance(read, Pixels) else to_pixels(read)


def _read(
    content: bytes,
    readers: list[str],
    max_pixels: int,
    convert: Callable[[Image.Image | Pixels], _Result],
    warn: Warn,
) -> _Result:
    """Convert the upright picture: as Pillow has it, or its pixels where Pillow would cut bits."""
    with _opened(content, readers, max_pixels) as image:
        _check_size(image.size, max_pixels)
        odd = _several(image)
        if image.format == "PNG":
            _check_sums(content)
        # A PNG may tell its orientation after the pixels; a TIFF is turned while it is loaded.
        deep, early = read_deep(content, image), _turn(image)
        image.load()
        late = _turn(image)
        if deep:
            read = convert(deep.turned(late if early is None else early))
        else:
            read = convert(image if late is None else _turned(image, late))
    if odd is not None:
        warn(odd)
    return read


def _several(image: Image.Image) -> str | None:
    """What is to be said of a picture that is one of several in its file, if anything is.

    A camera's MPO holds other views of the same moment, or a map of its depth: nothing is missed.
    """
    try:
        several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # whatever follows the first frame is damaged, and is not looked at
        return None
    if not several:
        return None
    return PAGES if image.format == "TIFF" else ANIMATED


def _unidentified(content: bytes, formats: frozenset[str]) -> str:
    """Why a file is refused that none of the decoders it may go to knows."""
    expected = f"expected {in_words(formats)}"
    own = next((name for name in sorted(FORMATS) if begins_like(name, content)), None)
    if own is not None and own not in formats:
        return f"it is {format_word(own)}, not what its name says: rename it, or save it again"
    found = kind_of(content)
    if found is not None:
        return found.refusal
    if own is not None:
        return f"it begins like {format_word(own)}, and is damaged; {expected}: fetch it again"
    return f"it is no picture that can be read; {expected}"


def _opened(content: bytes, readers: list[str], max_pixels: int) -> Image.Image:
    """A picture whose pixels are not decoded yet; a very large JPEG is going to be reduced."""
    frame = jpeg_frame(content) if "JPEG" in readers else None
    if frame is not None and frame.pixels > MAX_PIXELS and frame.reduction(max_pixels) > 1:
        _check_size((frame.width, frame.height), frame.pixels)
        return open_reduced(content, frame, max_pixels)
    return Image.open(io.BytesIO(content), formats=readers)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"it has {width}×{height} pixels; each side needs at least {MIN_SIDE}")
    if width * height > max_pixels:
        raise ImageError(
            f"it has {width}×{height} pixels; at most {max_pixels:,} are read: make it smaller"
        )


def _check_sums(content: bytes) -> None:
    """Compare the checksum of each chunk of a PNG; decoding alone skips those of the pixels."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        image.verify()


def upright(image: Image.Image) -> Image.Image:
    """A picture turned as its EXIF says; itself where it says nothing."""
    turn = _turn(image)
    return image if turn is None else _turned(image, turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What EXIF asks for; metadata that cannot be read asks for nothing."""
    try:
        return _UPRIGHT[image.getexif()[ExifTags.Base.Orientation]]
    except Exception:  # upright already, or junk, which is no reason to refuse the pixels
        return None


def _turned(image: Image.Image, turn: Image.Transpose) -> Image.Image:
    turned = image.transpose(turn)
    turned.format = image.format
    return turned


def _is_heic(content: bytes) -> bool:
    """Whether it is a container of HEIC; AVIF lies in the same kind of container."""
    end = min(int.from_bytes(content[:4], "big"), _LONGEST_BRANDS)
    brands = {content[8:12], *(content[at : at + 4] for at in range(16, end - 3, 4))}
    is_one = content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS
    return is_one and not brands & _AVIF_BRANDS


def _read_heic(content: bytes, max_pixels: int, warn: Warn) -> Image.Image:
    try:
        import pi_heif
    except ImportError as error:
        raise ImageError(
            "it is HEIC, whose reader is not installed; install it with "
            f"{install_command('heic')}, or save the picture as JPEG"
        ) from error
    heif = pi_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True)
    _check_size(heif.size, max_pixels)
    # The container's own rotation counts, and has been applied; EXIF's is a copy of it.
    picture: Image.Image = heif.to_pillow()
    if len(heif) > 1:
        warn(ANIMATED if content[8:12] in _SEQUENCE_BRANDS else OTHERS)
    return picture
