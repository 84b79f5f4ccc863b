"""Pictures in and out: safe decoding, tensors and back, saving without metadata."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from .decoding import FORMATS, MAX_PIXELS, decode
from .errors import ArgumentError, ImageError
from .files import atomic_output, printable, read_regular
from .modes import to_rgb

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "find_images",
    "load_image",
    "read_settings",
    "save_image",
    "to_image",
    "to_tensor",
]

MAX_BYTES = 200_000_000
"""The longest picture file that is read; `MAX_PIXELS` uncompressed are 150 million bytes."""

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

_SAVE_OPTIONS: dict[str, tuple[str, dict[str, object]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
_SETTINGS_KEY = "likeness"


def load_image(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | os.PathLike[str] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Read a picture that anyone may have prepared.

    Args:
        source: A path, or a file's content.
        name: Of the file that the content was read from: its suffix says what it may hold. A path
            is its own name.
        max_pixels: The most pixels to decode, at most `MAX_PIXELS`.

    Returns:
        The picture: mode RGB, 8 bit, sRGB, upright as its EXIF says, composited on white where it
        is transparent, without metadata.

    Raises:
        ArgumentError: There is no such file.
        ImageError: The file cannot be read; is no picture of a known format; is damaged, cut off,
            too large, too small or animated; or its content is not what its name says.
    """
    if isinstance(source, bytes):
        content = source
    else:
        name, content = source, read_regular(source, error=ImageError, most_bytes=MAX_BYTES)
    shown, suffix = ("this picture", "") if name is None else (printable(name), Path(name).suffix)
    try:
        return decode(content, formats=_formats_of(suffix.lower()), max_pixels=max_pixels)
    except ImageError as error:
        raise ImageError(f"cannot read {shown}: {error}") from error


def _formats_of(suffix: str) -> frozenset[str]:
    """Return what a file of this suffix may hold."""
    promised = _FORMAT_OF_SUFFIX.get(suffix)
    if promised is None:
        return FORMATS
    return _OFTEN_MISNAMED if promised in _OFTEN_MISNAMED else frozenset({promised})


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture's pixels as (3, H, W) float32 in [0, 1], RGB."""
    rgb = image if image.mode == "RGB" else to_rgb(image)
    pixels = torch.from_numpy(np.array(rgb))  # (H, W, 3) uint8
    return pixels.permute(2, 0, 1).to(torch.float32).div_(255).contiguous()  # (3, H, W)


def to_image(tensor: Tensor) -> Image.Image:
    """Return a picture, mode RGB, of pixels in [0, 1]; what lies outside is clamped.

    Args:
        tensor: (3, H, W) or (1, 3, H, W), floating point, RGB.

    Raises:
        ImageError: A value is NaN.
        ValueError: The tensor has another shape.
    """
    pixels = tensor.detach()
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"expected (3, H, W) or (1, 3, H, W), got {tuple(tensor.shape)}")
    if pixels.isnan().any():
        raise ImageError("the picture holds values that are not numbers (NaN)")
    scaled = pixels.to(torch.float32).clamp(0, 1).mul(255).round().to(torch.uint8)
    return Image.fromarray(scaled.permute(1, 2, 0).cpu().numpy())  # (H, W, 3)


def save_image(
    image: Image.Image, path: Path, *, settings: Mapping[str, object] | None = None
) -> None:
    """Write a picture whole or not at all, without the metadata of its source.

    Args:
        image: The picture.
        path: Where to; the suffix chooses PNG, JPEG, WebP or TIFF.
        settings: How the picture was made, kept as JSON in a PNG; other formats carry none.

    Raises:
        ArgumentError: The suffix is none of these, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVE_OPTIONS:
        raise ArgumentError(
            f"cannot save a picture as {printable(path.name)}; "
            f"expected a name that ends in {', '.join(_SAVE_OPTIONS)}"
        )
    encoding, options = _SAVE_OPTIONS[path.suffix.lower()]
    if encoding == "PNG" and settings is not None:
        text = PngImagePlugin.PngInfo()
        text.add_text(_SETTINGS_KEY, json.dumps(settings, sort_keys=True))
        options = {**options, "pnginfo": text}
    encoded = io.BytesIO()
    to_rgb(image).save(encoded, encoding, **options)
    try:
        with atomic_output(path, mode=0o666) as temporary:
            temporary.write_bytes(encoded.getvalue())
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ArgumentError(
            f"cannot write {printable(path)}: {reason}; name another place"
        ) from error


def read_settings(path: Path) -> dict[str, object] | None:
    """Return the settings that `save_image` put into a PNG, or None where there are none.

    Raises:
        ArgumentError: There is no such file.
        ImageError: The file cannot be read.
    """
    content = read_regular(path, error=ImageError, most_bytes=MAX_BYTES)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            settings = json.loads(image.info[_SETTINGS_KEY])
    except Exception:  # not a PNG, not ours, or damaged: it tells no settings
        return None
    return settings if isinstance(settings, dict) else None


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the pictures that `paths` mean.

    Args:
        paths: Files, taken as they are, whatever their suffix; and folders, searched through all
            their depth for `IMAGE_SUFFIXES`. Hidden files and folders are passed over.

    Returns:
        Files in the order given; those of one folder sorted. A folder that may not be looked into
        stands for itself, so that reading it says why.

    Raises:
        ArgumentError: A path does not exist.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            path.lstat()
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"there is no file or folder {printable(path)}; check the path"
            ) from error
        if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises where permission is missing)
            found.extend(sorted(_walk(path, above=frozenset())))
        else:
            found.append(path)
    return found


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yield the pictures below `folder`; a link that leads back up is not followed."""
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if os.path.isdir(entry.path):  # noqa: PTH112
            yield from _walk(folder / entry.name, above | {real})
        elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
            yield folder / entry.name
