"""What a network sees beyond the borders of a picture."""

import copy

from torch import nn


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
