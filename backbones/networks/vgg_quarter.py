"""VGG-19 at a quarter of its width, distilled for style transfer.

H. Wang, Y. Li, Y. Wang, H. Hu, M.-H. Yang: Collaborative Distillation for Ultra-Resolution
Universal Style Transfer, 2020. The whole chain, of which conv5_1 is the end, pads by reflection.
"""

from torch import nn

from ..network import Backbone
from ..shelf.vgg import QUARTER, QUARTER_DEPTHS
from ..spec import BackboneSpec
from .head import pooled_head


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
        for block, (width, depth) in enumerate(zip(QUARTER, QUARTER_DEPTHS, strict=True), start=1):
            for i in range(1, depth + 1):
                convolution = nn.Conv2d(inputs, width, 3, padding=1, padding_mode="reflect")
                self.add_module(f"conv{block}{i}", convolution)
                stages[f"relu{block}_{i}"] = [*before, convolution, nn.ReLU(inplace=True)]
                before, inputs = [], width
            before = [nn.MaxPool2d(2)]
        self.head = pooled_head(spec)
        self.chain(stages, head=[self.head])
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """The quarter-width VGG-19."""
    return QuarterVGG(spec)
