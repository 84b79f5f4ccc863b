"""A picture's pixels with all of their bits and their transparency, beside what Pillow keeps.

Pillow cuts a picture of 16-bit colours to 8. PNG and TIFF of that kind are therefore decoded once
more, by libpng and by tifffile, after Pillow has found nothing wrong with them.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from .errors import ImageError
from .modes import DEEP_MODES, float_values, integer_values, straight_alpha, to_rgb

Array = np.ndarray[Any, Any]

_PNG_DEPTH, _PNG_COLOURS = 24, 25  # where a PNG's header says them
_GREY_ALPHA, _RGB, _RGBA = 4, 2, 6  # PNG's words for what a pixel consists of
_SAMPLES, _DEPTHS, _PHOTOMETRIC, _EXTRA = 277, 258, 262, 338  # TIFF's tags
_ROWS = 64
_PREMULTIPLIED, _STRAIGHT = 1, 2  # TIFF's words for a fourth channel that is alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The pixels of one picture.

    Attributes:
        colours: (H, W, 3), uint8 or uint16 over its whole range, sRGB, not multiplied by alpha.
        alpha: (H, W) of the same type, 0 for what is transparent; None where nothing is.
    """

    colours: Array
    alpha: Array | None = None

    def turned(self, turn: Image.Transpose | None) -> "Pixels":
        """The picture turned or mirrored."""
        if turn is None:
            return self
        colours = [_turned(self.colours[..., channel], turn) for channel in range(3)]
        alpha = None if self.alpha is None else _turned(self.alpha, turn)
        return Pixels(colours=np.stack(colours, axis=-1), alpha=alpha)

    def image(self) -> Image.Image:
        """The picture as Pillow has it: mode RGB, 8 bit, on white where it is transparent."""
        most = np.iinfo(self.colours.dtype).max
        seen = np.empty(self.colours.shape, np.uint8)
        for rows in _strips(self.colours):
            shown: Array = self.colours[rows].astype(np.float32)
            if self.alpha is not None:
                opacity = self.alpha[rows, :, None].astype(np.float32) / most
                shown = shown * opacity + most * (1 - opacity)
            seen[rows] = np.rint(shown * (255 / most))
        return Image.fromarray(seen)


def to_pixels(image: Image.Image) -> Pixels:
    """The pixels of a picture of any of Pillow's modes; see `data.modes.to_rgb`.

    Raises:
        ImageError: Values are NaN or infinite, or on a scale that the file does not tell.
    """
    profile = image.info.get("icc_profile")
    if image.mode in DEEP_MODES:
        grey = integer_values(image).astype(np.uint16)
        clear = image.info.get("transparency")
        alpha = np.where(grey == clear, 0, 65535) if isinstance(clear, int) else None
        return _deep(grey[..., None], alpha, profile)
    if image.mode == "F":
        grey = np.rint(float_values(image).astype(np.float64) * 65535).astype(np.uint16)
        return _deep(grey[..., None], None, profile)
    if not image.has_transparency_data:
        return Pixels(colours=np.asarray(to_rgb(image)))
    rgba = straight_alpha(image)
    alpha = np.asarray(rgba.getchannel("A"))
    opaque = rgba.convert("RGB")  # the colours as they are, alpha left out
    opaque.info = {"icc_profile": profile} if profile else {}
    return Pixels(colours=np.asarray(to_rgb(opaque)), alpha=_or_none(alpha))


