"""MobileFaceNet: a face network of a million weights that ends in a global depthwise convolution.

S. Chen, Y. Liu, X. Gao, Z. Han: MobileFaceNets: Efficient CNNs for Accurate Real-Time Face
Verification on Mobile Devices, 2018. Averaging over the image treats a face's corner like its
centre; the paper's depthwise convolution as large as the last feature map weights each place.
"""

from typing import cast

from torch import Tensor, nn

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import BackboneSpec

_STRIDE = 16

# Table 1 of the paper: expansion, channels, how many blocks, stride of the first one.
_STAGES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "stage2": ((2, 64, 5, 2),),
    "stage3": ((4, 128, 1, 2), (2, 128, 6, 1)),
    "stage4": ((4, 128, 1, 2), (2, 128, 2, 1)),
}


class ConvBlock(nn.Module):
    """Convolution, batch normalisation and, unless it is linear, a PReLU a channel."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H', W')."""
        return cast(Tensor, self.prelu(self.bn(self.conv(x))))


class Bottleneck(nn.Module):
    """The inverted residual of MobileNetV2 (Sandler et al. 2018), with PReLU as the paper has it.

    Wide in the middle, narrow and linear at the ends; the input is added where the shape stays.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        out = cast(Tensor, self.conv(x))
        return x + out if self.residual else out


class MobileFaceNet(Backbone):
    """The network; its state is named as in Xiaoccer's MobileFaceNet_Pytorch, whose weights fit."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        height, width = spec.input_size
        if height % _STRIDE or width % _STRIDE:
            raise ArgumentError(
                f"mobilefacenet needs sides of a multiple of 16, not {height}x{width}"
            )
        self.conv1 = ConvBlock(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvBlock(64, 64, 3, padding=1, depthwise=True)
        stages = self._bottlenecks()
        self.conv2 = ConvBlock(128, 512, 1)
        # The global depthwise convolution: as large as the last feature map, 7×7 or 7×6.
        last_map = (height // _STRIDE, width // _STRIDE)
        self.linear7 = ConvBlock(512, 512, last_map, depthwise=True, linear=True)
        self.linear1 = ConvBlock(512, spec.dimension, 1, linear=True)
        first = {"conv1": [self.conv1, self.dw_conv1]}
        self.chain(
            first | stages | {"conv2": [self.conv2]},
            head=[self.linear7, self.linear1, nn.Flatten()],
        )
        self.initialise_convolutions()

    def _bottlenecks(self) -> dict[str, list[nn.Module]]:
        """Register all bottlenecks in one sequence and tell them apart by stage."""
        stages: dict[str, list[nn.Module]] = {}
        channels = 64
        for name, rows in _STAGES.items():
            stages[name] = []
            for expansion, outputs, repeats, first_stride in rows:
                for i in range(repeats):
                    stride = first_stride if i == 0 else 1
                    block = Bottleneck(channels, outputs, stride=stride, expansion=expansion)
                    stages[name].append(block)
                    channels = outputs
        self.blocks = nn.Sequential(*(block for blocks in stages.values() for block in blocks))
        return stages


def build(spec: BackboneSpec) -> Backbone:
    """MobileFaceNet for 112×112, 112×96 or any other multiple of 16.

    Raises:
        ArgumentError: A side of the input size is no multiple of 16.
    """
    return MobileFaceNet(spec)
