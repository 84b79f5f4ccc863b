"""A small gallery, and templates to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template

MakeTemplate = Callable[..., Template]


@pytest.fixture
def model() -> EmbeddingModel:
    return EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the gallery is kept; not there yet."""
    return tmp_path / "home" / "gallery"


@pytest.fixture
def gallery(folder: Path, model: EmbeddingModel) -> Iterator[Gallery]:
    with Gallery.open(folder, model=model, create=True) as opened:
        yield opened


@pytest.fixture
def make_template() -> MakeTemplate:
    """A template drawn from a seed: another seed, another face on another photograph."""

    def make(seed: int, *, crop: bytes | None = None, dimension: int = 16) -> Template:
        vector = np.random.default_rng(seed).normal(size=dimension)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Template(embedding=unit, photograph_sha256=f"{seed:064x}", crop=crop)

    return make
