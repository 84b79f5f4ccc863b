"""Pictures as callers from Python hand them in: what is taken, and what it is made of.

Nothing here imports torch: a tensor is told by a module that is there already.
"""

import io
import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image

from .decoding import MAX_PIXELS, MIN_SIDE, upright
from .errors import AppError, ArgumentError, ImageError
from .files import printable
from .modes import to_rgb

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]

Source = Union[
    str,
    os.PathLike[str],
    bytes,
    bytearray,
    memoryview,
    IO[bytes],
    Image.Image,
    Array,
    "Tensor",
]
"""One picture:

- a path;
- a picture file's content, or an open binary file, which is read from its beginning;
- a decoded picture of Pillow's, which is turned as its EXIF says;
- an array (H, W), (H, W, 3) or (H, W, 4) of grey, RGB or RGBA, or a tensor (C, H, W) or
  (1, C, H, W) of 1, 3 or 4 channels, or (H, W): floating point in 0 … 1, uint8 in 0 … 255, uint16
  in 0 … 65535, or bool. Colours are not multiplied by alpha; transparency shows white.
"""

TAKEN = (
    "a path, a picture file's bytes, an open binary file, a PIL image, an array (H, W), (H, W, 3) "
    "or (H, W, 4), or a tensor (C, H, W)"
)
"""What is taken, in words."""

_MOST = {"b": 1, "u1": 255, "u2": 65535, "f": 1}  # the value of white
_SLACK = 1e-3  # of floating-point values beyond their range: rounding, as of a resized picture


def several(sources: Any, *, besides: tuple[type, ...] = ()) -> list[Any]:
    """Pictures as a list; a bare one is one picture.

    Args:
        sources: A `Source`, or some of them in anything that can be gone through.
        besides: Whatever else is taken in the place of a picture.

    Raises:
        ArgumentError: One of them is nothing that a picture can be made of.
    """
    if _is_one(sources) or isinstance(sources, besides):
        found = [sources]
    elif isinstance(sources, Iterable) and not isinstance(sources, Mapping):
        found = list(sources)
    else:
        raise _not_taken(sources)
    for source in found:
        if not isinstance(source, besides):
            check_source(source)
    return found


def check_source(source: object) -> None:
    """Make sure that something can be a picture, without a look at its content.

    Raises:
        ArgumentError: It cannot; the message says what is taken.
    """
    if isinstance(source, io.TextIOBase):
        raise ArgumentError("a file that is open as text is no picture: open it with mode 'rb'")
    if not _is_one(source):
        raise _not_taken(source)
    array = _array_like(source)
    if array is not None:
        _check_array(source, *array)


def is_decoded(source: object) -> bool:
    """Whether it is pixels already, and no file."""
    return isinstance(source, Image.Image) or _array_like(source) is not None


def content_of(source: Any, *, most_bytes: int) -> bytes:
    """The bytes of a file's content or of an open file.

    Args:
        source: One of them.
        most_bytes: A longer file is refused before more of it is read.

    Raises:
        ImageError: It cannot be read, or is too long.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        if source.seekable():
            source.seek(0)
        content = source.read(most_bytes + 1)
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(f"cannot read this file: {error}; is it still open?") from error
    if not isinstance(content, bytes):
        raise ArgumentError("a file that is open as text is no picture: open it with mode 'rb'")
    if len(content) > most_bytes:
        raise ImageError(f"cannot read this file: at most {most_bytes:,} bytes are read")
    return content


def name_of(source: object, position: int) -> str:
    """What to call a picture: its path, an open file's name, or its place among those given."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None) if hasattr(source, "read") else None
    return name if isinstance(name, str) and name else f"image {position}"


def image_of(source: Any) -> Image.Image:
    """A decoded picture as RGB of 8 bit, upright.

    Args:
        source: A picture of Pillow's, an array or a tensor; see `Source`.

    Raises:
        ImageError: Its values are out of their range, or it is too small, too large or damaged.
    """
    if isinstance(source, Image.Image):
        _check_size(*source.size)
        try:
            source.load()
            if source.mode == "RGB" and not source.getexif():
                return source
            return to_rgb(upright(source))
        except AppError:
            raise
        # It is decoded only now, where it was opened and not loaded.
        except Exception as error:
            raise ImageError(f"this picture cannot be decoded: {printable(str(error))}") from error
    values = _values_of(source)
    _check_size(values.shape[1], values.shape[0])
    shares = _shares(values)
    if shares.shape[2] == 4:
        shares = 1 - (1 - shares[..., :3]) * shares[..., 3:]  # on white
    pixels = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels)


def _is_one(source: object) -> bool:
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    return hasattr(source, "read") or _array_like(source) is not None


def _array_like(source: object) -> tuple[tuple[int, ...], str] | None:
    """The shape of an array or a tensor and the kind of its values; None for anything else."""
    if isinstance(source, np.ndarray):
        kind = source.dtype.kind
        return source.shape, kind if kind in "bf" else f"{kind}{source.dtype.itemsize}"
    if _is_tensor(source):
        name = str(source.dtype).removeprefix("torch.")  # type: ignore[attr-defined]
        kinds = {"uint8": "u1", "uint16": "u2", "bool": "b", "bfloat16": "f"}
        shape = tuple(source.shape)  # type: ignore[attr-defined]
        return shape, "f" if name.startswith("float") else kinds.get(name, name)
    return None


def _is_tensor(source: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def _check_array(source: object, shape: tuple[int, ...], kind: str) -> None:
    if isinstance(source, np.ndarray):
        fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    else:
        inner = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
        fits = len(inner) == 2 or (len(inner) == 3 and inner[0] in (1, 3, 4))
    if not fits or kind not in _MOST:
        what = "an array" if isinstance(source, np.ndarray) else "a tensor"
        raise ArgumentError(
            f"{what} of shape {shape} and type {source.dtype} is no picture; "  # type: ignore[attr-defined]
            f"expected {TAKEN}, of floating point in 0 … 1, uint8, uint16 or bool"
        )


def _values_of(source: Any) -> Array:
    """An array or a tensor as (H, W, C), its values as they are."""
    if not isinstance(source, np.ndarray):
        tensor = source.detach().cpu()
        tensor = tensor[0] if tensor.ndim == 4 else tensor
        source = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        source = np.moveaxis(source, 0, -1) if source.ndim == 3 else source
    values: Array = source if source.ndim == 3 else source[..., None]
    return values


def _shares(values: Array) -> Array:
    """Values (H, W, C) as parts of white, 0 … 1, float64.

    Raises:
        ImageError: They are not finite, or beyond their range.
    """
    kind = values.dtype.kind
    most = _MOST[kind if kind in "bf" else f"{kind}{values.dtype.itemsize}"]
    shares: Array = values.astype(np.float64) / most
    if not np.isfinite(shares).all():
        raise ImageError("its values are not numbers (NaN or infinite); expected 0 … 1")
    low, high = float(shares.min()), float(shares.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ImageError(
            f"its floating-point values lie between {low:g} and {high:g}; expected 0 … 1: divide "
            "them by their white"
        )
    return shares


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"it has {width}×{height} pixels; expected {MIN_SIDE} or more a side, and at most "
            f"{MAX_PIXELS:,} together"
        )


def _not_taken(source: object) -> ArgumentError:
    return ArgumentError(f"{type(source).__name__} is no picture; expected {TAKEN}")
