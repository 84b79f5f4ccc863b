"""YuNet, which the one-stage detector learns from; it finds no face for the application itself.

W. Wu, H. Peng, S. Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023. The weights (YuNet-n,
75,856 parameters, Apache-2.0) are those of libfacedetection.train as a safetensors file.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import WeightsError
from data.files import printable, sha256_of
from data.tensors import read_tensors

from ..one_stage_network import STRIDES

_EPSILON = 1e-5  # of its batch norms


class Yunet(nn.Module):
    """The network, its norms multiplied into the convolutions.

    Attributes:
        sha256: Of the file.
    """

    def __init__(self, weights: Path) -> None:
        """Read the weights.

        Raises:
            ArgumentError: There is no such file.
            WeightsError: It is damaged, or holds another network.
        """
        super().__init__()
        state = read_tensors(weights).tensors
        try:
            self._build(state)
        except (KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{printable(weights)} does not hold YuNet-n: expected the state of "
                "libfacedetection.train's yunet_n as safetensors"
            ) from error
        self.sha256 = sha256_of(weights)
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def _build(self, state: Mapping[str, Tensor]) -> None:
        def unit(name: str) -> "_Unit":
            return _Unit(state, name)

        model = "backbone.model{}".format
        self.stem = _convolution(state, f"{model(0)}.conv1", f"{model(0)}.bn1", stride=2)
        self.first = unit(f"{model(0)}.conv2")
        self.stages = nn.ModuleList(
            nn.Sequential(unit(f"{model(i)}.conv1"), unit(f"{model(i)}.conv2")) for i in range(1, 6)
        )
        levels = range(len(STRIDES))
        self.laterals = nn.ModuleList(unit(f"neck.lateral_convs.{i}") for i in levels)
        head = "bbox_head.multi_level_"
        self.towers = nn.ModuleList(unit(f"{head}share_convs.{i}.0") for i in levels)
        self.cls, self.obj, self.bbox, self.kps = (
            nn.ModuleList(unit(f"{head}{kind}.{i}") for i in levels)
            for kind in ("cls", "obj", "bbox", "kps")
        )

    @torch.inference_mode()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Judge all cells of pictures.

        Args:
            images: RGB (B, 3, H, W) in [0, 1]; H and W multiples of 32.

        Returns:
            Maps (B, 15, h, w) as `OneStageNetwork` gives them, but that the first channel is the
            score itself, 0 … 1: the geometric mean of the two that this network gives.
        """
        x = F.relu_(self.stem(images.flip(1) * 255))
        x = F.max_pool2d(self.first(x), 2)
        x = F.max_pool2d(self.stages[1](self.stages[0](x)), 2)
        features = [self.stages[2](x)]
        for stage in list(self.stages)[3:]:
            features.append(stage(F.max_pool2d(features[-1], 2)))
        maps: list[Tensor] = []
        above: Tensor | None = None
        for level in reversed(range(len(STRIDES))):
            here = features[level]
            if above is not None:
                here = here + F.interpolate(above, scale_factor=2.0)
            above = self.laterals[level](here)
            maps.append(self._judged(level, self.towers[level](above)))
        return maps[::-1]

    def _judged(self, level: int, x: Tensor) -> Tensor:
        score = (self.cls[level](x).sigmoid() * self.obj[level](x).sigmoid()).sqrt()
        box, points = self.bbox[level](x), self.kps[level](x)
        # It counts from a cell's top left corner; here places count from the middle.
        return torch.cat([score, box[:, :2] - 0.5, box[:, 2:], points - 0.5], 1)


class _Unit(nn.Module):
    """A pointwise convolution and a depthwise one, rectified where a norm follows."""

    def __init__(self, state: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.pointwise = _convolution(state, f"{name}.conv1", None)
        norm = f"{name}.bn" if f"{name}.bn.weight" in state else None
        self.depthwise = _convolution(state, f"{name}.conv2", norm)
        self._rectified = norm is not None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.pointwise(x))
        return F.relu_(y) if self._rectified else y


def _convolution(
    state: Mapping[str, Tensor], name: str, norm: str | None, *, stride: int = 1
) -> nn.Conv2d:
    """A convolution of the file; one of a single input channel for each output is depthwise."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    outputs, inputs, side, _ = weight.shape
    groups = outputs if inputs == 1 else 1
    if norm is not None:
        factor = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _EPSILON).sqrt()
        weight = weight * factor.view(-1, 1, 1, 1)
        bias = (bias - state[f"{norm}.running_mean"]) * factor + state[f"{norm}.bias"]
    made = nn.Conv2d(inputs * groups, outputs, side, stride, side // 2, groups=groups)
    made.load_state_dict({"weight": weight, "bias": bias})
    return made