def read_deep(content: bytes, image: Image.Image) -> Pixels | None:
    """The pixels of a PNG or TIFF of 16-bit colours, as they lie in the file.

    Args:
        content: The file's bytes.
        image: What Pillow makes of them: format, size, tags, colour profile.

    Returns:
        The pixels; None for every other picture, of which Pillow keeps all bits.

    Raises:
        ImageError: They are not what the header promises.
    """
    if image.format == "PNG" and _is_deep_png(content):
        import imagecodecs

        values, extra = imagecodecs.png_decode(content), _STRAIGHT
    elif image.format == "TIFF" and _is_deep_tiff(image):
        values = _tiff_values(content)
        extra = next(iter(image.tag_v2.get(_EXTRA, ())), _STRAIGHT)  # type: ignore[attr-defined]
    else:
        return None
    # Pillow already gives the upright size of a TIFF.
    if values.dtype != np.uint16 or sorted(values.shape[:2]) != sorted(image.size):
        raise ImageError("its pixels are not what its header says; save it again")
    if values.shape[2] == 3:
        return _deep(values, None, image.info.get("icc_profile"))
    colours, alpha = values[..., :-1], values[..., -1]
    if extra == _PREMULTIPLIED:
        colours = _divided(colours, alpha)
    known = extra in (_PREMULTIPLIED, _STRAIGHT)  # else the last channel is something else
    return _deep(colours, alpha if known else None, image.info.get("icc_profile"))


def srgb_profile() -> bytes:
    """The ICC profile of sRGB, the same bytes every day."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    content[24:36] = bytes((7, 0xD0, 0, 1, 0, 1)) + bytes(6)  # when it was made: 1 January 2000
    return bytes(content)


def _is_deep_png(content: bytes) -> bool:
    """Whether a PNG has 16 bit a channel, and more than one channel."""
    return content[_PNG_DEPTH] == 16 and content[_PNG_COLOURS] in (_GREY_ALPHA, _RGB, _RGBA)


def _is_deep_tiff(image: Image.Image) -> bool:
    """Whether a TIFF has three or four channels of 16 bit, red, green and blue among them."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    samples, depths = tags.get(_SAMPLES, 1), tags.get(_DEPTHS, (1,))
    return samples in (3, 4) and set(depths) == {16} and tags.get(_PHOTOMETRIC) == _RGB


def _tiff_values(content: bytes) -> Array:
    """(H, W, C) of the first page of a TIFF."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        values: Array = page.asarray()
        return np.moveaxis(values, 0, -1) if page.axes == "SYX" else values


def _deep(colours: Array, alpha: Array | None, profile: bytes | None) -> Pixels:
    """16-bit colours (H, W, 1 or 3) of any profile, made sRGB."""
    converted = _to_srgb(colours, profile) if profile else None
    if converted is None:
        converted = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    return Pixels(
        colours=np.ascontiguousarray(converted),
        alpha=None if alpha is None else _or_none(alpha.astype(np.uint16)),
    )


def _to_srgb(colours: Array, profile: bytes) -> Array | None:
    """Convert 16-bit colours (H, W, 1 or 3); None where the profile makes no sense for them."""
    import imagecodecs

    shapes = [("rgb", 3)] if colours.shape[2] == 3 else [("gray", 1), ("rgb", 3)]
    for space, channels in shapes:  # a profile for colour serves a grey picture, too
        given = (
            colours[..., 0] if channels == 1 else np.broadcast_to(colours, (*colours.shape[:2], 3))
        )
        try:
            converted: Array = imagecodecs.cms_transform(
                np.ascontiguousarray(given),
                profile,
                srgb_profile(),
                colorspace=space,
                outcolorspace="rgb",
            )
        except (RuntimeError, ValueError):
            continue
        return converted
    return None


def _divided(colours: Array, alpha: Array) -> Array:
    """Colours (H, W, C) that were multiplied by alpha (H, W), as they were before."""
    divided = np.empty(colours.shape, np.uint16)
    for rows in _strips(colours):
        opacity = np.maximum(alpha[rows], 1)[..., None].astype(np.float64) / 65535
        divided[rows] = np.rint(np.minimum(colours[rows] / opacity, 65535))
    return divided


def _strips(pixels: Array) -> Iterator[slice]:
    """Rows that are computed together: in floating point a whole picture would take gigabytes."""
    for start in range(0, len(pixels), _ROWS):
        yield slice(start, start + _ROWS)


def _or_none(alpha: Array) -> Array | None:
    """An alpha channel, unless it says that nothing is transparent."""
    return None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha


def _turned(channel: Array, turn: Image.Transpose) -> Array:
    return np.asarray(Image.fromarray(np.ascontiguousarray(channel)).transpose(turn))
