import os
import tempfile
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from data.errors import ArgumentError
from recognition.learning.fast_layers import (
    QuickGlobal,
    QuickPReLU,
    QuickStrided,
    compiled,
    quicken,
)


def pair(channels: int) -> tuple[nn.PReLU, QuickPReLU]:
    slow, quick = nn.PReLU(channels), QuickPReLU(channels)
    slopes = torch.linspace(-0.5, 1.5, channels)
    for module in (slow, quick):
        module.weight.data.copy_(slopes)
    return slow, quick


@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (7, 6)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradients_are_those_of_torch(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    slow, quick = pair(6)
    data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    data[0, 0] = 0.0  # the kink
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    if len(shape) == 4:
        data = data.contiguous(memory_format=layout)
    results = []
    for module in (slow, quick):
        x = data.clone().requires_grad_(True)
        y = module(x)
        (y * weights).sum().backward()
        results.append((y.detach(), x.grad, module.weight.grad))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)


def test_gradient_against_finite_differences() -> None:
    _, quick = pair(3)
    quick = quick.double()
    x = torch.tensor([[0.5, -1.2, 2.0], [-0.3, 0.7, -2.0]], dtype=torch.float64)
    x = x.requires_grad_(True)
    assert torch.autograd.gradcheck(quick, (x,))
    slopes = quick.weight.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(quick, {"weight": w}, (x,)), (slopes,)
    )


def test_under_autocast_the_gradient_of_the_slopes_stays_float32() -> None:
    slow, quick = pair(6)
    x = torch.randn(8, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        quick(x.bfloat16()).float().sum().backward()
    slow(x).sum().backward()
    assert quick.weight.grad is not None
    assert quick.weight.grad.dtype == torch.float32
    torch.testing.assert_close(quick.weight.grad, slow.weight.grad, rtol=0.01, atol=0.5)


def test_quicken_keeps_state_and_shares_slopes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(4), nn.Sequential(nn.PReLU(4), nn.PReLU()))
    slopes = network[1].weight
    names = list(network.state_dict())
    quicken(network)
    assert list(network.state_dict()) == names
    assert network[1].weight is slopes
    kinds = [type(module) for module in network.modules() if isinstance(module, nn.PReLU)]
    assert kinds == [QuickPReLU, QuickPReLU, nn.PReLU]  # one slope for all stays torch's own


CONVOLUTIONS = [
    (nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False), (9, 8), QuickStrided),
    (nn.Conv2d(6, 6, 5, (2, 3), 2, groups=6), (11, 13), QuickStrided),
    (nn.Conv2d(6, 6, (7, 6), groups=6, bias=False), (7, 6), QuickGlobal),
    (nn.Conv2d(6, 6, 5, groups=6), (5, 5), QuickGlobal),
    (nn.Conv2d(6, 6, 5, groups=6), (8, 9), QuickGlobal),  # larger than the kernel
    (nn.Conv2d(6, 6, 3, 1, 1, groups=6), (8, 9), nn.Conv2d),
    (nn.Conv2d(6, 12, 3, 2, 1, groups=6), (8, 9), nn.Conv2d),
    (nn.Conv2d(6, 6, 3, 2, 1, groups=2), (8, 9), nn.Conv2d),
]


@pytest.mark.parametrize(("layer", "size", "kind"), CONVOLUTIONS)
def test_quick_convolutions_are_those_of_torch(
    layer: nn.Conv2d, size: tuple[int, int], kind: type[nn.Conv2d]
) -> None:
    slow = nn.Sequential(deepcopy(layer)).double()
    quick = deepcopy(slow)
    quicken(quick)
    assert type(quick[0]) is kind
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(3, 6, *size, generator=generator, dtype=torch.float64)
    results = []
    for network in (slow, quick):
        x = data.clone().requires_grad_(True)
        y = network(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results.append((y.detach(), x.grad, *(p.grad for p in network.parameters())))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_compiled_is_the_same_function_and_kept_where_nobody_else_can_write(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch finds there it runs; by itself, that is a folder of a known name in `/tmp`."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for name in ("TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(temporary / "torchinductor_somebody"))
    layers = nn.Conv2d(3, 4, 5), nn.PReLU(4), nn.Flatten(), nn.Linear(4 * 8 * 8, 6)
    network = nn.Sequential(*layers)
    images = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    gradients = []
    for forward in (network, compiled(network)):
        network.zero_grad()
        forward(images).square().sum().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    torch.testing.assert_close(*gradients)
    assert list((home / "compiled").rglob("*.so"))
    assert (home / "compiled").stat().st_mode & 0o777 == 0o700
    assert Path(os.environ["TRITON_CACHE_DIR"]).is_relative_to(home / "compiled")
    assert not list(temporary.glob("torch*"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ArgumentError, match="needs the C\\+\\+ compiler no-such-compiler"):
        compiled(network)
