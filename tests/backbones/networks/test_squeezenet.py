from pathlib import Path

import torch
from torch.nn.functional import relu
from torchvision import models
from torchvision.transforms.functional import normalize

from backbones.registry import create
from backbones.weights import load_backbone

# Where torchvision's chain has what the paper's Table 1 names.
PLACES = {"relu1": 1, "fire2": 3, "fire3": 4, "fire4": 5, "fire5": 7, "fire6": 8} | {
    "fire7": 9,
    "fire8": 10,
    "fire9": 12,
}


def test_taps_are_those_of_torchvisions_network() -> None:
    network = create("squeezenet1_0", seed=0)
    reference = models.squeezenet1_0(weights=None).eval()
    state = {
        f"features.{k.removeprefix('convolutions.')}": v for k, v in network.state_dict().items()
    }
    assert not reference.load_state_dict(state, strict=False).unexpected_keys
    images = torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(0))
    found = network.features(images, list(PLACES))
    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for place, layer in enumerate(reference.features):
        x = layer(x)
        for tap in (tap for tap, where in PLACES.items() if where == place):
            torch.testing.assert_close(found[tap], relu(x), rtol=1e-4, atol=1e-5)


def test_the_shared_half_precision_weights_are_read_as_float32(shared: Path) -> None:
    weights = shared / "weights" / "squeezenet1_0-imagenet.safetensors"
    loaded = load_backbone("squeezenet1_0", weights=weights)
    assert {parameter.dtype for parameter in loaded.backbone.parameters()} == {torch.float32}
    assert loaded.threshold is None
    unnamed = load_backbone(None, weights=weights)
    assert unnamed.backbone.spec.name == "squeezenet1_0"
    with torch.inference_mode():
        embedding = loaded.backbone(torch.rand(1, 3, 100, 120))
    assert embedding.shape == (1, 512)
    assert embedding.isfinite().all()
