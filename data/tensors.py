"""Tensor files: safetensors and nothing else, checked before they are trusted.

The format is eight bytes of header length, a JSON header, and raw values
(https://github.com/huggingface/safetensors). It cannot carry code, as a pickle can.
"""

import json
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError, WeightsError
from .files import atomic_output, printable, write_atomic

if TYPE_CHECKING:  # to read a header takes no torch
    from torch import Tensor

MAX_HEADER_BYTES = 1_000_000
"""The longest header that is read; a network of 10,000 tensors needs about a megabyte."""

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class TensorFile:
    """What a tensor file holds.

    Attributes:
        tensors: By name, on the CPU.
        metadata: The header's free text; empty where there is none.
    """

    tensors: "dict[str, Tensor]"
    metadata: dict[str, str]


def read_tensors(path: Path) -> TensorFile:
    """Read a safetensors file; values are not judged.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is a pickle, cut off, damaged, or no safetensors file at all.
    """
    import safetensors

    metadata = read_metadata(path)
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # SafetensorError, or whatever a type or a shape of its own makes
        raise WeightsError(
            f"{printable(path)} is cut off or damaged ({printable(str(error))}); "
            "expected a whole safetensors file: fetch it again"
        ) from error
    return TensorFile(tensors, metadata)


def read_metadata(path: Path) -> dict[str, str]:
    """Read a safetensors file's free text without touching its tensors.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is a pickle, cut off, damaged, or no safetensors file at all.
    """
    metadata = _read_header(Path(path)).get(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError(
            f"the header of {printable(path)} is damaged; "
            "expected a whole safetensors file: fetch it again"
        )
    return metadata


def read_names(path: Path) -> frozenset[str]:
    """Read the names of a safetensors file's tensors without touching these.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is a pickle, cut off, damaged, or no safetensors file at all.
    """
    return frozenset(_read_header(Path(path)).keys() - {_METADATA})


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all; equal content gives equal bytes.

    Args:
        path: The file; its folder must exist.
        tensors: By name, on any device.
        metadata: Free text for the header.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    import safetensors.torch
    import torch

    # The format refuses tensors that share memory, as tied weights do: each gets its own.
    own = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    encoded = safetensors.torch.save(own, dict(metadata) or None)
    write_atomic(path, _with_sorted_header(encoded))


def stream_tensors(
    path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]
) -> None:
    """As `write_tensors`, without a copy of it all in memory; the header's order may vary.

    Args:
        path: The file; its folder must exist.
        tensors: By name, on any device; no two may share memory.
        metadata: Free text for the header.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    import safetensors.torch

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_output(path) as temporary:
        try:
            safetensors.torch.save_file(plain, temporary, dict(metadata) or None)
        except safetensors.SafetensorError as error:
            raise OSError(0, str(error)) from error


def _with_sorted_header(encoded: bytes) -> bytes:
    """Return the same file with its header sorted; the library shuffles the metadata."""
    (length,) = _LENGTH.unpack_from(encoded)
    start = _LENGTH.size + length
    header = json.loads(encoded[_LENGTH.size : start])
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text + encoded[start:]


def _read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header, read only once its length has been found sane."""
    shown = printable(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for its other end
            raise WeightsError(f"{shown} is not a regular file; expected a safetensors file")
        with path.open("rb") as file:
            start = file.read(_LENGTH.size + 1)
            length = _check_start(start, shown)
            text = start[_LENGTH.size :] + file.read(length - 1)
    except (FileNotFoundError, ValueError) as error:
        raise ArgumentError(f"there is no file {shown}; check the path") from error
    except OSError as error:
        raise WeightsError(f"cannot read {shown}: {error.strerror}; check the file") from error
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if len(text) < length or not isinstance(header, dict):
        raise WeightsError(
            f"the header of {shown} is cut off or damaged; "
            "expected a whole safetensors file: fetch it again"
        )
    return header


def _check_start(start: bytes, shown: str) -> int:
    """Return the header's length, or say what the file is instead."""
    if len(start) > _LENGTH.size and start.endswith(b"{"):
        length: int = _LENGTH.unpack_from(start)[0]
        if length <= MAX_HEADER_BYTES:
            return length
        raise WeightsError(
            f"{shown} announces a header of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are "
            "read: the file is damaged, fetch it again"
        )
    if start.startswith((b"PK\x03\x04", b"\x80")) or start[:1] in b"(c]}":
        raise WeightsError(
            f"{shown} is a pickle, which can run code when it is opened; "
            "expected a safetensors file: get the weights in that format"
        )
    raise WeightsError(f"{shown} is no safetensors file; expected weights in that format")
