"""Members that are torchvision's: their names, shapes and numbers are torchvision's too."""

from collections.abc import Callable

import pytest
import torch
from torchvision.models import get_model, list_models

from backbones.network import Backbone
from backbones.registry import available, create

SHARED = sorted({*available()} & {*list_models()})
AUXILIARY = {"googlenet", "inception_v3"}

# Where torchvision averages over the image behind the last tap.
AVERAGED = {
    "convnext_tiny": "avgpool",
    "densenet121": None,  # in a function of its own
    "efficientnet_b0": "avgpool",
    "googlenet": "avgpool",
    "inception_v3": "avgpool",
    "mobilenet_v2": None,
    "mobilenet_v3_small": "avgpool",
    "shufflenet_v2_x0_5": None,
    "resnext50_32x4d": "avgpool",
}


def _reference(name: str) -> torch.nn.Module:
    more = {"init_weights": False, "aux_logits": False} if name in AUXILIARY else {}
    return get_model(name, weights=None, **more).eval()


@pytest.mark.parametrize("name", SHARED)
def test_published_names_and_shapes_fit(name: str, shapes_of: Callable[[str], Backbone]) -> None:
    network = shapes_of(name)
    with torch.device("meta"):
        more = {"init_weights": False} if name in AUXILIARY else {}
        published = get_model(name, weights=None, **more).state_dict()
    shapes = {
        own: tensor.shape for key, tensor in published.items() if (own := network.own_key(key))
    }
    assert shapes == {key: tensor.shape for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name", AVERAGED)
def test_the_embedding_is_what_torchvisions_classifier_averages(name: str) -> None:
    torch.manual_seed(1)
    reference = _reference(name)
    network = create(name, seed=0)
    state = {own: t for key, t in reference.state_dict().items() if (own := network.own_key(key))}
    network.load_state_dict(state)
    images = torch.rand(1, 3, 96, 75, generator=torch.Generator().manual_seed(0))
    x = network.normalise(images)
    with torch.inference_mode():
        if name == "mobilenet_v2":
            expected = reference.features(x)
        elif name == "densenet121":
            expected = reference.features(x).relu()
        elif place := AVERAGED[name]:
            seen = []
            layer = reference.get_submodule(place)
            layer.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
            reference(x)
            [expected] = seen
        else:
            expected = x
            for layer in list(reference.children())[:-1]:
                expected = layer(expected)
        found = network(images)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4 * scale)


def test_densenets_old_names_are_understood() -> None:
    network = create("densenet121", seed=0)
    key = "convolutions.denseblock1.denselayer1.norm1.weight"
    assert network.own_key("features.denseblock1.denselayer1.norm.1.weight") == key
    assert network.own_key("features.denseblock1.denselayer1.norm1.weight") == key
    assert key in network.state_dict()
    assert network.own_key("classifier.weight") is None
