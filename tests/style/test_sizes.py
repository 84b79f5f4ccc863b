"""Every network of the shelf paints at sizes that no stride divides, down to the least it takes."""

import pytest
import torch

from backbones.registry import create
from data.errors import ArgumentError
from style.config import StyleConfig
from style.network import StyleNetwork
from style.planning import Room
from style.stylize import plan_painting, stylize

# One of each structure; `tests/backbones/test_sizes.py` tries the gradients of every family.
PAINTERS = (
    "alexnet",
    "dlib_resnet",
    "inception_resnet_v1",
    "iresnet_se",
    "lenet5",
    "mobilefacenet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg19_quarter",
    "vgg_slim",
    "vit_small_16",
    "zfnet",
)


def _picture(height: int, width: int, seed: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PAINTERS)
def test_what_is_planned_can_be_painted(name: str) -> None:
    config = StyleConfig(size=101, steps=2, first_scale=67, precision="float32")
    network = StyleNetwork.of(create(name, seed=0), config)
    content, style = _picture(97, 101, 0), _picture(network.least_side, 71, 1)
    assert plan_painting(content, [style], config, network, room=Room(memory=4)).scales
    *_, last = stylize(content, [style], config, network, room=Room(memory=4))
    assert last.image is not None
    assert last.image.size == (101, 97)


@pytest.mark.parametrize("name", ["inception_resnet_v1", "dlib_resnet", "vgg_slim"])
def test_a_picture_below_the_least_side_is_refused_before_anything_is_computed(name: str) -> None:
    config = StyleConfig(size=128, steps=1)
    network = StyleNetwork.of(create(name, seed=0), config)
    least = network.least_side
    with pytest.raises(ArgumentError, match=f"needs {least} px on the shorter side"):
        stylize(_picture(least - 1, 128, 0), [_picture(64, 64, 1)], config, network)
    with pytest.raises(ArgumentError, match=f"needs {least} px on the shorter side"):
        stylize(_picture(128, 128, 0), [_picture(64, least - 1, 1)], config, network)
