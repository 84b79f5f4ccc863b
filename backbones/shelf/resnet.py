"""ResNet-18 to ResNet-152, ResNeXt-50 and Wide ResNet-50: residual networks."""

from ..spec import BackboneSpec, Tap, WeightsSource
from .imagenet import classifier, imagenet_weights

_BASIC = (64, 128, 256, 512)
_BOTTLENECK = (256, 512, 1024, 2048)

_RESNET = "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, 2016"
_RESNEXT = (
    "S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He: Aggregated Residual Transformations for Deep "
    "Neural Networks, 2017"
)
_WIDE = "S. Zagoruyko, N. Komodakis: Wide Residual Networks, 2016"


def _resnet(
    name: str,
    summary: str,
    channels: tuple[int, ...],
    parameters: int,
    weights: tuple[WeightsSource, ...] = (),
    *,
    paper: str = _RESNET,
) -> BackboneSpec:
    # The first convolution, then the four layers of which each halves height and width.
    layers = (Tap(f"layer{i}", width, 2 ** (i + 1)) for i, width in enumerate(channels, start=1))
    return classifier(
        name,
        summary,
        (Tap("conv1", 64, 2), *layers),
        content="layer3",
        style=("conv1", "layer1", "layer2", "layer3"),
        paper=paper,
        parameters=parameters,
        weights=weights,
    )


SPECS = (
    _resnet(
        "resnet18",
        "ResNet-18: a small residual network, to train from",
        _BASIC,
        11_176_512,
        imagenet_weights(
            "resnet18-f37072fd.pth",
            sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
            size=46_830_571,
        ),
    ),
    _resnet(
        "resnet34",
        "ResNet-34: the deepest of those without bottlenecks",
        _BASIC,
        21_284_672,
        imagenet_weights(
            "resnet34-b627a593.pth",
            sha256="b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
            size=87_319_819,
        ),
    ),
    _resnet(
        "resnet50",
        "ResNet-50: a residual network, to train from",
        _BOTTLENECK,
        23_508_032,
        imagenet_weights(
            "resnet50-0676ba61.pth",
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            size=102_530_333,
        ),
    ),
    _resnet("resnet101", "ResNet-101: a residual network for much data", _BOTTLENECK, 42_500_160),
    _resnet(
        "resnet152",
        "ResNet-152: the deepest that its paper made for ImageNet",
        _BOTTLENECK,
        58_143_808,
        imagenet_weights(
            "resnet152-394f9c45.pth",
            sha256="394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
            size=241_627_562,
        ),
    ),
    _resnet(
        "resnext50_32x4d",
        "ResNeXt-50: each bottleneck split into 32 groups of 4 channels",
        _BOTTLENECK,
        22_979_904,
        paper=_RESNEXT,
    ),
    _resnet(
        "wide_resnet50_2",
        "Wide ResNet-50: bottlenecks twice as wide",
        _BOTTLENECK,
        66_834_240,
        imagenet_weights(
            "wide_resnet50_2-95faca4d.pth",
            sha256="95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8",
            size=138_223_492,
        ),
        paper=_WIDE,
    ),
)
