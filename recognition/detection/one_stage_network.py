"""The network of the one-stage detector, and what its numbers mean.

Each cell of three maps, at strides of 8, 16 and 32 pixels, says whether a face belongs to it, where
that face's box lies, and where its five landmarks. There are no anchor boxes (as in FCOS, Tian et
al. 2019); the maps come from a small feature pyramid (FPN, Lin et al. 2017) over depthwise
separable blocks (MobileNet, Howard et al. 2017).
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)
"""Pixels between two cells of each map."""

STEP = STRIDES[-1]
"""Height and width of what the network looks at are multiples of this."""

CHANNELS = 15
"""Of a cell: a logit, four of the box, ten of the landmarks."""

_STEM = 16
_WIDTHS = (48, 64, 96, 128)  # at strides 4, 8, 16, 32
_RESIDUALS = (1, 2, 2, 2)  # blocks that keep the size, after the one that halves it
_KERNELS = (3, 3, 5, 5)
_PYRAMID = 64
_RARE = -4.0  # the logit that a cell begins with: few cells hold a face
_USUAL_SIDE = 1.1  # the logarithm of a box's side in strides that a cell begins with
_MOST_LOG_SIDE = 4.0  # a box of 55 strides; what is beyond is no face, and exp would overflow


class _Block(nn.Module):
    """A depthwise convolution and a pointwise one, and the input added where it has the shape."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False
        )
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(outputs)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.pointwise(self.depthwise(x)))
        return F.relu_(y.add_(x) if self._residual else y)

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.pointwise = fuse_conv_bn_eval(self.pointwise, self.norm)
            self.norm = nn.Identity()


class OneStageNetwork(nn.Module):
    """From pixels to the maps of all cells."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 3, 2, 1, bias=False)
        self.stem_norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(_STEM)
        self.stages = nn.ModuleList()
        inputs = _STEM
        for outputs, residuals, kernel in zip(_WIDTHS, _RESIDUALS, _KERNELS, strict=True):
            blocks = [_Block(inputs, outputs, stride=2, kernel=kernel)]
            blocks += [_Block(outputs, outputs, kernel=kernel) for _ in range(residuals)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.laterals = nn.ModuleList(nn.Conv2d(width, _PYRAMID, 1) for width in _WIDTHS[1:])
        self.smoothing = nn.ModuleList(_Block(_PYRAMID, _PYRAMID) for _ in STRIDES)
        self.towers = nn.ModuleList(_Block(_PYRAMID, _PYRAMID) for _ in STRIDES)
        self.outputs = nn.ModuleList(nn.Conv2d(_PYRAMID, CHANNELS, 3, 1, 1) for _ in STRIDES)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.groups > 1:  # fan_out counts all groups; a kernel here feeds one channel
                    module.weight.data.mul_(module.groups**0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)  # type: ignore[arg-type]
            output.bias.data[0] = _RARE  # type: ignore[operator]
            output.bias.data[3:5] = _USUAL_SIDE  # type: ignore[operator]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Judge all cells.

        Args:
            x: RGB (B, 3, H, W) in [0, 1]; H and W multiples of 32.

        Returns:
            For each stride the maps (B, 15, H/stride, W/stride): the logit of a face; the middle of
            its box from the middle of the cell, x and y in strides; the logarithms of the box's
            width and height in strides; the five landmarks from the middle of the cell, x and y in
            strides, in the order of `results.Face`.
        """
        x = torch.add(x.new_full((), -2.0), x, alpha=4)  # in one pass
        x = F.relu_(self.stem_norm(self.stem(x)))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        maps = []
        above: Tensor | None = None
        for level in reversed(range(len(STRIDES))):
            here = self.laterals[level](features[level + 1])
            if above is not None:
                here = here + F.interpolate(above, scale_factor=2.0)
            above = self.smoothing[level](here)
            maps.append(self.outputs[level](self.towers[level](above)))
        return maps[::-1]

    def fold(self) -> "OneStageNetwork":
        """Multiply the norms into the convolutions before them, for inference; returns itself."""
        self.eval()
        if isinstance(self.stem_norm, nn.BatchNorm2d):
            self.stem = fuse_conv_bn_eval(self.stem, self.stem_norm)
            self.stem_norm = nn.Identity()
        for module in self.modules():
            if isinstance(module, _Block):
                module.fold()
        return self


def flattened(maps: Sequence[Tensor]) -> Tensor:
    """The maps of all strides as one list of cells: (B, cells, 15), row by row, finest first."""
    return torch.cat([each.flatten(2).transpose(1, 2) for each in maps], 1)


@functools.lru_cache(maxsize=32)
def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the cells of a picture are, in the order of `flattened`.

    Args:
        height: Of the picture, a multiple of 32.
        width: The same.

    Returns:
        The middle of each, x and y in pixels (cells, 2), and its stride in pixels (cells, 1): kept
        for the next picture of that size, so nobody may change them.
    """
    middles, strides = [], []
    with torch.inference_mode(False):  # training may need those that a search made
        for stride in STRIDES:
            ys, xs = torch.meshgrid(
                torch.arange(height // stride), torch.arange(width // stride), indexing="ij"
            )
            middles.append((torch.stack([xs, ys], -1).view(-1, 2) + 0.5) * stride)
            strides.append(torch.full((len(middles[-1]), 1), float(stride)))
        return torch.cat(middles), torch.cat(strides)


def decode_boxes(values: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Boxes in pixels from what cells say.

    Args:
        values: (..., 15), see `OneStageNetwork.forward`.
        middles: (..., 2) of their cells, in pixels.
        strides: (..., 1) of their cells, in pixels.

    Returns:
        (..., 4): x1, y1, x2, y2.
    """
    centre = middles + values[..., 1:3] * strides
    half = values[..., 3:5].clamp(max=_MOST_LOG_SIDE).exp() * strides / 2
    return torch.cat([centre - half, centre + half], -1)


def decode_landmarks(values: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Landmarks (..., 5, 2) in pixels from what cells say; arguments as those of `decode_boxes`."""
    offsets = values[..., 5:15] * strides
    return middles[..., None, :] + offsets.view(*offsets.shape[:-1], 5, 2)


def encode(boxes: Tensor, landmarks: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """What cells have to say of faces: the inverse of the two above, without the logit.

    Args:
        boxes: (..., 4) in pixels.
        landmarks: (..., 5, 2) in pixels.
        middles: (..., 2) of the cells, in pixels.
        strides: (..., 1) of the cells, in pixels.

    Returns:
        (..., 14)
    """
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    sides = (boxes[..., 2:] - boxes[..., :2]) / strides
    offsets = (landmarks - middles[..., None, :]).flatten(-2) / strides
    return torch.cat([(centre - middles) / strides, sides.log(), offsets], -1)
