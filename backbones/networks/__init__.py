"""One module a family of networks; importing this package registers them all."""

from . import inception_resnet_v1, iresnet, mobilefacenet, resnet, squeezenet, vgg, vgg_quarter

__all__ = [
    "inception_resnet_v1",
    "iresnet",
    "mobilefacenet",
    "resnet",
    "squeezenet",
    "vgg",
    "vgg_quarter",
]
