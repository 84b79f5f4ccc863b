"""Any of Pillow's pixel formats to 8-bit RGB, rightly: depth, ink, palette, alpha, profile."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageCms

from .errors import ImageError

Values = np.ndarray[Any, Any]

_WHITE = (255, 255, 255, 255)
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes for grey of more than 8 bit."""

_PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit sRGB without metadata; transparency shows white.

    16-bit values are rescaled, not clamped; floating-point values are taken as 0 … 1; a valid
    colour profile is applied, an invalid one is ignored.

    Args:
        image: A decoded picture of any mode. Its `info` tells transparency, the colour profile, and
            whether Adobe's marker says that CMYK is stored inverted.

    Returns:
        A new picture, mode RGB, with an empty `info`.

    Raises:
        ImageError: Values are NaN or infinite, or on a scale that the file does not tell.
    """
    profile = image.info.get("icc_profile")
    if image.mode in DEEP_MODES:
        image = _from_integers(image)
    elif image.mode == "F":
        image = _from_floats(image)
    elif image.mode == "CMYK":
        image = _polarity(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile:
        image = _to_srgb(image, profile)
    rgb = image.convert("RGB")  # always a copy
    rgb.info = {}
    return rgb


def integer_values(image: Image.Image) -> Values:
    """The values (H, W) of a picture of `DEEP_MODES`, int64, 0 to 65535.

    Raises:
        ImageError: They exceed 16 bit.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its grey values exceed 16 bit; save it with 8 or 16 bit a channel")
    return values


def float_values(image: Image.Image) -> Values:
    """The values (H, W) of a picture of mode F, float32, 0 to 1.

    Raises:
        ImageError: They are NaN or infinite, or on another scale.
    """
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ImageError("it holds values that are not numbers (NaN or infinite); save it as 8 bit")
    if values.min() < 0 or values.max() > 1:
        raise ImageError("its floating-point values are not within 0 … 1; save it as 8 bit")
    return values


def straight_alpha(image: Image.Image) -> Image.Image:
    """A picture of any mode with transparency as RGBA, its colours not multiplied by alpha."""
    # Pillow leads from premultiplied grey to no mode but this one.
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _from_integers(image: Image.Image) -> Image.Image:
    """Rescale 16-bit grey to 8 bit; Pillow's own conversion clamps at 255."""
    values = integer_values(image)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values = np.where(values == transparent, 65535, values)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _from_floats(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.rint(float_values(image) * 255).astype(np.uint8))


def _polarity(image: Image.Image) -> Image.Image:
    """Return CMYK with 255 for full ink.

    A JPEG with Adobe's marker stores the inverse; Pillow turns every CMYK JPEG around, with the
    marker or without.
    """
    if image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """Composite on white, so that colours hidden under alpha 0 stay hidden."""
    rgba = straight_alpha(image)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from the colour space of an ICC profile; a profile that makes no sense is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _PROFILE_SPACES.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode:
            return image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return converted if converted is not None else image
