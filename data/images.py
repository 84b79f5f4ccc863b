"""Pictures in and out: decoding, tensors, saving."""

import html
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.nn import functional as F

from .decoder_sandbox import decode, decode_pixels
from .decoding import MAX_PIXELS, Warn, unheard
from .errors import ArgumentError, ImageError, WriteError
from .files import atomic_output, printable, read_regular
from .folders import sift_all
from .formats import IMAGE_SUFFIXES, PICTURE_SUFFIXES, Depth, promised_formats
from .modes import to_rgb
from .pixels import Array, Pixels, srgb_profile

_PNG_HEADER = 33  # bytes of signature and header, behind which other chunks may stand
_JPEG = {"quality": 95, "subsampling": 0}
_WEBP = {"quality": 95}
_MOST_XMP = 65_502  # bytes that a segment of a JPEG has room for


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
    encoding = "WEBP" if suffix == ".webp" else "JPEG"
    options: dict[str, object] = {**(_WEBP if encoding == "WEBP" else _JPEG)}
    if settings is not None:
        packet = as_xmp(settings)
        options["icc_profile"] = srgb_profile()
        if encoding == "WEBP" or len(packet) <= _MOST_XMP:  # better a picture without than none
            options["xmp"] = packet
    Image.fromarray(values).save(encoded, encoding, **options)
    return encoded.getvalue()


def _channels(pixels: Pixels) -> Array:
    """(H, W, 3 or 4)."""
    if pixels.alpha is None:
        return np.ascontiguousarray(pixels.colours)
    return np.ascontiguousarray(np.concatenate([pixels.colours, pixels.alpha[..., None]], axis=2))


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

    return _with_chunks(bytes(imagecodecs.png_encode(values)), chunks)


def _with_chunks(plain: bytes, chunks: PngImagePlugin.PngInfo) -> bytes:
    """A PNG with more before its pixels."""
    between = io.BytesIO()
    for name, content, *_ in chunks.chunks:
        PngImagePlugin.putchunk(between, name, content)
    return plain[:_PNG_HEADER] + between.getvalue() + plain[_PNG_HEADER:]


