"""VGG-19 at a quarter of its width, distilled for style transfer.

H. Wang, Y. Li, Y. Wang, H. Hu, M.-H. Yang: Collaborative Distillation for Ultra-Resolution
Universal Style Transfer, 2020. The whole chain, of which conv5_1 is the end, pads by reflection.
"""

from torch import nn

from ..network import Backbone
from ..registry import register
from ..spec import IDENTITY, Alignment, BackboneSpec, falling_weights
from .head import pooled_head
from .vgg import relu_taps

_CHANNELS = (16, 32, 64, 128, 128)
_DEPTHS = (2, 2, 4, 4, 1)

SPEC = BackboneSpec(
    name="vgg19_quarter",
    summary="VGG-19 up to relu5_1 at a quarter of its width, distilled: style at a quarter's cost",
    taps=relu_taps(_CHANNELS, _DEPTHS),
    content_taps=("relu4_2",),
    style_taps=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    style_tap_weights=falling_weights(5),
    input_size=(224, 224),
    alignment=Alignment.NONE,
    normalisation=IDENTITY,
    embedding_size=None,
    weights=(),
    licence="MIT (own implementation)",
)


class QuarterVGG(Backbone):
    """The network; its state is named as in the authors' files: conv11 is block 1's first one.

    The published weights hold 1×1 maps `conv*_aux` too, which bring five of its feature maps to
    VGG-19's own channels. They served the distillation, and no tap here has them: left out.
    """

    surplus = ("conv*_aux.*",)

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        # A fixed map from RGB in 0 … 1 to what Caffe's VGG expects: BGR, 0 … 255, mean taken away.
        self.conv0 = nn.Conv2d(3, 3, 1).requires_grad_(False)
        before: list[nn.Module] = [self.conv0]
        stages: dict[str, list[nn.Module]] = {}
        inputs = 3
        for block, (width, depth) in enumerate(zip(_CHANNELS, _DEPTHS, strict=True), start=1):
            for i in range(1, depth + 1):
                convolution = nn.Conv2d(inputs, width, 3, padding=1, padding_mode="reflect")
                self.add_module(f"conv{block}{i}", convolution)
                stages[f"relu{block}_{i}"] = [*before, convolution, nn.ReLU(inplace=True)]
                before, inputs = [], width
            before = [nn.MaxPool2d(2)]
        self.head = pooled_head(spec)
        self.chain(stages, head=[self.head])
        self.initialise_convolutions()


@register(SPEC)
def vgg19_quarter(spec: BackboneSpec) -> Backbone:
    """The quarter-width VGG-19."""
    return QuarterVGG(spec)
