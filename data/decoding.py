"""A stranger's bytes to upright RGB; every limit is checked before pixels are touched."""

import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from PIL import ExifTags, Image, UnidentifiedImageError

from .distribution import install_command
from .errors import AppError, ImageError
from .file_kinds import kind_of
from .files import printable
from .formats import FORMATS, begins_like, format_word, in_words
from .jpeg_ending import ended
from .large_jpeg import jpeg_frame, open_reduced
from .modes import to_rgb
from .pixels import Pixels, read_deep, to_pixels

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
