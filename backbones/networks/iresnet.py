"""IResNet with squeeze and excitation: a residual face network of a million weights.

J. Deng, J. Guo, N. Xue, S. Zafeiriou: ArcFace, 2019, whose improved residual unit is normalised
first and halves the image in its second convolution; J. Hu, L. Shen, G. Sun: Squeeze-and-Excitation
Networks, 2018. Narrower and shallower than the paper's networks, and dense throughout: on one
processor core a training step takes a quarter of the time of MobileFaceNet's, whose depthwise
convolutions have few operations but a slow backward pass.
"""

from typing import cast

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import BackboneSpec

_STRIDE = 16
_SQUEEZE = 8
"""Channels for each of the bottleneck of an excitation; 16 in the paper, of wider networks."""

# Channels and how many units; the first of each stage halves the image.
_STAGES = {"stage1": (48, 2), "stage2": (96, 3), "stage3": (128, 2)}
_STEM = 32
_UNITS_50 = (3, 4, 14, 3)


class ImprovedResidualUnit(nn.Module):
    """ArcFace's improved residual unit, its output weighted channel by channel."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs, outputs // _SQUEEZE),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            # Averaged before it is projected (He et al. 2019, ResNet-D): a strided projection
            # would not look at three quarters of the pixels.
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),  # as the strided convolution, of an odd side
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return cast(Tensor, self.body(x) + self.shortcut(x))


class IResNetSE(Backbone):
    """The network; a global depthwise convolution, as in MobileFaceNet, weighs each place."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        height, width = spec.input_size
        if height % _STRIDE or width % _STRIDE:
            raise ArgumentError(
                f"{spec.name} needs sides of a multiple of 16, not {height}x{width}"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(_STEM),
            nn.PReLU(_STEM),
        )
        self.stages = nn.ModuleDict()
        channels = _STEM
        for name, (outputs, count) in _STAGES.items():
            units = [ImprovedResidualUnit(channels, outputs, stride=2)]
            units += [ImprovedResidualUnit(outputs, outputs, stride=1) for _ in range(count - 1)]
            self.stages[name] = nn.Sequential(*units)
            channels = outputs
        self.head = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                (height // _STRIDE, width // _STRIDE),
                groups=channels,
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.Flatten(),
            nn.Linear(channels, spec.dimension, bias=False),
            nn.BatchNorm1d(spec.dimension),
        )
        self.chain(
            {"stem": [self.stem]} | {name: [stage] for name, stage in self.stages.items()},
            head=[self.head],
        )
        self.initialise_convolutions()


class Unit50(nn.Module):
    """ArcFace's unit as its authors have it: a strided projection, or every second cell alone."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            Excitation(outputs, outputs // 16),
        )
        self.shortcut: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return cast(Tensor, self.body(x) + self.shortcut(x))


class Excitation(nn.Module):
    """Squeeze and excitation without biases."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return cast(Tensor, x * self.weights(x))


class IRSE50(Backbone):
    """The network of 24 units; its head sees each place of the last map by itself."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        height, width = spec.input_size
        if height % _STRIDE or width % _STRIDE:
            raise ArgumentError(
                f"{spec.name} needs sides of a multiple of 16, not {height}x{width}"
            )
        first, *rest = spec.taps
        self.stem = nn.Sequential(
            nn.Conv2d(3, first.channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(first.channels),
            nn.PReLU(first.channels),
        )
        self.stages = nn.ModuleDict()
        channels = first.channels
        for tap, count in zip(rest, _UNITS_50, strict=True):
            units = [Unit50(channels, tap.channels, stride=2)]
            units += [Unit50(tap.channels, tap.channels, stride=1) for _ in range(count - 1)]
            self.stages[tap.name] = nn.Sequential(*units)
            channels = tap.channels
        cells = (height // _STRIDE) * (width // _STRIDE)
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(channels * cells, spec.dimension),
            nn.BatchNorm1d(spec.dimension),
        )
        self.chain(
            {first.name: [self.stem]} | {name: [stage] for name, stage in self.stages.items()},
            head=[self.head],
        )
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """IResNet-SE for 96×96, or IR-SE-50 for 112×112, or any other multiple of 16.

    Raises:
        ArgumentError: A side of the input size is no multiple of 16.
    """
    return IRSE50(spec) if spec.name == "ir_se50" else IResNetSE(spec)
