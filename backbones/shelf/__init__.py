"""What every network says about itself, one module a family; no torch is needed to read it.

A family's module has the name of the module in `backbones.networks` that builds its members, and
declares their specs in `SPECS`. So a network is added in two places: what it is, here, and how it
is built, there.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType

from data.errors import ArgumentError

from ..spec import BackboneSpec

_FAMILIES = (
    "alexnet",
    "convnext",
    "densenet",
    "dlib_resnet",
    "efficientnet",
    "googlenet",
    "inception_resnet_v1",
    "inception_v3",
    "iresnet",
    "lenet",
    "mobilefacenet",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "vgg",
    "vgg_quarter",
    "vit",
    "xception",
    "xnor",
    "zfnet",
)


@functools.cache
def families() -> Mapping[str, tuple[BackboneSpec, ...]]:
    """The specs of all members, by family."""
    specs = {
        family: tuple(import_module(f"backbones.shelf.{family}").SPECS) for family in _FAMILIES
    }
    return MappingProxyType(specs)


def widened(spec: BackboneSpec, width: float) -> BackboneSpec:
    """The spec of the same network with every layer so many times as wide.

    Args:
        spec: Of a member of a family whose paper has a width multiplier.
        width: α.

    Raises:
        ArgumentError: Its family has none, or α lies outside of what is taken.
    """
    for family, specs in families().items():
        if spec.name in {member.name for member in specs}:
            taps = getattr(import_module(f"backbones.shelf.{family}"), "taps_of", None)
            if taps is not None:
                spec = replace(spec, width=width)
                return replace(spec, taps=taps(spec.name, width))
    raise ArgumentError(
        f"{spec.name} comes in one width: leave width at 1, or take one of mobilenet_v1, "
        "mobilenet_v2"
    )
