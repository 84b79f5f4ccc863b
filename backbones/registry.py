"""Every network by its name: register, look up, build."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import torch

from data.errors import ArgumentError

from .network import Backbone
from .spec import BackboneSpec, Norm

Builder = Callable[[BackboneSpec], Backbone]
"""Builds a network, with random weights, as the spec says."""

_builders: dict[str, tuple[BackboneSpec, Builder]] = {}


def register(spec: BackboneSpec) -> Callable[[Builder], Builder]:
    """Make a network known by its spec's name; a decorator for its builder.

    Args:
        spec: What the network says about itself, by default.

    Returns:
        A decorator that gives the builder back unchanged. A builder receives the spec, perhaps
        with another input size, embedding size or normalisation, and must follow it.

    Raises:
        ValueError: A network of that name is registered already.
    """
    if spec.name in _builders:
        raise ValueError(f"a backbone named {spec.name!r} is registered already")

    def remember(builder: Builder) -> Builder:
        _builders[spec.name] = (spec, builder)
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
) -> Backbone:
    """Build a network with random weights, in eval mode.

    Args:
        name: One of `available()`.
        embedding_size: D; None takes the network's own.
        seed: Makes the weights repeatable without touching torch's global generator; None draws
            them from that generator.
        input_size: (H, W) of the images to embed; None takes the network's own.
        norm: What stands in the place of batch norm; None takes the network's own.

    Returns:
        The network; its `spec` carries the sizes asked for.

    Raises:
        ArgumentError: There is no network of that name, or it cannot be built in that size or
            with that norm.
    """
    spec = spec_of(name)
    if embedding_size is not None:
        spec = replace(spec, embedding_size=embedding_size)
    if input_size is not None:
        spec = replace(spec, input_size=input_size)
    if norm is not None:
        spec = replace(spec, norm=norm)
    if seed is None:
        return build(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(spec)


def build(spec: BackboneSpec) -> Backbone:
    """Build a network as a spec says: a registered one, or a variation of one.

    Args:
        spec: Its name says which network; sizes, alignment, normalisation and norm may differ from
            the registered spec's.

    Returns:
        The network with random weights, in eval mode.

    Raises:
        ArgumentError: There is no network of that name, or it cannot be built in that size or
            with that norm.
    """
    return _entry(spec.name)[1](spec).eval()


def _known() -> dict[str, tuple[BackboneSpec, Builder]]:
    import_module("backbones.networks")  # each module there registers what it builds
    return _builders


def _entry(name: str) -> tuple[BackboneSpec, Builder]:
    try:
        return _known()[name]
    except KeyError:
        known = ", ".join(available())
        raise ArgumentError(f"no backbone is named {name!r}; choose from {known}") from None
