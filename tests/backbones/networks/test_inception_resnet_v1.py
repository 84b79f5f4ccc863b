import urllib.request

import pytest
import torch
import torch.nn.functional as F
from facenet_pytorch import InceptionResnetV1

from backbones.registry import create


def test_the_embedding_is_facenet_pytorchs_before_it_is_normalised() -> None:
    network = create("inception_resnet_v1", seed=0)
    reference = InceptionResnetV1(pretrained=None).eval()
    reference.load_state_dict(network.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 160, 160), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network.embedding(pixels / 255)
        expected = reference((pixels - 127.5) / 128)
    torch.testing.assert_close(F.normalize(found), expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found.norm(dim=1), torch.ones(2))


def test_building_it_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("requests.sessions.Session.request", refuse)
    create("inception_resnet_v1")


def test_a_published_classifier_is_left_out() -> None:
    network = create("inception_resnet_v1", seed=0)
    assert network.own_key("logits.weight") is None
    assert network.own_key("last_linear.weight") == "last_linear.weight"


def test_another_embedding_size_changes_the_last_layers_alone() -> None:
    network = create("inception_resnet_v1", embedding_size=128, seed=0)
    assert network.get_parameter("last_linear.weight").shape == (128, 1792)
    assert network.get_submodule("last_bn").eps == 0.001
