"""Feature maps by tap, from a network cut off behind the last one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks.pooling import exchange_pooling
from .network import Backbone, Stage, run_stages
from .spec import Pooling


class FeatureExtractor(nn.Module):
    """A frozen network as far as the last tap asked for, in eval mode.

    What lies behind that tap is not held: once the backbone itself is let go, its memory is free.
    The layers are shared with the backbone, not copied, and are frozen with it, except where they
    are altered. Gradients flow to the images, never to the weights.

    Attributes:
        taps: The names of the taps, in the order asked for.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Sequence[str],
        *,
        pooling: Pooling = Pooling.MAX,
        continued: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Cut a network off.

        Args:
            backbone: Where the layers come from.
            taps: Names of its taps.
            pooling: What stands in the place of max pooling.
            continued: Whether pictures and maps are continued beyond their borders: the first
                convolution always pads, and no convolution pads by zeros.
            dtype: In what the layers compute; the feature maps are of it.

        Raises:
            ArgumentError: `taps` is empty, or names a tap that is not there.
        """
        super().__init__()
        self.taps = tuple(taps)
        stages = list(backbone.stages_through(backbone.last_of(taps)))
        if continued:
            stages = _with_pictures_continued(stages)
        self._stages = tuple(
            (name, tuple(_in(dtype, exchange_pooling(layer, pooling)) for layer in layers))
            for name, layers in stages
        )
        self._dtype = dtype
        self.normalise = backbone.normalise
        self.layers = nn.ModuleList(layer for _, layers in self._stages for layer in layers)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode: a frozen network's statistics must not move, whoever contains it."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap.

        Args:
            images: (B, 3, H, W) RGB float32, 0 … 1.

        Returns:
            For each tap, in the order asked for, its feature map (B, C, H/stride, W/stride).

        Raises:
            ValueError: The images are not (B, 3, H, W) floating point.
        """
        found = run_stages(self.normalise(images).to(self._dtype), self._stages, self.taps)
        return {tap: found[tap] for tap in self.taps}


def _with_pictures_continued(stages: Sequence[Stage]) -> list[Stage]:
    """The stages, whose convolutions pad by repeating what lies outermost, the first one always."""
    altered: list[Stage] = []
    found = False
    for name, layers in stages:
        kept: list[nn.Module] = []
        for layer in layers:
            new = None if found else continue_picture(layer)
            found = found or new is not None
            kept.append(continue_maps(layer if new is None else new))
        altered.append((name, tuple(kept)))
    return altered


def _in(dtype: torch.dtype, layer: nn.Module) -> nn.Module:
    """The layer, or a copy of it whose weights are of another precision."""
    if all(weight.dtype == dtype for weight in layer.parameters()):
        return layer
    return copy.deepcopy(layer).to(dtype)


def continue_picture(layer: nn.Module) -> nn.Module | None:
    """The layer, with its first convolution seeing the picture continued beyond its borders.

    Half a kernel of outermost pixels is repeated on every side. With zeros there instead, or with
    nothing, the outermost pixels lie under filters that see a dark frame, or under fewer filters
    than all others, and a picture that is painted by them gets a frame.

    Args:
        layer: A layer of a network; it stays as it is.

    Returns:
        A layer of the same weights; None if no convolution in it is wider than one pixel.
    """
    if isinstance(layer, nn.Conv2d):
        return _continued(layer) if max(layer.kernel_size) > 1 else None
    layer = copy.deepcopy(layer)
    for parent in layer.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and max(child.kernel_size) > 1:
                setattr(parent, name, _continued(child))
                return layer
    return None


def continue_maps(layer: nn.Module) -> nn.Module:
    """The layer, with no zeros around its maps: convolutions repeat the outermost places instead.

    Zeros are no feature map's usual values: near the borders the deeper maps are darker and see
    edges that are not there, the more so the deeper they are, and a picture whose maps are to
    have a style's statistics gets stripes and a dull frame to make up for it. Averages are taken
    over the places that there are.

    Args:
        layer: A layer of a network; it stays as it is.

    Returns:
        A layer of the same weights, which it shares; the layer itself if it pads nothing.
    """
    if not any(map(_pads_by_zeros, layer.modules())):
        return layer
    shared = {id(tensor): tensor for tensor in (*layer.parameters(), *layer.buffers())}
    layer = copy.deepcopy(layer, shared)
    for module in filter(_pads_by_zeros, layer.modules()):
        if isinstance(module, nn.AvgPool2d):
            module.count_include_pad = False
        else:
            module.padding_mode = "replicate"  # type: ignore[assignment]
    return layer


def _pads_by_zeros(module: nn.Module) -> bool:
    if isinstance(module, nn.AvgPool2d):
        widths = module.padding if isinstance(module.padding, tuple) else (module.padding,)
        return module.count_include_pad and any(width != 0 for width in widths)
    if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros":
        return False
    return module.padding == "same" or any(width != 0 for width in module.padding)


def _continued(convolution: nn.Conv2d) -> nn.Module:
    """The convolution behind a padding that repeats the outermost pixels, whatever its own is."""
    height, width = (
        dilation * (size // 2)
        for size, dilation in zip(convolution.kernel_size, convolution.dilation, strict=True)
    )
    bare = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        dilation=convolution.dilation,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
        device="meta",
    )
    bare.weight, bare.bias = convolution.weight, convolution.bias
    return nn.Sequential(nn.ReplicationPad2d((width, width, height, height)), bare)
