"""int8: weights and what flows into each layer as integers of eight bits.

B. Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, 2018. Weights have 63 steps on both sides of 0; what flows in has 255 up from 0, or 127
on both sides of it, as far as was measured beforehand. Weights leave half of their steps unused: a
processor without VNNI adds products of two pairs in 16 bits, which all of them would overflow.

A network that is loaded from such a file rounds in float32 just where integers would, so that it
answers, and has gradients, everywhere. Where OpenVINO is installed a processor computes it in
integers, which is what it is for.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import WeightsError

from ..network import Backbone
from .forms import IntegerForm, rows_of

LARGEST = 63
"""Of a weight, and of its negative."""
_WIDTH = 127
"""What OpenVINO takes a weight's largest integer for; other widths it computes wrongly or not at
all in integers. No weight goes beyond `LARGEST`."""
_SIGNED, _UNSIGNED = 127, 255
_LEAST = 1e-12
_CALIBRATION_BATCH = 16
"""Pictures of which the ends are taken; those of all such batches are averaged."""

_CHECKED = 4
LEAST_ALIKE = 0.98
"""Of what OpenVINO answers to what the network answers itself, as a cosine. They differ a little,
for a sum in another order may be rounded to the next step."""

Range = tuple[float, float]
"""The least and the largest number that flows into a layer; 0 lies between them."""


def integer_form(tensor: Tensor, ends: Range) -> IntegerForm:
    """Round weights to integers.

    Args:
        tensor: (outputs, …), finite.
        ends: Of what flows into the layer.
    """
    rows = rows_of(tensor)
    scale = (rows.abs().amax(1) / LARGEST).float()
    scale = torch.where(scale > 0, scale, 1.0)
    codes = (rows / scale.double()[:, None]).round().clamp(-LARGEST, LARGEST)
    shape = tuple(tensor.shape)
    return IntegerForm(shape=shape, codes=codes.to(torch.int8).view(shape), scale=scale, ends=ends)


def calibrate(backbone: Backbone, pictures: Tensor) -> dict[str, Range]:
    """Measure what flows into each layer of weights.

    Args:
        backbone: Frozen and in eval mode.
        pictures: (N, 3, H, W) uint8.

    Returns:
        By the name of the layer's weight.
    """
    seen: dict[str, list[tuple[float, float]]] = {}
    hooks = []
    for name, layer in _layers(backbone).items():

        def look(_: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
            low, high = given[0].aminmax()
            seen.setdefault(f"{name}.weight", []).append((float(low), float(high)))

        hooks.append(layer.register_forward_pre_hook(look))
    try:
        with torch.inference_mode():
            for part in torch.split(pictures, _CALIBRATION_BATCH):
                backbone.embedding(part.float() / 255)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: (
            min(0.0, sum(low for low, _ in ends) / len(ends)),
            max(0.0, sum(high for _, high in ends) / len(ends)),
        )
        for name, ends in seen.items()
    }


class IntegerConv2d(nn.Conv2d):
    """A convolution whose weights and input are rounded to integers of eight bits."""

    steps: Tensor
    input_step: float
    signed: bool

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H', W')."""
        rounded = _rounded_input(x, self.input_step, signed=self.signed)
        done: Tensor = self._conv_forward(rounded, _rounded(self.weight, self.steps), self.bias)
        return done


class IntegerLinear(nn.Linear):
    """A matrix whose weights and input are rounded to integers of eight bits."""

    steps: Tensor
    input_step: float
    signed: bool

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C')."""
        rounded = _rounded_input(x, self.input_step, signed=self.signed)
        return F.linear(rounded, _rounded(self.weight, self.steps), self.bias)


