import pytest
import torch

from backbones.registry import create
from style.training.distillation import Student, _whitener

TAPS = {tap.name: tap.channels for tap in create("vgg_slim", seed=0).spec.taps}


@pytest.fixture
def images():
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def targets(images):
    """Feature maps of another network of the same shape."""
    with torch.no_grad():
        return create("vgg_slim", seed=9).features(images, list(TAPS))


@pytest.fixture
def student(images, targets):
    student = Student(create("vgg_slim", seed=0), TAPS, seed=0)
    student.measure([(images, targets)])
    return student


def test_what_is_kept_computes_what_the_student_computed(student, images):
    network = create("vgg_slim")
    network.load_state_dict(student.folded())
    with torch.no_grad():
        found = student(images)
        for tap, expected in network.features(images, list(TAPS)).items():
            torch.testing.assert_close(found[tap], expected, rtol=1e-4, atol=1e-5)


def test_it_begins_with_the_means_that_its_maps_are_to_have(student, images, targets):
    with torch.no_grad():
        for layer in student.network.convolutions:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.zero_()
        found = student(images, targets)
    for tap, maps in found.items():
        expected = targets[tap].mean(dim=(0, 2, 3))
        torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), expected, rtol=1e-3, atol=1e-3)


def test_its_size_is_that_of_its_targets_whatever_their_scale(images, targets):
    errors = []
    for scale in (1.0, 100.0):
        scaled = {tap: maps * scale for tap, maps in targets.items()}
        student = Student(create("vgg_slim", seed=0), TAPS, seed=0)
        student.measure([(images, scaled)])
        with torch.no_grad():
            found = student(images, scaled)
        errors.append((found["relu3_1"] / scale - targets["relu3_1"]).square().mean())
    torch.testing.assert_close(errors[0], errors[1], rtol=0.05, atol=0)


def test_a_network_that_is_not_a_plain_chain_keeps_its_parameters(images):
    network = create("vgg19_quarter", seed=0)  # pads by reflection
    channels = {tap.name: tap.channels for tap in network.spec.taps}
    student = Student(network, channels, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        student.measure([(images, network.features(images, list(channels)))])
    assert all(torch.equal(value, before[name]) for name, value in student.folded().items())


def test_whitened_patches_are_uncorrelated():
    source = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=source) + 3 * torch.eye(6)
    patches = torch.randn(5000, 6, generator=source) @ mixing
    covariance = patches.T @ patches / len(patches)
    whitened = patches @ _whitener(covariance)
    found = whitened.T @ whitened / len(patches)
    torch.testing.assert_close(found, torch.eye(6), rtol=0, atol=0.25)
