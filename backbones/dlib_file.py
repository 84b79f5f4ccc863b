"""dlib's file of its face network's weights: where pip has put it, and how it is read without dlib.

The PyPI package `face_recognition_models` carries it. It is never imported (its module wants
`pkg_resources`, which Python no longer brings), and of its other files none is opened: one of them
is not free for commercial use.

The format, which dlib calls serialised: an integer is a byte (its lower four bits say how many
bytes follow, its highest whether it is negative) and these bytes, the least significant first; a
text is its length as an integer and its bytes; a tensor is the integer 2 (the format's version),
the integers n, k, rows and columns, and n·k·rows·columns float32. Layers lie there from the image
to the embedding. Before each layer's tensor stands its kind, a text: `con_4`, a convolution, all
filters and then all biases in one row; `affine_`, a factor for each channel and then a summand;
`fc_2`, inputs × outputs. What else a file holds, sizes and rates of learning, is passed over: only
one file is read, known by its digest.
"""

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data.distribution import package_command
from data.errors import ArgumentError, WeightsError
from data.files import printable, sha256_of

from .metadata import weights_metadata
from .registry import spec_of

if TYPE_CHECKING:  # to find a file takes no torch
    from torch import Tensor

ARCHITECTURE = "dlib_resnet"
"""The one network whose weights are read from such a file."""

SUFFIX = ".dat"
"""By which dlib's files are told from safetensors."""

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
PACKAGE = "face_recognition_models"
LICENCE = "CC0-1.0 (public domain)"

INSTALL = package_command(f"{PACKAGE}==0.3.0")
"""What brings the file where there is none, or another."""

_PLACE = Path("models") / "dlib_face_recognition_resnet_model_v1.dat"
_CONVOLUTIONS = 29


def installed_file() -> Path | None:
    """Where the package keeps the file; None where there is no package, or it lacks the file."""
    package = find_spec(PACKAGE)  # looks for the package, and runs nothing of it
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / _PLACE
        if path.is_file():
            return path
    return None


def describe_file(path: Path) -> tuple[str, dict[str, str]]:
    """Make sure that a file is the one that is read here.

    Args:
        path: A file of dlib's.

    Returns:
        Its digest, and about it what the header of a safetensors file would say.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is another file than the one meant.
    """
    if not path.is_file():
        raise ArgumentError(f"no file {printable(path)}")
    digest = sha256_of(path)
    if digest != SHA256:
        raise WeightsError(
            f"{printable(path)} is not dlib's face network (sha256 {digest[:12]}…, expected "
            f"{SHA256[:12]}…); run `{INSTALL}`, or take --model mobilefacenet, "
            "which is bundled"
        )
    return digest, weights_metadata(
        spec_of(ARCHITECTURE),
        mirror=True,
        source=f"{PACKAGE} 0.3.0 on PyPI, {_PLACE.name}",
        training_data="about 3 million photographs of 7,485 people: FaceScrub, VGG-Face and others",
        licence=LICENCE,
    )


def read_file(path: Path) -> "Mapping[str, Tensor]":
    """Read the network's weights.

    Args:
        path: The file.

    Returns:
        Its tensors, float32, by the names that `backbones.networks.dlib_resnet` gives them. What
        dlib does behind each convolution, a factor and a summand a channel, is made part of it.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is another file than the one meant.
    """
    describe_file(path)
    reader = _Reader(path.read_bytes())
    tensors: dict[str, Tensor] = {}
    inputs = 3
    for number in range(_CONVOLUTIONS):
        convolution, affine = reader.tensor_of("con_4"), reader.tensor_of("affine_")
        factors, summands = affine.chunk(2)
        outputs = len(factors)
        filters, biases = convolution[:-outputs], convolution[-outputs:]
        side = 7 if number == 0 else 3
        name = _name(number)
        weight = filters.view(outputs, inputs, side, side)
        tensors[f"{name}.weight"] = weight * factors.view(-1, 1, 1, 1)
        tensors[f"{name}.bias"] = biases * factors + summands
        inputs = outputs
    tensors["embed.weight"] = reader.tensor_of("fc_2").view(inputs, -1).T.contiguous()
    return tensors


def _name(number: int) -> str:
    """What the network calls the convolution that is computed as number `number`, from 0."""
    if number == 0:
        return "stem"
    block, second = divmod(number - 1, 2)
    return f"blocks.{block}.{'second' if second else 'first'}"


class _Reader:
    """Walks through a file from one tensor to the next.

    Args:
        content: The whole file.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def tensor_of(self, kind: str) -> "Tensor":
        """The tensor of the next layer of a kind: all its numbers in one row, float32."""
        import torch

        # Between two tensors lie only short texts and integers, so the next such text is the one.
        text = struct.pack("BB", 1, len(kind)) + kind.encode()
        self._position = self._content.index(text, self._position) + len(text)
        while self._integers(1) != [2]:  # `fc_2` has its sizes before its tensor
            pass
        count = 1
        for side in self._integers(4):
            count *= side
        end = self._position + 4 * count
        numbers = torch.frombuffer(
            bytearray(self._content[self._position : end]), dtype=torch.float32
        )
        self._position = end
        return numbers

    def _integers(self, count: int) -> list[int]:
        found = []
        for _ in range(count):
            head = self._content[self._position]
            start = self._position + 1
            self._position = start + (head & 0x0F)
            value = int.from_bytes(self._content[start : self._position], "little")
            found.append(-value if head & 0x80 else value)
        return found
