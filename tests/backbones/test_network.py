import copy
from collections.abc import Callable

import pytest
import torch
from families import lightest
from torch import nn

from backbones.network import Backbone, Normalise
from backbones.registry import available, create, spec_of
from backbones.spec import IMAGENET, Norm
from data.errors import ArgumentError

RandomNetwork = Callable[[str], Backbone]


def _images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", available())
def test_every_declared_tap_is_what_the_network_gives(name: str, shapes_of: RandomNetwork) -> None:
    network = shapes_of(name)
    taps = network.spec.taps
    names = [tap.name for tap in taps]
    small = network.features(torch.empty(1, 3, 96, 96, device="meta"), names)
    # Two of the largest strides more in height, one in width, make so many cells more at every
    # tap, whatever the padding.
    most = max(tap.stride for tap in taps)
    large = network.features(torch.empty(1, 3, 96 + 2 * most, 96 + most, device="meta"), names)
    for tap in taps:
        height, width = small[tap.name].shape[2:]
        assert small[tap.name].shape[:2] == (1, tap.channels)
        more = most // tap.stride
        assert large[tap.name].shape[2:] == (height + 2 * more, width + more)
        assert 1 <= height <= 96 / tap.stride


@pytest.mark.parametrize("name", lightest())
def test_every_tap_is_alive_with_random_weights(name: str, random_network: RandomNetwork) -> None:
    network = random_network(name)
    for features in network.features(
        _images(1, 96, 96), [t.name for t in network.spec.taps]
    ).values():
        assert torch.isfinite(features).all()
        assert features.std() > 0


@pytest.mark.parametrize("name", lightest())
def test_nothing_behind_the_last_tap_is_computed(name: str) -> None:
    network = create(name, seed=0)
    executed: set[str] = set()
    for path, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, path=path: executed.add(path))
    middle = network.spec.taps[1].name
    network.features(_images(1, 96, 96), [middle])
    beyond = {
        path
        for stage, layers in network.stages_through(network.spec.taps[-1].name)
        if stage not in {tap.name for tap in network.spec.taps[:2]}
        for layer in layers
        for path, module in network.named_modules()
        if module in layer.modules()
    }
    assert executed
    assert not executed & beyond
    assert not any("head" in path or "linear" in path for path in executed)


