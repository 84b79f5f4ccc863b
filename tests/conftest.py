"""Fixtures that every room shares: the astronaut, the shared folder, a fresh home."""

import functools
import importlib.util
import os
import sys
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

# The same examples every time, however busy the machine is.
settings.register_profile(
    "likeness", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("likeness")
if importlib.util.find_spec("torch"):  # the environment for Milvus has none
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

_MAIN = sys.modules["__main__"]
_ROOT = Path(__file__).resolve().parent.parent
_SHARED = Path(os.environ.get("LIKENESS_SHARED", _ROOT.parent / "shared")).resolve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the shared folder, so that `-m "not shared"` means what it says."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared)
    if "streamlit" in sys.modules:
        _find_components_once()


def _find_components_once() -> None:
    """Streamlit's tests of pages search all installed packages for components: once is enough."""
    from streamlit.components.v2 import manifest_scanner

    manifest_scanner.scan_component_manifests = functools.cache(
        manifest_scanner.scan_component_manifests
    )


def pytest_runtest_setup() -> None:
    """Put the program back that Streamlit's tests of pages have replaced by a page.

    A process that is spawned begins by importing it.
    """
    sys.modules["__main__"] = _MAIN


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A shared test may skip where the folder is absent, never where it is there."""
    report = yield
    if report.skipped and item.get_closest_marker("shared") and (_SHARED / "weights").is_dir():
        report.outcome = "failed"
        report.longrepr = f"skipped although {_SHARED} is there: {report.longrepr}"
    if report.failed and (chromium := sys.modules.get("chromium")):
        for log in chromium.LOGS:
            report.sections.append(("the page's server said", log.read_text()[-6000:]))
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared photographs and weights; skips where it is absent."""
    if not (_SHARED / "weights").is_dir():
        pytest.skip(f"no shared data at {_SHARED}: set LIKENESS_SHARED (docs/data.md tells more)")
    return _SHARED


@pytest.fixture(scope="session")
def teacher_weights(shared: Path) -> Path:
    """MobileFaceNet trained on CASIA-WebFace, whose file carries a threshold."""
    return shared / "weights" / "mobilefacenet-casia.safetensors"


@pytest.fixture(scope="session")
def lfw_photos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<Name>/<Name>_0001.jpg` for the people of LFW whose name begins with A, at 250×250."""
    folder = tmp_path_factory.mktemp("lfw")
    with tarfile.open(shared / "datasets" / "lfw" / "lfw-250.tar") as archive:
        wanted = [m for m in archive.getmembers() if m.name.startswith("lfw/A")]
        archive.extractall(folder, members=wanted, filter="data")
    return folder / "lfw"


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """A photograph of one person, 512×512, RGB, from scikit-image's wheel."""
    import skimage

    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return Image.open(path).convert("RGB")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder of its own for one test, and no weights at hand, not even bundled."""
    folder = tmp_path / "home"
    monkeypatch.setenv("LIKENESS_HOME", str(folder))
    monkeypatch.delenv("LIKENESS_WEIGHTS", raising=False)
    monkeypatch.delenv("LIKENESS_GALLERY", raising=False)
    monkeypatch.delenv("LIKENESS_INDEX", raising=False)
    monkeypatch.setattr("backbones.places._ASSETS", tmp_path / "no-assets")
    monkeypatch.setattr("backbones.places.installed_file", lambda: None)
    return folder


@pytest.fixture(scope="module", autouse=True)
def decoded_here_again() -> Generator[None]:
    """The page has its pictures decoded by other processes, and the tests after it do not."""
    yield
    if resources := sys.modules.get("ui.page.resources"):
        resources.decode_apart().close()
        resources.decode_apart.clear()
