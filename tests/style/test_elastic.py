"""Where memory runs out, the tiles become smaller, and the losses stay what they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data.errors import StyleError
from style.config import StyleConfig
from style.network import StyleNetwork
from style.objective import StyleObjective
from style.regions import Area
from style.tiling import Cutter, ElasticObjective

Picture = Callable[..., Tensor]


def _scarce(network: StyleNetwork, pixels: int, error: Exception) -> StyleNetwork:
    """The network, on a machine that cannot look at more pixels at once."""

    def extract(image: Tensor) -> Mapping[str, Tensor]:
        if image.shape[2] * image.shape[3] > pixels and torch.is_grad_enabled():
            raise error
        return network.extract(image)

    return replace(network, extract=extract)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_tiles_become_smaller_until_they_fit(
    network: StyleNetwork, picture: Picture, error: Exception
) -> None:
    scarce = _scarce(network, 24 * 24, error)
    told: list[str] = []
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(scarce, *parts, cutter=Cutter(network, picture(0)), tell=told.append)
    image = picture(2).requires_grad_(True)
    losses = elastic(image)
    losses["total"].backward()
    assert elastic.tile == 24
    assert len(told) == 2  # 96 px, 48 px, 24 px
    assert told[0].endswith("painting in tiles of 48 px")

    expected = picture(2).requires_grad_(True)
    whole = StyleObjective(network, *parts)(expected)
    whole["total"].backward()
    for name, loss in whole.items():
        torch.testing.assert_close(losses[name], loss, rtol=1e-4, atol=0)
    assert image.grad is not None
    assert expected.grad is not None
    assert (image.grad - expected.grad).norm() < 1e-4 * expected.grad.norm()


def test_without_memory_for_the_smallest_tile_it_ends_with_one_line(
    network: StyleNetwork, picture: Picture
) -> None:
    scarce = _scarce(network, 10, MemoryError())
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(scarce, *parts, cutter=Cutter(network, picture(0)))
    with pytest.raises(StyleError, match="not memory enough for a picture of 96×72 px"):
        elastic(picture(2))


def test_other_errors_pass(network: StyleNetwork, picture: Picture) -> None:
    broken = _scarce(network, 10, RuntimeError("of another kind"))
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(broken, *parts, cutter=Cutter(network, picture(0)))
    with pytest.raises(RuntimeError, match="of another kind"):
        elastic(picture(2))


def test_a_picture_that_fits_its_tile_is_looked_at_in_one_piece(
    network: StyleNetwork, picture: Picture
) -> None:
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    cutter = Cutter(network, picture(0))
    assert ElasticObjective(network, *parts, cutter=cutter, tile=96).tile is None
    assert ElasticObjective(network, *parts, cutter=cutter, tile=95).tile == 95
