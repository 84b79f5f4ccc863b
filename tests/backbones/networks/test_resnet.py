import pytest
import torch
from torchvision import models
from torchvision.transforms.functional import normalize

from backbones.registry import create


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_taps_and_embedding_are_those_of_torchvisions_network(name: str) -> None:
    network = create(name, seed=0)
    reference = getattr(models, name)(weights=None).eval()
    missing, unexpected = reference.load_state_dict(network.state_dict(), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    reference.fc = torch.nn.Identity()
    seen: dict[str, torch.Tensor] = {}
    for tap in ("relu", "layer1", "layer2", "layer3", "layer4"):
        reference.get_submodule(tap).register_forward_hook(
            lambda _module, _args, out, tap=tap: seen.setdefault(tap, out.clone())
        )
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        embedding = reference(normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        found = network.features(images, [tap.name for tap in network.spec.taps])
        torch.testing.assert_close(network(images), embedding, rtol=1e-3, atol=1e-3)
    seen["conv1"] = seen.pop("relu")
    for tap, features in found.items():
        torch.testing.assert_close(features, seen[tap], rtol=1e-3, atol=1e-3)
