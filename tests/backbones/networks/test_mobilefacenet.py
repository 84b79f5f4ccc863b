import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import ArgumentError

# Stride and residual of each bottleneck, written out from the paper's table.
BLOCKS = (
    [(2, False)] + [(1, True)] * 4 + [(2, False)] + [(1, True)] * 6 + [(2, False)] + [(1, True)] * 2
)


def _norm(x: Tensor, state: dict[str, Tensor], key: str) -> Tensor:
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    gain, bias = state[f"{key}.weight"], state[f"{key}.bias"]
    scale = gain / (var + 1e-5).sqrt()
    return x * scale[:, None, None] + (bias - mean * scale)[:, None, None]


def _by_the_paper(images: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The network as plain functions of its state, bytes in."""

    def block(x: Tensor, key: str, stride: int, padding: int, *, linear: bool = False) -> Tensor:
        weight = state[f"{key}.conv.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = _norm(F.conv2d(x, weight, None, stride, padding, 1, groups), state, f"{key}.bn")
        return x if linear else F.prelu(x, state[f"{key}.prelu.weight"])

    x = block((images - 127.5) / 128, "conv1", 2, 1)
    x = block(x, "dw_conv1", 1, 1)
    for i, (stride, residual) in enumerate(BLOCKS):
        k = f"blocks.{i}.conv"
        wide = _norm(F.conv2d(x, state[f"{k}.0.weight"]), state, f"{k}.1")
        wide = F.prelu(wide, state[f"{k}.2.weight"])
        deep = F.conv2d(wide, state[f"{k}.3.weight"], None, stride, 1, 1, wide.shape[1])
        deep = F.prelu(_norm(deep, state, f"{k}.4"), state[f"{k}.5.weight"])
        out = _norm(F.conv2d(deep, state[f"{k}.6.weight"]), state, f"{k}.7")
        x = x + out if residual else out
    x = block(x, "conv2", 1, 0)
    x = block(x, "linear7", 1, 0, linear=True)
    return block(x, "linear1", 1, 0, linear=True).flatten(1)


@pytest.mark.parametrize("size", [(112, 112), (112, 96)])
def test_it_computes_what_the_paper_says(size: tuple[int, int]) -> None:
    network = create("mobilefacenet", input_size=size, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for key, value in network.state_dict().items():  # statistics of a network that has seen data
        if key.endswith(("running_var", "bn.weight", "prelu.weight")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        if key.endswith(("running_mean", "bias")):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    images = torch.randint(0, 256, (2, 3, *size), generator=generator).double()
    expected = _by_the_paper(images, network.state_dict())
    with torch.no_grad():
        found = network.embedding(images / 255)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_it_has_a_million_parameters() -> None:
    assert sum(p.numel() for p in create("mobilefacenet").parameters()) == 1_003_136


@pytest.mark.parametrize("size", [(112, 100), (8, 112)])
def test_sides_that_are_no_multiple_of_its_stride_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="multiple of 16"):
        create("mobilefacenet", input_size=size)


def test_it_can_be_trained() -> None:
    network = create("mobilefacenet", input_size=(32, 32), seed=0).train()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.fixture(scope="module")
def aligned_people(shared: Path) -> list[Tensor]:
    """Of forty people each two photographs aligned to 112×112, (2, 3, 112, 112)."""
    people: dict[str, list[Tensor]] = {}
    with tarfile.open(shared / "datasets" / "lfw" / "lfw-aligned-112.tar") as archive:
        for member in archive:
            if member.isfile() and sum(len(photos) == 2 for photos in people.values()) < 40:
                photos = people.setdefault(Path(member.name).parent.name, [])
                stream = archive.extractfile(member)
                if len(photos) < 2 and stream is not None:
                    pixels = np.array(Image.open(io.BytesIO(stream.read())).convert("RGB"))
                    photos.append(torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    return [torch.stack(photos) for photos in people.values() if len(photos) == 2]


def test_the_shared_weights_tell_people_apart(
    teacher_weights: Path, aligned_people: list[Tensor]
) -> None:
    loaded = load_backbone(None, weights=teacher_weights)
    assert loaded.input_size == (112, 96)
    crops = torch.stack(aligned_people)[..., 8:104].flatten(0, 1)
    with torch.inference_mode():
        halves = [loaded.backbone.embedding(x) for x in (crops, crops.flip(-1))]
    vectors = F.normalize(torch.cat(halves, dim=1)).unflatten(0, (-1, 2))
    same = (vectors[:, 0] * vectors[:, 1]).sum(-1)
    others = (vectors[:, 0] @ vectors[:, 1].T)[~torch.eye(len(same), dtype=torch.bool)]
    assert loaded.threshold is not None
    assert (same >= loaded.threshold).float().mean() >= 0.95
    assert (others < loaded.threshold).float().mean() >= 0.97
