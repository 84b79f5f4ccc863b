"""A small gallery, and templates to put into it."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Folder, place_of
from recognition.gallery.search.milvus import MilvusAddress
from recognition.gallery.templates import EmbeddingModel, Template

if TYPE_CHECKING:
    from clocks import Clock
    from postgres_server import Server

sys.path.insert(0, str(Path(__file__).parent))  # for what several of these tests make up

BACKENDS = [
    "folder",
    *(["milvus"] if importlib.util.find_spec("milvus_lite") else []),
    pytest.param("postgres", marks=pytest.mark.postgres),
]

MakeTemplate = Callable[..., Template]

_SCHEMAS = count(1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    from clocks import Clock

    made = Clock()
    monkeypatch.setattr("data.clock._read", made.read)
    return made


@pytest.fixture
def model() -> EmbeddingModel:
    return EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the gallery is kept; not there yet."""
    return tmp_path / "home" / "gallery"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try what is asked of a gallery wherever one can be kept, unless it is about a folder."""
    if "gallery" in metafunc.fixturenames and "folder" not in metafunc.fixturenames:
        metafunc.parametrize("gallery", BACKENDS, indirect=True)


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[Server]":
    """A PostgreSQL server of the tests' own."""
    from postgres_server import running

    with running() as server:
        yield server


@pytest.fixture
def postgres_address(postgres_server: "Server") -> str:
    """The address of a gallery on it that nobody has made yet."""
    return postgres_server.address(f"g{next(_SCHEMAS)}")


@pytest.fixture
def gallery(request: pytest.FixtureRequest, model: EmbeddingModel) -> Iterator[Gallery]:
    kind = getattr(request, "param", "folder")
    if kind == "postgres":
        home = request.getfixturevalue("tmp_path")
        place = place_of(request.getfixturevalue("postgres_address"), home)
    elif kind == "milvus":
        tmp_path = request.getfixturevalue("tmp_path")
        index = MilvusAddress(uri=f"{tmp_path}/index.db")
        place = Folder(tmp_path / "home" / "gallery", index=index)
    else:
        place = Folder(request.getfixturevalue("folder"))
    with place.open(model=model, create=True) as opened:
        yield opened


@pytest.fixture
def make_template() -> MakeTemplate:
    """A template drawn from a seed: another seed, another face on another photograph."""

    def make(seed: int, *, crop: bytes | None = None, dimension: int = 16) -> Template:
        vector = np.random.default_rng(seed).normal(size=dimension)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Template(embedding=unit, photograph_sha256=f"{seed:064x}", crop=crop)

    return make