def round_layers(backbone: Backbone, ends: Mapping[str, Range]) -> None:
    """Have layers round as integers would.

    Args:
        backbone: Its weights are integers times a step already.
        ends: By the name of the layer's weight; others stay as they are.

    Raises:
        WeightsError: There is no such layer.
    """
    layers = _layers(backbone)
    for name, (low, high) in ends.items():
        layer = layers.get(name.removesuffix(".weight"))
        if layer is None:
            raise WeightsError(f"{name} is of no layer that is computed in integers")
        largest = layer.weight.detach().reshape(len(layer.weight), -1).abs().amax(1)
        # The same layer in all but `forward`; its state keeps its names.
        kind = IntegerConv2d if isinstance(layer, nn.Conv2d) else IntegerLinear
        layer.__class__ = kind
        assert isinstance(layer, IntegerConv2d | IntegerLinear)
        steps = torch.where(largest > 0, largest / LARGEST, 1.0)
        layer.register_buffer("steps", steps, persistent=False)
        # Steps lie evenly on both sides of 0 where there are numbers on both: a layer that pads has
        # to have 0 for a 0, which OpenVINO does not keep to where 0 is another integer.
        layer.signed = low < 0
        reach = max(-low, high, _LEAST)
        layer.input_step = reach / (_SIGNED if layer.signed else _UNSIGNED)


def _rounded_input(x: Tensor, step: float, *, signed: bool) -> Tensor:
    ends = (-_SIGNED - 1, _SIGNED) if signed else (0, _UNSIGNED)
    return torch.fake_quantize_per_tensor_affine(x, step, 0, *ends)


def _rounded(weight: Tensor, steps: Tensor) -> Tensor:
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=steps.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -_WIDTH, _WIDTH)


def _layers(backbone: Backbone) -> dict[str, nn.Conv2d | nn.Linear]:
    """The layers that a processor has integer arithmetic for, by name."""
    return {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def is_accelerated() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def import_openvino() -> Any:
    """OpenVINO, without the part of it that tells its publisher of every model it translates.

    It does so unasked, and makes a file in the home directory by which it knows the user again;
    nothing leaves this machine.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


class Accelerated:
    """A network's embedding, computed by OpenVINO in integers on the processor.

    The first images that it is asked about, it answers both ways: a translation that answers
    otherwise than the network itself, as some of networks with random weights do, is not used.

    Args:
        backbone: Its layers round as `round_layers` has them do. It is translated when it is
            first asked, which takes about as long as hundreds of its answers.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._compiled: Any = None
        self._is_tried = False
        self._lock = threading.Lock()  # it answers one at a time, and is translated once

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, D), without gradient."""
        if not len(images):  # nothing to compare the answers of, and nothing to be quick at
            return self._slowly(images)
        with self._lock:
            if not self._is_tried:
                self._compiled, self._is_tried = self._checked(images[:_CHECKED]), True
            if self._compiled is None:
                return self._slowly(images)
            return _answer(self._compiled, images)

    def _slowly(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self._backbone.embedding(images)

    def _checked(self, images: Tensor) -> Any:
        """The translation, or None where it answers otherwise."""
        try:
            compiled = self._translated()
            found = F.cosine_similarity(_answer(compiled, images), self._slowly(images))
            reason = f"its answers have a cosine of {float(found.min()):.3f} to the right ones"
            if float(found.min()) >= LEAST_ALIKE:
                return compiled
        except RuntimeError as error:  # what OpenVINO raises for whatever it does not know
            reason = str(error).strip().partition("\n")[0]
        logging.getLogger(__name__).warning(
            "OpenVINO is not used for %s: %s", self._backbone.spec.name, reason
        )
        return None

    def _translated(self) -> Any:
        openvino = import_openvino()
        example = torch.zeros(1, 3, *self._backbone.spec.input_size)
        # What is traced must not be traced as inference alone: its tensors could not be shared.
        with (
            torch.inference_mode(mode=False),
            torch.no_grad(),
            warnings.catch_warnings(action="ignore"),  # torch's, that tracing grows old
        ):
            model = openvino.convert_model(_Embedding(self._backbone), example_input=example)
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            # Else what is not of integers is computed in bfloat16 where a processor has that.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        return openvino.Core().compile_model(model, "CPU", settings)


def _answer(compiled: Any, images: Tensor) -> Tensor:
    return torch.from_numpy(compiled(images.contiguous().numpy())[0].copy())


class _Embedding(nn.Module):
    """What is translated: the embedding alone."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """As `Backbone.embedding`."""
        return self.backbone.embedding(images)