def quick_png(pixels: Array, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG of pixels (H, W, 3) uint8, made in little time at the price of a little room.

    Other threads go on meanwhile, which Pillow's encoder holds up: among many photographs that
    counts beside the time of the networks.

    Args:
        pixels: RGB.
        texts: Fields of text, by name.
    """
    import imagecodecs

    chunks = PngImagePlugin.PngInfo()
    for name, text in (texts or {}).items():
        chunks.add_text(name, text)
    return _with_chunks(bytes(imagecodecs.png_encode(pixels, level=1)), chunks)


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


# Pictures in and out: safe decoding, tensors and back, saving without metadata.

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Picture",
    "Warn",
    "as_png",
    "find_images",
    "load_image",
    "load_picture",
    "quick_png",
    "read_settings",
    "save_image",
    "to_image",
    "to_tensor",
]

MAX_BYTES = 200_000_000
"""The longest picture file that is read; `MAX_PIXELS` uncompressed are 150 million bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture with all the bits of its file.

    Attributes:
        colours: (3, H, W) float32 in [0, 1], RGB, sRGB, as they are seen on white.
        alpha: (1, H, W) float32 in [0, 1], 0 for what is transparent; None where nothing is.
    """

    colours: Tensor
    alpha: Tensor | None


def load_image(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | os.PathLike[str] | None = None,
    max_pixels: int = MAX_PIXELS,
    warn: Warn = unheard,
) -> Image.Image:
    """Read a picture that anyone may have prepared.

    It is decoded in this process, or within `decoder_sandbox.decoding_apart` in one of its own.

    Args:
        source: A path, or a file's content.
        name: Of the file that the content was read from: its suffix says what it may hold. A path
            is its own name.
        max_pixels: The most pixels to decode, at most `MAX_PIXELS`.
        warn: Told what is odd about a picture that is read all the same, as that it is the first
            frame of an animation: the second half of a sentence.

    Returns:
        The picture: mode RGB, 8 bit, sRGB, upright as its EXIF says, composited on white where it
        is transparent, without metadata. A baseline JPEG of more than `MAX_PIXELS` comes with half,
        a quarter or an eighth of each side.

    Raises:
        ArgumentError: There is no such file.
        ImageError: The file cannot be read; is no picture of a known format; is damaged, cut off,
            too large or too small; or its content is not what its name says.
    """
    content, shown, formats = _opened(source, name)
    try:
        return decode(content, formats=formats, max_pixels=max_pixels, warn=warn)
    except ImageError as error:
        raise ImageError(f"cannot read {shown}: {error}") from error


def load_picture(source: str | os.PathLike[str] | bytes, *, warn: Warn = unheard) -> Picture:
    """Read a picture with all its bits and its transparency; see `load_image`.

    Args:
        source: A path, or a file's content.
        warn: As in `load_image`.

    Raises:
        ArgumentError: There is no such file.
        ImageError: As `load_image`.
    """
    content, shown, formats = _opened(source, None)
    try:
        pixels = decode_pixels(content, formats=formats, warn=warn)
    except ImageError as error:
        raise ImageError(f"cannot read {shown}: {error}") from error
    colours = _as_tensor(pixels.colours)
    if pixels.alpha is None:
        return Picture(colours=colours, alpha=None)
    alpha = _as_tensor(pixels.alpha[..., None])
    return Picture(colours=on_white(colours, alpha), alpha=alpha)


def as_png(content: bytes) -> bytes:
    """A stranger's picture as an upright PNG that carries nothing but its pixels, all their bits.

    Raises:
        ImageError: As `load_image`.
    """
    try:
        return encode(decode_pixels(content), ".png", None)
    except ImageError as error:
        raise ImageError(f"cannot read this picture: {error}") from error


def _opened(
    source: str | os.PathLike[str] | bytes, name: str | os.PathLike[str] | None
) -> tuple[bytes, str, frozenset[str]]:
    """A file's content, what messages call it, and the formats that its name promises."""
    if isinstance(source, bytes):
        content = source
    else:
        name, content = source, read_regular(source, error=ImageError, most_bytes=MAX_BYTES)
    shown, suffix = ("this picture", "") if name is None else (printable(name), Path(name).suffix)
    return content, shown, promised_formats(suffix)


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture's pixels as (3, H, W) float32 in [0, 1], RGB."""
    rgb = image if image.mode == "RGB" else to_rgb(image)
    return _as_tensor(np.asarray(rgb))


def _as_tensor(values: Array) -> Tensor:
    """(H, W, C) integers over their whole range as (C, H, W) float32 in [0, 1]."""
    most = float(np.iinfo(values.dtype).max)
    pixels = torch.from_numpy(values.astype(np.float32))
    return pixels.permute(2, 0, 1).div_(most).contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """Return a picture, mode RGB, of pixels in [0, 1]; what lies outside is clamped.

    Args:
        tensor: (3, H, W) or (1, 3, H, W), floating point, RGB.

    Raises:
        ImageError: A value is NaN.
        ValueError: The tensor has another shape.
    """
    return Image.fromarray(_as_integers(_one(tensor), Depth.EIGHT))


def _one(tensor: Tensor) -> Tensor:
    """A single picture, (3, H, W) float32 in [0, 1] on the CPU, of (1, 3, H, W) or of that."""
    pixels = tensor.detach()
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"expected (3, H, W) or (1, 3, H, W), got {tuple(tensor.shape)}")
    if pixels.isnan().any():
        raise ImageError("the picture holds values that are not numbers (NaN)")
    return pixels.to("cpu", torch.float32).clamp(0, 1)


def _as_integers(pixels: Tensor, depth: Depth) -> Array:
    """(C, H, W) in [0, 1] as (H, W, C) integers of so many bits over their whole range."""
    most, kind = (255, np.uint8) if depth is Depth.EIGHT else (65535, np.uint16)
    scaled: Array = pixels.mul(most).round().permute(1, 2, 0).numpy().astype(kind)
    return scaled


