"""A teacher of random weights, boxed photographs, and a run that takes a second."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.tensors import write_tensors
from recognition.detection.training.config import (
    DetectorTrainingConfig,
    MosaicConfig,
    MosaicSourceConfig,
)

_WIDTHS = (16, 16, 64, 64, 64, 64, 64)


def _unit(
    name: str, inputs: int, outputs: int, norm: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.conv1.weight", (outputs, inputs, 1, 1)
    yield f"{name}.conv1.bias", (outputs,)
    yield f"{name}.conv2.weight", (outputs, 1, 3, 3)
    yield f"{name}.conv2.bias", (outputs,)
    if norm:
        for kind in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.bn.{kind}", (outputs,)


def yunet_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of YuNet-n's tensors."""
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.model0.conv1.weight": (16, 3, 3, 3),
        "backbone.model0.conv1.bias": (16,),
    }
    for kind in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"backbone.model0.bn1.{kind}"] = (16,)
    shapes |= _unit("backbone.model0.conv2", 16, 16, True)
    for number, (inputs, middle, outputs) in enumerate(
        [(16, 16, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64)], start=1
    ):
        shapes |= _unit(f"backbone.model{number}.conv1", inputs, middle, True)
        shapes |= _unit(f"backbone.model{number}.conv2", middle, outputs, True)
    for level in range(3):
        shapes |= _unit(f"neck.lateral_convs.{level}", 64, 64, True)
        shapes |= _unit(f"bbox_head.multi_level_share_convs.{level}.0", 64, 64, True)
        for kind, outputs in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            shapes |= _unit(f"bbox_head.multi_level_{kind}.{level}", 64, outputs, False)
    return shapes


@pytest.fixture(scope="session")
def random_yunet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of YuNet's shapes, filled at random."""
    source = torch.Generator().manual_seed(2)
    tensors = {}
    for name, shape in yunet_shapes().items():
        if name.endswith("running_var"):
            tensors[name] = torch.rand(shape, generator=source) + 0.5
        else:
            tensors[name] = torch.randn(shape, generator=source) * 0.3
    path = tmp_path_factory.mktemp("yunet") / "yunet.safetensors"
    write_tensors(path, tensors, {})
    return path


@pytest.fixture
def config(tmp_path: Path, random_yunet: Path) -> DetectorTrainingConfig:
    """Four boxed photographs of noise, six portraits, and a run of four steps."""
    rng = np.random.default_rng(4)
    for folder in ("boxed/images", "boxed/annotations", "portraits/Ann", "portraits/Ben"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(4):
        pixels = rng.integers(0, 256, (10, 12, 3), np.uint8)
        image = Image.fromarray(pixels).resize((120, 100))
        image.save(tmp_path / f"boxed/images/{number}.png")
        (tmp_path / f"boxed/annotations/{number}.xml").write_text(
            "<annotation><object><bndbox><xmin>30</xmin><ymin>20</ymin><xmax>70</xmax>"
            "<ymax>60</ymax></bndbox></object></annotation>"
        )
    for number in range(6):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        name = "Ann" if number < 3 else "Ben"
        Image.fromarray(pixels).resize((80, 80)).save(
            tmp_path / f"portraits/{name}/{name}_{number}.png"
        )
    boxed = {
        "photographs": tmp_path / "boxed/images",
        "annotations": tmp_path / "boxed/annotations",
    }
    return DetectorTrainingConfig(
        out=tmp_path / "run",
        teacher=random_yunet,
        sources=(
            MosaicSourceConfig(photographs=tmp_path / "portraits", share=1),
            MosaicSourceConfig(**boxed, share=1, scene=True, count=2),
        ),
        validation=MosaicSourceConfig(**boxed, skip=2),
        mosaics=MosaicConfig(count=10, side=64),
        steps=4,
        batch=2,
        every=2,
        warmup=1,
        averaging=0.5,
        seed=3,
        device="cpu",
    )
