"""Parameters and multiply-accumulates are those that papers and publishers state."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from torchvision.models import get_model_weights

from backbones.network import Backbone
from backbones.profile import profile
from backbones.registry import spec_of

CLASSES = 1000


def _linear(*widths: int) -> int:
    """Weights and biases of a chain of linear layers."""
    return sum((before + 1) * after for before, after in pairwise(widths))


# What the published classifier of a network adds to what is on the shelf.
HEADS = {
    "alexnet": _linear(256 * 6 * 6, 4096, 4096, CLASSES),
    "alexnet_2012": _linear(256 * 6 * 6, 4096, 4096, CLASSES),
    "zfnet": _linear(256 * 6 * 6, 4096, 4096, CLASSES),
    "convnext_tiny": 2 * 768 + _linear(768, CLASSES),
    "mobilenet_v3_small": _linear(576, 1024, CLASSES),
    "mobilenet_v3_large": _linear(960, 1280, CLASSES),
    "lenet5": 0,  # F6 is the embedding, and the codes of the output layer are fixed
    "lenet5_modern": _linear(84, 10),
    "ir_se50": 0,
} | {
    f"vgg{depth}{norm}": _linear(512 * 7 * 7, 4096, 4096, CLASSES)
    for depth in (11, 13, 16, 19)
    for norm in ("", "_bn")
}

# SqueezeNet classifies at every place and averages then.
PLACES = {"squeezenet1_0": 13 * 13, "squeezenet1_1": 13 * 13}

PUBLISHED = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_624_904,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "mobilenet_v2": 3_504_872,
    "shufflenet_v2_x1_0": 2_278_604,
    "squeezenet1_0": 1_248_424,
    "densenet121": 7_978_856,
    # Without its auxiliary classifier, which torchvision counts too.
    "inception_v3": 23_834_568,
    "alexnet_2012": 60_965_224,
    "zfnet": 62_357_608,
    "lenet5": 60_000,  # "only 60,000 trainable free parameters"
    "lenet5_modern": 61_706,
    "xception": 22_855_952,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v1_x0_75": 2_585_560,
    "mobilenet_v1_x0_5": 1_331_592,
    "mobilenet_v1_x0_25": 470_072,
    # ViT-S/16 with a class token has 22,050,664: the token and its place are 2 × 384 of them.
    "vit_small_16": 22_050_664 - 2 * 384,
    "ir_se50": 43_797_696,
}

# torchvision counts operations too, in thousands of millions, with the classifier.
TORCHVISION = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet18",
    "resnet101",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg16_bn",
    "wide_resnet50_2",
]


def _head(name: str) -> int:
    return HEADS.get(name, _linear(spec_of(name).taps[-1].channels, CLASSES))


@pytest.mark.parametrize("name", PUBLISHED)
def test_with_its_classifier_a_network_has_the_published_parameters(
    name: str, shapes_of: Callable[[str], Backbone]
) -> None:
    own = sum(parameter.numel() for parameter in shapes_of(name).parameters())
    assert own + _head(name) == PUBLISHED[name]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_members_cost_what_torchvision_says(name: str) -> None:
    says = next(iter(get_model_weights(name))).meta
    found = profile(name, (224, 224))
    assert found.parameters + _head(name) == says["num_params"]
    # Of the head's numbers the biases are no products: a thousandth of it at most.
    head = _head(name) * PLACES.get(name, 1)
    total = found.multiply_accumulates + head
    assert total / 1e9 == pytest.approx(says["_ops"], abs=0.0006, rel=0.004)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # ShuffleNet's table 1, which leaves the classifier out.
        ("shufflenet_v1_g1", 143),
        ("shufflenet_v1_g2", 140),
        ("shufflenet_v1_g3", 137),
        ("shufflenet_v1_g4", 133),
        ("shufflenet_v1_g8", 137),
        # MobileNet's table 6, which does not.
        ("mobilenet_v1", 569),
        ("mobilenet_v1_x0_75", 325),
        ("mobilenet_v1_x0_5", 149),
        ("mobilenet_v1_x0_25", 41),
    ],
)
def test_the_papers_multiply_accumulates_are_found(name: str, millions: int) -> None:
    found = profile(name, (224, 224)).multiply_accumulates
    if name.startswith("mobilenet"):
        found += CLASSES * spec_of(name).taps[-1].channels
    assert found / 1e6 == pytest.approx(millions, abs=0.8)


@pytest.mark.parametrize(("side", "millions"), [(192, 418), (160, 290), (128, 186)])
def test_mobilenets_resolution_is_the_size_of_the_image(side: int, millions: int) -> None:
    found = profile("mobilenet_v1", (side, side)).multiply_accumulates + CLASSES * 1024
    assert found / 1e6 == pytest.approx(millions, abs=1.0)
