import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.registry import create
from backbones.spec import Alignment
from data.errors import ArgumentError

STAGES = {"stage1": 2, "stage2": 3, "stage3": 2}


def _norm(x: Tensor, state: dict[str, Tensor], key: str) -> Tensor:
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    scale = state[f"{key}.weight"] / (var + 1e-5).sqrt()
    shape = (-1, *[1] * (x.ndim - 2))
    return x * scale.view(shape) + (state[f"{key}.bias"] - mean * scale).view(shape)


def _unit(x: Tensor, state: dict[str, Tensor], key: str, stride: int) -> Tensor:
    body = f"{key}.body"
    y = F.conv2d(_norm(x, state, f"{body}.0"), state[f"{body}.1.weight"], padding=1)
    y = _norm(y, state, f"{body}.2")
    y = y.clamp(min=0) + state[f"{body}.3.weight"].view(-1, 1, 1) * y.clamp(max=0)
    y = _norm(F.conv2d(y, state[f"{body}.4.weight"], None, stride, 1), state, f"{body}.5")
    squeezed = y.mean((2, 3))  # a channel's mean decides by two layers how much of it passes
    for layer, act in (("fc1", torch.relu), ("fc2", torch.sigmoid)):
        weight = state[f"{body}.6.{layer}.weight"][:, :, 0, 0]
        squeezed = act(squeezed @ weight.T + state[f"{body}.6.{layer}.bias"])
    y = y * squeezed[:, :, None, None]
    if stride == 1:
        return y + x
    means = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    projected = torch.einsum("oi,bihw->bohw", state[f"{key}.shortcut.1.weight"][:, :, 0, 0], means)
    return y + _norm(projected, state, f"{key}.shortcut.2")


def _by_the_papers(images: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The network as plain functions of its state, bytes in."""
    x = F.conv2d((images - 127.5) / 128, state["stem.0.weight"], None, 2, 1)
    x = F.prelu(_norm(x, state, "stem.1"), state["stem.2.weight"])
    for stage, count in STAGES.items():
        for i in range(count):
            x = _unit(x, state, f"stages.{stage}.{i}", 2 if i == 0 else 1)
    x = (x * state["head.0.weight"][:, 0]).sum((2, 3))  # each place has a weight of its own
    x = _norm(x, state, "head.1") @ state["head.3.weight"].T
    return _norm(x, state, "head.4")


@pytest.mark.parametrize("size", [(96, 96), (64, 48)])
def test_it_computes_what_the_papers_say(size: tuple[int, int]) -> None:
    network = create("iresnet_se", input_size=size, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for key, value in network.state_dict().items():  # statistics of a network that has seen data
        if key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        if key.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    images = torch.randint(0, 256, (2, 3, *size), generator=generator).double()
    expected = _by_the_papers(images, network.state_dict())
    with torch.no_grad():
        found = network.embedding(images / 255)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_its_weights_are_small_enough_to_come_along() -> None:
    network = create("iresnet_se")
    assert sum(p.numel() for p in network.parameters()) == 1_147_888
    assert sum(4 * value.numel() for value in network.state_dict().values()) < 4_900_000


def test_it_takes_faces_that_are_aligned_by_the_eyes() -> None:
    spec = create("iresnet_se").spec
    assert (spec.alignment, spec.input_size) == (Alignment.EYES, (96, 96))


@pytest.mark.parametrize("size", [(96, 100), (8, 96)])
def test_sides_that_are_no_multiple_of_its_stride_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="multiple of 16"):
        create("iresnet_se", input_size=size)


def test_it_can_be_trained() -> None:
    network = create("iresnet_se", input_size=(32, 32), seed=0).train()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(4, 128, generator=torch.Generator().manual_seed(1))
    (network(images) * weights).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
