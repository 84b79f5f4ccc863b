"""Pixels to a file's bytes: PNG, JPEG, WebP and TIFF, with nothing of their source's metadata."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, PngImagePlugin

from .embedding import KEY, as_description, as_text, as_xmp
from .pixels import Array, Pixels, srgb_profile

_PNG_HEADER = 33  # bytes of signature and header, behind which other chunks may stand
_JPEG = {"quality": 95, "subsampling": 0}
_WEBP = {"quality": 95}


def encode(pixels: Pixels, suffix: str, settings: Mapping[str, object] | None) -> bytes:
    """A picture as a file's bytes; the same bytes for the same picture and settings.

    Args:
        pixels: The picture; in a format that cannot hold them, 16 bit or alpha are a mistake.
        suffix: Of the file, in lower case, one of `data.formats.PICTURE_SUFFIXES`.
        settings: How the picture was painted, to be kept in the file, which then also says that
            its colours are sRGB; None for a file of nothing but pixels.
    """
    values = _channels(pixels)
    if suffix in (".tif", ".tiff"):
        return _tiff(values, settings)
    encoded = io.BytesIO()
    if suffix == ".png":
        chunks = _png_chunks(settings)
        if values.dtype == np.uint16:
            return _deep_png(values, chunks)
        Image.fromarray(values).save(encoded, "PNG", pnginfo=chunks)
        return encoded.getvalue()
    options: dict[str, object] = {**(_WEBP if suffix == ".webp" else _JPEG)}
    if settings is not None:
        options |= {"xmp": as_xmp(settings), "icc_profile": srgb_profile()}
    encoding = "WEBP" if suffix == ".webp" else "JPEG"
    Image.fromarray(values).save(encoded, encoding, **options)
    return encoded.getvalue()


def _channels(pixels: Pixels) -> Array:
    """(H, W, 3 or 4)."""
    if pixels.alpha is None:
        return np.ascontiguousarray(pixels.colours)
    return np.concatenate([pixels.colours, pixels.alpha[..., None]], axis=2)


def _png_chunks(settings: Mapping[str, object] | None) -> PngImagePlugin.PngInfo:
    """What stands in a PNG before its pixels."""
    chunks = PngImagePlugin.PngInfo()
    if settings is not None:
        chunks.add(b"sRGB", b"\0")  # the profile itself, in one byte
        chunks.add_text(KEY, as_text(settings))
    return chunks


def _deep_png(values: Array, chunks: PngImagePlugin.PngInfo) -> bytes:
    """A PNG of 16 bit a channel, for which Pillow has no mode."""
    import imagecodecs

    plain = bytes(imagecodecs.png_encode(values))
    between = io.BytesIO()
    for name, content, *_ in chunks.chunks:
        PngImagePlugin.putchunk(between, name, content)
    return plain[:_PNG_HEADER] + between.getvalue() + plain[_PNG_HEADER:]


def _tiff(values: Array, settings: Mapping[str, object] | None) -> bytes:
    """A TIFF, compressed without loss."""
    import tifffile

    encoded = io.BytesIO()
    tifffile.imwrite(
        encoded,
        values,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        extrasamples=["unassalpha"] if values.shape[2] == 4 else None,
        description=None if settings is None else as_description(settings),
        iccprofile=None if settings is None else srgb_profile(),
        metadata=None,
        software=False,
    )
    return encoded.getvalue()
