import pytest
import torch

from backbones.registry import available, create, register, spec_of
from data.errors import ArgumentError


def test_the_first_members_are_there() -> None:
    first = {
        "dlib_resnet",
        "inception_resnet_v1",
        "iresnet_se",
        "mobilefacenet",
        "resnet18",
        "resnet50",
        "squeezenet1_0",
        "vgg16",
        "vgg19",
        "vgg19_quarter",
    }
    assert first <= set(available())  # other tests of the same process may add their own
    assert list(available()) == sorted(available())


def test_a_name_cannot_be_registered_twice() -> None:
    with pytest.raises(ValueError, match="'vgg19' is registered already"):
        register(spec_of("vgg19"))


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("vgg20", ", such as vgg1"),
        ("mobilefacenets", ", such as mobilefacenet"),
        ("zzzz", "list`$"),
    ],
)
def test_an_unknown_name_is_told_where_the_known_ones_are_and_those_like_it(
    name: str, close: str
) -> None:
    with pytest.raises(ArgumentError, match=f"'{name}'; choose from .*`likeness models.*{close}"):
        create(name)


def test_a_seed_repeats_the_weights_and_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, again = (create("mobilefacenet", seed=3).state_dict() for _ in range(2))
    other = create("mobilefacenet", seed=4).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.conv.weight"], other["conv1.conv.weight"])


def test_without_a_seed_the_global_generator_decides() -> None:
    torch.manual_seed(5)
    first = create("mobilefacenet").state_dict()["conv1.conv.weight"]
    second = create("mobilefacenet").state_dict()["conv1.conv.weight"]
    assert not torch.equal(first, second)


def test_sizes_asked_for_are_built_and_said() -> None:
    network = create("mobilefacenet", embedding_size=32, input_size=(64, 48), seed=0)
    assert network.spec.dimension == 32
    assert network.spec.input_size == (64, 48)
    assert network(torch.rand(2, 3, 64, 48)).shape == (2, 32)
    assert not network.training
