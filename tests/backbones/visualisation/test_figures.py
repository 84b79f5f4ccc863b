"""What a picture is made into before a network looks at it."""

import pytest
import torch

from backbones.registry import create
from backbones.spec import HeadPooling
from backbones.visualisation import Show
from backbones.visualisation.figures import draw, prepare
from backbones.visualisation.units import Unit
from data.errors import ArgumentError


@pytest.mark.parametrize("show", Show)
@pytest.mark.parametrize("size", [(40, 3000), (2000, 33), (500, 400), (33, 33)])
def test_what_is_prepared_is_large_enough_and_no_larger_than_it_was(
    show: Show, size: tuple[int, int]
) -> None:
    network = create("squeezenet1_1", seed=0).requires_grad_(False)
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    for unit in (None, Unit("fire9", 3), Unit("relu1", 0)):
        found = prepare(show, network, image, [] if unit is None else [unit])
        assert found.shape[1] <= size[0]
        assert found.shape[2] <= size[1]
        tap = network.spec.taps[-1].name if unit is None else unit.tap
        assert network.features(found[None], [tap])[tap].shape[2:].numel() >= 1
        if unit is None:
            assert torch.isfinite(network.embedding(found[None])).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet5", {}),
        ("mobilenet_v1", {"head_pooling": HeadPooling.GLOBAL_DEPTHWISE, "input_size": (64, 64)}),
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (300, 20), (64, 90)])
def test_a_network_of_one_size_gets_that_size(
    name: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    network = create(name, seed=0, **options)  # type: ignore[arg-type]
    found = prepare(Show.SALIENCY, network, torch.rand(3, *size))
    assert tuple(found.shape[1:]) == network.spec.input_size
    network.eval().embedding(found[None])


@pytest.mark.parametrize("show", [Show.MAPS, Show.PATCHES, Show.SALIENCY])
def test_no_picture_is_refused(show: Show) -> None:
    network = create("squeezenet1_1", seed=0).requires_grad_(False)
    with pytest.raises(ArgumentError, match="picture"):
        draw(show, network, iter(()))
