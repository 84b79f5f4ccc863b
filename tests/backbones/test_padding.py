"""What convolutions see beyond the borders."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones.features import continue_maps, continue_picture


@pytest.mark.parametrize("padding", [0, 1, "reflect"])
@pytest.mark.parametrize("size", [3, 7])
def test_half_a_kernel_of_outermost_pixels_is_repeated(padding: int | str, size: int) -> None:
    mode = "zeros" if isinstance(padding, int) else padding
    convolution = nn.Conv2d(
        3, 4, size, padding=padding if mode == "zeros" else 1, padding_mode=mode
    )
    continued = continue_picture(convolution)
    assert continued is not None
    picture = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    padded = F.pad(picture, (size // 2,) * 4, mode="replicate")
    expected = F.conv2d(padded, convolution.weight, convolution.bias)
    torch.testing.assert_close(continued(picture), expected)
    assert expected.shape[-2:] == (9, 11)


def test_of_a_composite_layer_only_the_first_convolution_changes() -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3))
    continued = continue_picture(block)
    assert isinstance(continued, nn.Sequential)
    assert isinstance(continued[0], nn.Conv2d)
    assert isinstance(continued[1], nn.Sequential)
    assert isinstance(continued[2], nn.Conv2d)
    assert isinstance(block[1], nn.Conv2d)  # the network's own is as it was


def test_a_convolution_of_single_pixels_needs_no_border() -> None:
    assert continue_picture(nn.Conv2d(3, 3, 1)) is None
    assert continue_picture(nn.ReLU()) is None


@pytest.mark.parametrize("padding", [1, (2, 0), "same"])
def test_maps_are_continued_where_there_would_be_zeros(padding: int | str) -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=padding), nn.ReLU())
    continued = continue_maps(block)
    picture = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    rows, columns = padding if isinstance(padding, tuple) else (1, 1)
    padded = F.pad(picture, (columns, columns, rows, rows), mode="replicate")
    expected = F.conv2d(padded, block[0].weight, block[0].bias).relu()  # type: ignore[arg-type]
    torch.testing.assert_close(continued(picture), expected)
    assert continued[0].weight is block[0].weight  # type: ignore[index]
    assert not torch.equal(block(picture), expected)  # the network's own is as it was


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
)
def test_what_pads_otherwise_or_not_at_all_stays(layer: nn.Module) -> None:
    assert continue_maps(layer) is layer
