"""Any of Pillow's pixel formats to 8-bit RGB, rightly: depth, ink, palette, alpha, profile."""

import io

import numpy as np
from PIL import Image, ImageChops, ImageCms

from .errors import ImageError

_WHITE = (255, 255, 255, 255)
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
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
    if image.mode in _DEEP_MODES:
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


def _from_integers(image: Image.Image) -> Image.Image:
    """Rescale 16-bit grey to 8 bit; Pillow's own conversion clamps at 255."""
    values = np.asarray(image).astype(np.int64)  # (H, W)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its grey values exceed 16 bit; save it with 8 or 16 bit a channel")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values = np.where(values == transparent, 65535, values)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)  # (H, W) float32
    if not np.isfinite(values).all():
        raise ImageError("it holds values that are not numbers (NaN or infinite); save it as 8 bit")
    if values.min() < 0 or values.max() > 1:
        raise ImageError("its floating-point values are not within 0 … 1; save it as 8 bit")
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


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
    # Pillow leads from premultiplied grey to no mode but this one.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
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