def save_image(
    image: Image.Image | Tensor,
    path: Path,
    *,
    depth: Depth = Depth.EIGHT,
    alpha: Tensor | None = None,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Write a picture whole or not at all, without the metadata of its source.

    Args:
        image: The picture; or (3, H, W) or (1, 3, H, W) in [0, 1], RGB, as it is seen on white.
        path: Where to; the suffix chooses PNG, JPEG, WebP or TIFF.
        depth: Bits of a channel. JPEG and WebP hold 8.
        alpha: (1, h, w) in [0, 1], the transparency that the tensor is to have, of any size. JPEG
            holds none.
        settings: How the picture was painted, kept in the file, which then also says that its
            colours are sRGB.

    Raises:
        ArgumentError: The suffix is none of these.
        ImageError: A value is NaN.
        WriteError: The file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise ArgumentError(
            f"cannot save a picture as {printable(path.name)}; "
            f"expected a name that ends in {', '.join(PICTURE_SUFFIXES)}"
        )
    if isinstance(image, Image.Image):
        pixels = Pixels(colours=np.asarray(to_rgb(image)))
    else:
        pixels = _pixels_of(_one(image), alpha, depth)
    encoded = encode(pixels, suffix, settings)
    try:
        with atomic_output(path, mode=0o666) as temporary:
            temporary.write_bytes(encoded)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise WriteError(f"cannot write {printable(path)}: {reason}; name another place") from error


def _pixels_of(seen: Tensor, alpha: Tensor | None, depth: Depth) -> Pixels:
    """What is seen on white, (3, H, W), as pixels of this transparency."""
    if alpha is None:
        return Pixels(colours=_as_integers(seen, depth))
    opacity = resized_alpha(alpha, (seen.shape[1], seen.shape[2]))
    return Pixels(
        colours=_as_integers(off_white(seen, opacity), depth),
        alpha=_as_integers(opacity, depth)[..., 0],
    )


def read_settings(path: Path) -> dict[str, object] | None:
    """Return the settings that `save_image` put into a picture, or None where there are none.

    Raises:
        ArgumentError: There is no such file.
        ImageError: The file cannot be read.
    """
    return settings_in(read_regular(path, error=ImageError, most_bytes=MAX_BYTES))


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the pictures that `paths` mean.

    Args:
        paths: Files, taken as they are, whatever their suffix; and folders, see `folders.sift`.

    Returns:
        Files in the order given; those of one folder sorted. A folder that may not be looked into
        stands for itself, so that reading it says why.

    Raises:
        ArgumentError: A path does not exist, or is empty.
    """
    return [picture for _, found in sift_all(paths) for picture in found.pictures]


# Transparency: what is seen of a picture on white, and which picture is seen so on white.


def on_white(colours: Tensor, alpha: Tensor) -> Tensor:
    """What is seen on white; colours under alpha 0 are not.

    Args:
        colours: (3, H, W) in [0, 1].
        alpha: (1, H, W) in [0, 1].

    Returns:
        (3, H, W) in [0, 1].
    """
    return torch.lerp(torch.ones_like(colours), colours, alpha)


def off_white(seen: Tensor, alpha: Tensor) -> Tensor:
    """The colours that on white are seen as `seen`: without them edges would keep a white fringe.

    Where no colour is dark enough for that, the darkest one is taken.

    Args:
        seen: (3, H, W) in [0, 1].
        alpha: (1, H, W) in [0, 1].

    Returns:
        (3, H, W) in [0, 1]; white where alpha is 0.
    """
    colours = ((seen - (1 - alpha)) / alpha.clamp_min(1e-6)).clamp(0, 1)
    return torch.where(alpha > 0, colours, 1.0)


def resized_alpha(alpha: Tensor, size: tuple[int, int]) -> Tensor:
    """An alpha channel (1, H, W) at `size` (H, W), px, scaled as the painted picture is."""
    if alpha.shape[-2:] == size:
        return alpha
    scaled = F.interpolate(
        alpha.unsqueeze(0), size, mode="bicubic", align_corners=False, antialias=True
    )
    return scaled[0].clamp_(0, 1)


# What a picture's file says of how it was made: put into each format, and read from it.
#
# It is one JSON object: the text chunk `likeness` of a PNG; the image description of a TIFF; in a
# JPEG or WebP the property `likeness:settings` of their XMP packet.


KEY = "likeness"
"""The name of the text chunk of a PNG, and of the object's only member in a TIFF."""

_DESCRIPTION = 270  # TIFF's tag
_NAMESPACE = "urn:likeness:settings"
_XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:likeness="{namespace}">
<likeness:settings>{settings}</likeness:settings>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_IN_XMP = re.compile(rb"<likeness:settings>([^<]*)</likeness:settings>")


def as_text(settings: Mapping[str, object]) -> str:
    """The settings as JSON in ASCII, the same text whatever their order."""
    return json.dumps(settings, sort_keys=True)


def as_description(settings: Mapping[str, object]) -> str:
    """The settings as the image description of a TIFF."""
    return as_text({KEY: settings})


def as_xmp(settings: Mapping[str, object]) -> bytes:
    """The settings as an XMP packet."""
    text = html.escape(as_text(settings), quote=False)
    return _XMP.format(namespace=_NAMESPACE, settings=text).encode()


def settings_in(content: bytes) -> dict[str, object] | None:
    """The settings in a file's bytes; None where it is no such picture, or tells none."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
            settings = json.loads(_text_in(image))
            if image.format == "TIFF":
                settings = settings[KEY]
    except Exception:  # not ours, or damaged: it tells no settings
        return None
    return settings if isinstance(settings, dict) else None


def _text_in(image: Image.Image) -> str:
    """The JSON that a picture carries.

    Raises:
        LookupError: There is none.
    """
    if image.format == "PNG":
        return str(image.info[KEY])
    if image.format == "TIFF":
        return str(image.tag_v2[_DESCRIPTION])  # type: ignore[attr-defined]
    found = _IN_XMP.search(image.info["xmp"])
    if found is None:
        raise LookupError("the XMP packet holds no settings")
    return html.unescape(found.group(1).decode())
