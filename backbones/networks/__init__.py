"""One module a family of networks; importing this package registers them all."""

from . import (
    dlib_resnet,
    inception_resnet_v1,
    iresnet,
    mobilefacenet,
    resnet,
    squeezenet,
    vgg,
    vgg_quarter,
)

__all__ = [
    "dlib_resnet",
    "inception_resnet_v1",
    "iresnet",
    "mobilefacenet",
    "resnet",
    "squeezenet",
    "vgg",
    "vgg_quarter",
]
