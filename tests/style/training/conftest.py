"""Small photographs, a random teacher, and a config that trains in a moment."""

from dataclasses import replace

import pytest
import torch

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.images import save_image, to_image
from data.tensors import write_tensors
from style.training.config import StyleDataConfig, StyleOptimizerConfig, StyleTrainingConfig, Task


@pytest.fixture(scope="session")
def photographs(tmp_path_factory, picture):
    """A folder of six pictures of 96×72 px."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(6):
        save_image(to_image(picture(seed)), folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A weights file of a teacher of the student's shape."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    network = create("vgg19_quarter", seed=1)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


@pytest.fixture(scope="session")
def wide_teacher(tmp_path_factory):
    """A weights file of a teacher of other channels.

    A student of the same ones is whitened by the teacher's statistics, and those of a few random
    maps say nothing of the next ones.
    """
    path = tmp_path_factory.mktemp("wide") / "teacher.safetensors"
    network = create("vgg16", seed=1)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


@pytest.fixture
def config(photographs, wide_teacher, tmp_path):
    """Six steps of distillation."""
    return StyleTrainingConfig(
        task=Task.NETWORK,
        data=StyleDataConfig(photographs=photographs, held_out=2, crop=64, batch=2),
        out=tmp_path / "run",
        teacher="vgg16",
        teacher_weights=wide_teacher,
        forced=0.0,
        steps=6,
        every=2,
        seed=3,
        device="cpu",
    )


@pytest.fixture
def drafting(config):
    """The same for a decoder; its encoder has random weights."""
    path = config.out.parent / "encoder.safetensors"
    network = create("vgg_slim", seed=2)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return replace(
        config, task=Task.DRAFT, teacher=None, teacher_weights=None, encoder_weights=path
    )


@pytest.fixture
def quick():
    """A learning rate for few steps."""
    return StyleOptimizerConfig(rate=0.01, warmup=0.1)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
