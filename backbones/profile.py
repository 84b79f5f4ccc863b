"""What a network costs and sees, layer by layer: counted from shapes alone, on torch's meta device.

Nothing is computed and no memory is taken: each operation of one pass is watched as it is called.

- Multiply-accumulates are those of convolutions and matrix products; a sum or a norm counts none.
- Memory is that of the feature maps that live at the same time in inference, float32, without the
  weights and without what a convolution algorithm keeps for itself.
- The receptive field is what the padding and strides of the layers give; an average over the image
  or attention sees the whole of it.
- Sizes of gradients, `gradients_of`, are the exception: they are measured on a seeded network.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from data.errors import ArgumentError

from .network import Backbone
from .registry import build, create, spec_of
from .spec import BackboneSpec

_aten = torch.ops.aten


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProfile:
    """A network as far as one of its taps.

    Attributes:
        name: Of the tap.
        shape: (C, H, W) of its feature map.
        stride: Pixels between neighbouring cells.
        receptive_field: Side, px, of the square that a cell sees; None: the whole image.
        parameters: Between the tap before and this one.
        multiply_accumulates: The same.
    """

    name: str
    shape: tuple[int, int, int]
    stride: int
    receptive_field: int | None
    parameters: int
    multiply_accumulates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one image costs a network.

    Attributes:
        spec: What the network says about itself, for this input.
        input_size: (H, W) of the image.
        parameters: Trained numbers, the head's among them.
        multiply_accumulates: From the image to the embedding.
        peak_bytes: The most that feature maps take at any one time in inference.
        layers: Tap by tap.
    """

    spec: BackboneSpec
    input_size: tuple[int, int]
    parameters: int
    multiply_accumulates: int
    peak_bytes: int
    layers: tuple[LayerProfile, ...]


def profile(name: str, input_size: tuple[int, int] | None = None) -> Profile:
    """Count what a network costs and sees.

    Args:
        name: One of `registry.available()`.
        input_size: (H, W) of the image; None takes the network's own.

    Raises:
        ArgumentError: There is no network of that name, or it does not take that size.
    """
    spec = spec_of(name)
    if input_size is not None:
        spec = replace(spec, input_size=input_size)
    with torch.device("meta"):
        network = build(spec).to("meta")
    watch = _Watch(network)
    try:
        with torch.no_grad(), watch:
            layers = _layers(network, watch)
    except RuntimeError as error:  # a window that is larger than what is left of the image
        raise _too_small(spec) from error
    return Profile(
        spec=spec,
        input_size=spec.input_size,
        parameters=sum(p.numel() for p in network.parameters()),
        multiply_accumulates=watch.multiply_accumulates,
        peak_bytes=watch.peak,
        layers=layers,
    )


def _layers(network: Backbone, watch: "_Watch") -> tuple[LayerProfile, ...]:
    """Pass one image through a network that is watched, head and all."""
    spec = network.spec
    x = watch.begin(torch.empty(1, 3, *spec.input_size, device="meta"))
    x = network.prepare(x)
    layers: list[LayerProfile] = []
    before = watch.multiply_accumulates
    for name, modules in network.stages_through(spec.taps[-1].name):
        for module in modules:
            x = module(x)
        field = watch.seen(x).field
        _, channels, height, width = x.shape
        own = {id(p): p.numel() for module in modules for p in module.parameters()}
        layers.append(
            LayerProfile(
                name=name,
                shape=(channels, height, width),
                stride=spec.tap(name).stride,
                receptive_field=None if math.isinf(field) else int(field),
                parameters=sum(own.values()),
                multiply_accumulates=watch.multiply_accumulates - before,
            )
        )
        before = watch.multiply_accumulates
    network.head_of(x)
    return tuple(layers)


def gradients_of(
    name: str, input_size: tuple[int, int] | None = None, *, seed: int = 0, images: int = 2
) -> Mapping[str, float]:
    """How large a gradient is at each tap of a network that nobody has trained yet.

    The loss is the sum of the embedding's numbers, each with a random sign. A chain of layers
    multiplies the gradient by a factor each: where the sizes fall or rise by orders of magnitude
    towards the image, training has to fight a vanishing or an exploding gradient.

    Args:
        name: One of `registry.available()`.
        input_size: (H, W) of the images, which are noise; None takes the network's own.
        seed: Of weights, noise and signs.
        images: How many at once, at least 2: norms are in training mode.

    Returns:
        By tap, in the order of computation, the norm of the gradient of the loss by the feature
        map's numbers.

    Raises:
        ArgumentError: There is no network of that name, or it does not take that size.
    """
    spec = spec_of(name)
    size = input_size or spec.input_size
    network = create(name, seed=seed, input_size=size).train()
    source = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def keep(tap: str) -> Callable[[Tensor], Tensor]:
        def alter(x: Tensor) -> Tensor:
            x.retain_grad()
            found[tap] = x
            return x

        return alter

    alterations = {tap.name: keep(tap.name) for tap in spec.taps}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for dropout
        try:
            embedding = network(torch.rand(images, 3, *size, generator=source), alterations)
        except RuntimeError as error:
            raise _too_small(network.spec) from error
    signs = torch.randint(0, 2, embedding.shape, generator=source) * 2 - 1
    (embedding * signs).sum().backward()
    return {tap: 0.0 if x.grad is None else float(x.grad.norm()) for tap, x in found.items()}


