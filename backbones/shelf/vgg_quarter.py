"""VGG-19 at a quarter of its width, distilled for style transfer."""

from ..spec import IDENTITY
from .imagenet import OWN, classifier
from .vgg import QUARTER, QUARTER_DEPTHS, relu_taps

SPECS = (
    classifier(
        "vgg19_quarter",
        "VGG-19 up to relu5_1 at a quarter of its width, distilled by its paper's authors",
        relu_taps(QUARTER, QUARTER_DEPTHS),
        content="relu4_2",
        style=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        paper=(
            "H. Wang, Y. Li, Y. Wang, H. Hu, M.-H. Yang: Collaborative Distillation for "
            "Ultra-Resolution Universal Style Transfer, 2020"
        ),
        parameters=810_140,
        normalisation=IDENTITY,
        licence=OWN,
    ),
)
