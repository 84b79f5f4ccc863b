"""Filters that are signs, in files of weights: one bit a number and one float32 a filter.

The tensor `name` of a `BinaryConv2d` is kept as `name/bits` and `name/scales`, and its shape in the
header's field `bits`, as JSON by name. What is read back is α B in float32, of which the network
computes what it did before, bit for bit. The numbers that training moves are gone; a run that goes
on has them in its own state.
"""

import json
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from data.errors import WeightsError
from data.files import printable

from .blocks.binary import BinaryConv2d, pack, unpack

METADATA_KEY = "bits"
"""The header's field that says which tensors are bits."""


def pack_filters(
    network: nn.Module, state: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What a file holds of a network whose filters, or some of them, are signs.

    Args:
        network: Whose `BinaryConv2d` layers are looked for.
        state: Its tensors by name, and perhaps more.
        metadata: The text fields.

    Returns:
        The tensors and text fields to write: as given, where the network has no such layer.
    """
    tensors, shapes = dict(state), {}
    for layer, module in network.named_modules():
        if isinstance(module, BinaryConv2d):
            name = f"{layer}.weight"
            weight = tensors.pop(name).detach().float().cpu()
            tensors[f"{name}/bits"], tensors[f"{name}/scales"] = pack(weight)
            shapes[name] = list(weight.shape)
    fields = dict(metadata)
    if shapes:
        fields[METADATA_KEY] = json.dumps(shapes, separators=(",", ":"))
    return tensors, fields


def unpack_filters(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], origin: str
) -> dict[str, Tensor]:
    """The tensors of a file, bits made numbers again.

    Args:
        tensors: What the file holds.
        metadata: Its header's text fields.
        origin: The file's name, for errors.

    Raises:
        WeightsError: The header does not describe the bits that are there.
    """
    found = dict(tensors)
    if (text := metadata.get(METADATA_KEY)) is None:
        return found
    for name, shape in _shapes(text, origin).items():
        bits, scales = (found.pop(f"{name}/{part}", None) for part in ("bits", "scales"))
        if (
            bits is None
            or scales is None
            or (bits.dtype, bits.shape) != (torch.uint8, (-(-math.prod(shape) // 8),))
            or (scales.dtype, scales.shape) != (torch.float32, (shape[0],))
            or name in found
        ):
            raise WeightsError(
                f"{origin}: {printable(name)} is not kept as bits and one float32 a filter of the "
                f"shape {tuple(shape)}; fetch it again"
            )
        found[name] = unpack(bits, scales, torch.Size(shape))
    return found


def _shapes(text: str, origin: str) -> dict[str, list[int]]:
    try:
        shapes = json.loads(text)
    except (ValueError, RecursionError):
        shapes = None
    if not isinstance(shapes, dict) or not all(map(_is_shape, shapes.values())):
        raise WeightsError(f"{origin}: its field {METADATA_KEY} is damaged; fetch it again")
    return shapes


def _is_shape(shape: object) -> bool:
    """Whether it is what JSON has for the shape of filters, and no absurd one."""
    return (
        isinstance(shape, list)
        and len(shape) >= 2
        and all(type(side) is int and 0 < side < 2**20 for side in shape)
    )