def _too_small(spec: BackboneSpec) -> ArgumentError:
    height, width = spec.input_size
    return ArgumentError(
        f"{spec.name} takes no images of {height}x{width} pixels: give it larger ones "
        f"({spec.taps[-1].least_side} are always enough)"
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a cell of a tensor has seen of the image.

    Attributes:
        field: Side of its receptive field, px; infinite: all of it.
        jump: Pixels to the next cell.
    """

    field: float
    jump: int


_WINDOWS = {
    # Operation: where its arguments name kernel, stride and dilation.
    _aten.max_pool2d_with_indices.default: (1, 2, 4),
    _aten.avg_pool2d.default: (1, 2, None),
}
_WHOLE = {
    _aten._adaptive_avg_pool2d.default,
    _aten._softmax.default,
    _aten.bmm.default,
    _aten.native_group_norm.default,
}
"""What lets every cell see all others, wherever the tensor still has places."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at every operation: what it costs, what it keeps in memory, what its result has seen.

    Attributes:
        multiply_accumulates: So far.
        peak: The most bytes at any one time so far.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiply_accumulates = 0
        self.peak = self._bytes = 0
        self._live: dict[int, weakref.ref[Any]] = {}
        self._seen: dict[int, _Seen] = {}
        weights = (*network.parameters(), *network.buffers())
        self._weights = {each.untyped_storage()._cdata for each in weights}

    def begin(self, image: Tensor) -> Tensor:
        """The image itself: each of its cells has seen one pixel."""
        self._hold(image)
        self._seen[image.untyped_storage()._cdata] = _Seen(1, 1)
        return image

    def seen(self, x: Tensor) -> _Seen:
        """What a cell of a tensor has seen; nothing, where no image went into it."""
        return self._seen.get(x.untyped_storage()._cdata, _Seen(0, 1))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Watch one operation."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.multiply_accumulates += count(*args, **kwargs, out_val=out) // 2
        inputs = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        result = self._after(func, args, [self.seen(each) for each in inputs])
        for each in tree_leaves(out):
            if isinstance(each, Tensor):
                self._hold(each)
                self._seen[each.untyped_storage()._cdata] = result
        return out

    def _after(self, func: Any, args: Sequence[Any], inputs: Sequence[_Seen]) -> _Seen:
        """What the result of an operation has seen."""
        field = max((each.field for each in inputs), default=0)
        jump = max((each.jump for each in inputs), default=1)
        if func is _aten.convolution.default:
            first, kernel = inputs[0], args[1].shape[-1]
            return _window(first, kernel, args[3][-1], args[5][-1])
        if func in _WINDOWS:
            kernel, stride, dilation = (
                args[place][-1] if place is not None and len(args) > place and args[place] else 0
                for place in _WINDOWS[func]
            )
            return _window(inputs[0], kernel, stride or kernel, dilation or 1)
        places = func is _aten.mean.dim and {dim % args[0].ndim for dim in args[1]} - {0, 1}
        if field and (func in _WHOLE or places):
            return _Seen(math.inf, jump)
        return _Seen(field, jump)

    def _hold(self, x: Tensor) -> None:
        """Count a tensor's memory until it is let go."""
        storage = x.untyped_storage()
        key = storage._cdata
        if key in self._live or key in self._weights:
            return
        size = storage.nbytes()
        self._bytes += size
        self.peak = max(self.peak, self._bytes)

        def let_go(_: object) -> None:
            self._bytes -= size
            self._live.pop(key, None)
            self._seen.pop(key, None)

        self._live[key] = weakref.ref(storage, let_go)


def _window(before: _Seen, kernel: int, stride: int, dilation: int) -> _Seen:
    """What a window of cells has seen together."""
    return _Seen(before.field + (kernel - 1) * dilation * before.jump, before.jump * stride)
