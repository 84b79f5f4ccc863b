"""Every network by its name: look up, build, register one of your own.

The shelf declares the networks that come with the application; looking them up loads no torch.
"""

import difflib
import functools
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from data.errors import ArgumentError

from . import shelf
from .spec import (
    Activation,
    Attention,
    BackboneSpec,
    Convolution,
    HeadPooling,
    Norm,
    WeightInit,
)

if TYPE_CHECKING:
    from .network import Backbone

Builder = Callable[[BackboneSpec], "Backbone"]
"""Builds a network, with random weights, as the spec says."""

_SPLIT = ("resnext50_32x4d",)
"""Networks that are built in any cardinality."""

_registered: dict[str, tuple[BackboneSpec, Builder]] = {}


def register(spec: BackboneSpec) -> Callable[[Builder], Builder]:
    """Make a network known that is not on the shelf; a decorator for its builder.

    Args:
        spec: What the network says about itself, by default.

    Returns:
        A decorator that gives the builder back unchanged. A builder receives the spec, perhaps
        with another input size, embedding size or normalisation, and must follow it.

    Raises:
        ValueError: There is a network of that name.
    """
    if spec.name in _known():
        raise ValueError(f"a backbone named {spec.name!r} is registered already")

    def remember(builder: Builder) -> Builder:
        _registered[spec.name] = (spec, builder)
        return builder

    return remember


def available() -> tuple[str, ...]:
    """The names of all networks, sorted."""
    return tuple(sorted(_known()))


def spec_of(name: str) -> BackboneSpec:
    """What a network says about itself.

    Args:
        name: One of `available()`.

    Returns:
        Its spec.

    Raises:
        ArgumentError: There is no network of that name; the message lists those there are.
    """
    return _entry(name)[0]


def create(
    name: str,
    *,
    embedding_size: int | None = None,
    seed: int | None = None,
    input_size: tuple[int, int] | None = None,
    norm: Norm | None = None,
    attention: Attention | None = None,
    activation: Activation | None = None,
    head_pooling: HeadPooling | None = None,
    conv: Convolution | None = None,
    stn: bool | None = None,
    width: float | None = None,
    resolution: float | None = None,
    cardinality: int | None = None,
    weight_init: WeightInit = WeightInit.OWN,
) -> "Backbone":
    """Build a network with random weights, in eval mode.

    Args:
        name: One of `available()`.
        embedding_size: D; None takes the network's own.
        seed: Makes the weights repeatable without touching torch's global generator; None draws
            them from that generator.
        input_size: (H, W) of the images to embed; None takes the network's own.
        norm: What stands in the place of batch norm; None takes the network's own.
        attention: What stands behind each stage; None takes the network's own.
        activation: What stands in the place of its activations; None takes the network's own.
        head_pooling: What stands in the place of its last average; None takes the network's own.
        conv: What stands in the place of its dense convolutions; None takes the network's own.
        stn: Whether a spatial transformer aligns the images to embed.
        width: α: how many times as wide as registered; None: as registered.
        resolution: ρ: the share of each side that images to embed are scaled to.
        cardinality: Groups of a ResNeXt; None: as registered.
        weight_init: What the weights are drawn from.

    Returns:
        The network; its `spec` carries what is asked for.

    Raises:
        ArgumentError: There is no network of that name, or it cannot be built in that size or
            with one of those options.
    """
    import torch

    changes = {
        "embedding_size": embedding_size,
        "input_size": input_size,
        "norm": norm,
        "attention": attention,
        "activation": activation,
        "head_pooling": head_pooling,
        "conv": conv,
        "stn": stn,
        "resolution": resolution,
        "cardinality": cardinality,
    }
    wanted: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    spec = replace(spec_of(name), **wanted)
    if width is not None and width != spec.width:
        spec = shelf.widened(spec, width)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = build(spec)
        if weight_init is not WeightInit.OWN:
            from .blocks.initialisation import initialise_weights

            initialise_weights(network, weight_init)
            if network.spec.stn:
                network.stn.begin_as_identity()
        return network


def build(spec: BackboneSpec) -> "Backbone":
    """Build a network as a spec says: a registered one, or a variation of one.

    Args:
        spec: Its name says which network; sizes, alignment, normalisation and norm may differ from
            the registered spec's, and so may what its options exchange.

    Returns:
        The network with random weights, in eval mode.

    Raises:
        ArgumentError: There is no network of that name, or it cannot be built in that size or
            with one of its options.
    """
    if spec.cardinality is not None and spec.name not in _SPLIT:
        raise ArgumentError(
            f"{spec.name} has no groups to count: leave cardinality out, or take "
            f"{' or '.join(_SPLIT)}"
        )
    return _entry(spec.name)[1](spec).eval()


def _known() -> dict[str, tuple[BackboneSpec, Builder]]:
    return _on_the_shelf() | _registered


@functools.cache
def _on_the_shelf() -> dict[str, tuple[BackboneSpec, Builder]]:
    return {
        spec.name: (spec, functools.partial(_build, family))
        for family, specs in shelf.families().items()
        for spec in specs
    }


def _build(family: str, spec: BackboneSpec) -> "Backbone":
    """Build one of a family, whose module is loaded only now."""
    network: Backbone = import_module(f"backbones.networks.{family}").build(spec)
    return network


def _entry(name: str) -> tuple[BackboneSpec, Builder]:
    try:
        return _known()[name]
    except KeyError:
        known = available()
        close = " or ".join(difflib.get_close_matches(name, known, n=3))
        raise ArgumentError(
            f"no backbone is named {name!r}; choose from the {len(known)} of `likeness models list`"
            + (f", such as {close}" if close else "")
        ) from None