@pytest.mark.parametrize("name", lightest())
def test_embeddings_have_the_declared_size_and_do_not_depend_on_the_batch(
    name: str, random_network: RandomNetwork
) -> None:
    network = random_network(name)
    # Those that average over the image take any size, and this one takes less time.
    size = (96, 96) if network.spec.embedding_size is None else network.spec.input_size
    images = _images(2, *size)
    together = network.embedding(images)
    assert together.shape == (2, network.spec.dimension)
    assert torch.isfinite(together).all()
    alone = torch.cat([network.embedding(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    assert torch.equal(network(images), together)


@pytest.mark.parametrize("name", lightest())
def test_a_head_of_any_size_can_be_asked_for(name: str) -> None:
    size = (96, 96) if spec_of(name).embedding_size is None else None
    network = create(name, embedding_size=24, input_size=size, seed=0)
    assert network.embedding(_images(2, *network.spec.input_size)).shape == (2, 24)
    with pytest.raises(ValueError, match="got"):
        network.embedding(_images(2, 80, 80))


def test_features_come_in_the_order_asked_for(random_network: RandomNetwork) -> None:
    network = random_network("squeezenet1_0")
    taps = ["fire5", "relu1", "fire2"]
    features = network.features(_images(1, 64, 64), taps)
    assert list(features) == taps
    for tap in taps:
        torch.testing.assert_close(
            features[tap], network.features(_images(1, 64, 64), [tap])[tap], rtol=0, atol=0
        )


def test_a_copy_runs_its_own_layers(random_network: RandomNetwork) -> None:
    network = random_network("resnet18")
    images = _images(1, 64, 64)
    before = network(images)
    twin = copy.deepcopy(network)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(network(images), before)
    assert twin(images).abs().sum() == 0


def test_gradients_reach_the_image(random_network: RandomNetwork) -> None:
    images = _images(1, 48, 48).requires_grad_()
    random_network("vgg19_quarter").features(images, ["relu3_1"])["relu3_1"].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("taps", [[], ["relu1", "nowhere"]])
def test_taps_that_are_not_there_are_refused(
    taps: list[str], random_network: RandomNetwork
) -> None:
    with pytest.raises(ArgumentError, match="choose from relu1, fire2"):
        random_network("squeezenet1_0").features(_images(1, 64, 64), taps)


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(3, 32, 32),
        torch.rand(1, 1, 32, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    ],
)
def test_a_wrong_shape_or_type_says_what_came(
    images: torch.Tensor, random_network: RandomNetwork
) -> None:
    with pytest.raises(ValueError, match=r"expected floating-point images \(B, 3, H, W\), got"):
        random_network("squeezenet1_0").features(images, ["relu1"])


def test_normalisation_is_that_of_the_spec_and_no_part_of_the_state() -> None:
    normalise = Normalise(IMAGENET)
    black, white = normalise(torch.zeros(1, 3, 1, 1)), normalise(torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(
        black.flatten(), torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    )
    torch.testing.assert_close(
        white.flatten(), torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    )
    assert not normalise.state_dict()


def test_stages_that_are_not_the_declared_taps_are_refused() -> None:
    network = Backbone(spec_of("resnet18"))
    with pytest.raises(ValueError, match="declares taps"):
        network.chain({"conv1": [nn.Identity()]}, head=[])


@pytest.mark.parametrize("name", lightest())
def test_parameter_groups_hold_every_parameter_once(name: str) -> None:
    with torch.device("meta"):
        network = create(name)
    groups = network.parameter_groups()
    assert list(groups) == [*(tap.name for tap in network.spec.taps), "head"]
    held = [id(parameter) for group in groups.values() for parameter in group]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in network.parameters()}


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("mobilefacenet", 32)])
def test_frozen_stages_stay_as_they_are_and_the_others_learn(name: str, size: int) -> None:
    network = create(
        name, input_size=(size, size), embedding_size=4, stn=True, norm=Norm.BATCH, seed=0
    )
    names = [tap.name for tap in network.spec.taps]
    network.freeze(up_to=names[1])
    network.train()
    groups = network.parameter_groups()
    before = copy.deepcopy(network.state_dict())
    network(_images(2, size, size)).square().sum().backward()
    torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1).step()
    learnt = {name for name, group in groups.items() if any(p.requires_grad for p in group)}
    assert learnt == {*names[2:], "head"}
    changed = {key for key, value in network.state_dict().items() if not value.equal(before[key])}
    frozen = {id(p) for name in names[:2] for p in groups[name]}
    for key, parameter in network.named_parameters():
        assert (id(parameter) in frozen) <= (key not in changed), key
    assert any("running_mean" in key for key in changed)  # of those that learn
    first = next(key for key in before if "running_mean" in key)
    assert first not in changed  # statistics of a frozen norm are kept too
    network.freeze(up_to=None)
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())
    with pytest.raises(ArgumentError, match="choose from"):
        network.freeze(up_to="nowhere")


@pytest.mark.parametrize("name", available())
def test_every_member_has_a_finite_gradient_at_its_first_layer(name: str) -> None:
    spec = spec_of(name)
    # No larger than need be: a multiple of 16, two cells or more, and what dlib's last block takes.
    side = max(-(-spec.taps[-1].least_side // 16) * 16, 112 if name == "dlib_resnet" else 32)
    network = create(name, seed=0, input_size=(side, side)).train()
    size = network.spec.input_size
    embedding = network(_images(2, *size))
    assert embedding.shape == (2, spec.dimension)
    assert torch.isfinite(embedding).all()
    embedding.square().mean().backward()
    first = next(parameter for parameter in network.parameters() if parameter.requires_grad)
    assert first.grad is not None
    assert torch.isfinite(first.grad).all()
    assert first.grad.abs().sum() > 0
