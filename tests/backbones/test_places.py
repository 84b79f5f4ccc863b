from pathlib import Path

import pytest

from backbones import places
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.places import cached_weights, find_weights, weights_file
from backbones.registry import create
from data.errors import ArgumentError, WeightsError
from data.files import sha256_of
from data.tensors import write_tensors


@pytest.fixture(scope="module")
def network() -> Backbone:
    """A small MobileFaceNet, for quick files."""
    return create("mobilefacenet", input_size=(32, 16), embedding_size=8, seed=0)


def _put(path: Path, network: Backbone, note: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec, note=note))
    return path


def test_the_order_is_path_folder_download_bundle(
    network: Backbone, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(explicit: Path | None = None) -> Path | None:
        file = find_weights("mobilefacenet", explicit=explicit)
        return file and file.path

    assert found() is None
    bundle = tmp_path / "assets"
    monkeypatch.setattr(places, "_ASSETS", bundle)
    bundled = _put(bundle / "anything.safetensors", network, "bundled")
    assert found() == bundled
    cached = _put(cached_weights("mobilefacenet"), network, "downloaded")
    assert cached == home / "weights" / "mobilefacenet.safetensors"
    assert found() == cached
    folder = tmp_path / "mine"
    monkeypatch.setenv("LIKENESS_WEIGHTS", str(folder))
    with pytest.raises(ArgumentError, match="LIKENESS_WEIGHTS"):
        found()
    by_metadata = _put(folder / "b.safetensors", network, "by its metadata")
    (folder / "a.safetensors").write_bytes(b"damaged, and not asked for")
    _put(folder / "aa.safetensors", create("resnet18", seed=0), "another network")
    assert found() == by_metadata
    by_name = _put(folder / "mobilefacenet.safetensors", network, "by its name")
    assert found() == by_name
    explicit = _put(tmp_path / "explicit.safetensors", network, "explicit")
    assert found(explicit) == explicit
    other_home = tmp_path / "other"
    monkeypatch.delenv("LIKENESS_WEIGHTS")
    elsewhere = _put(other_home / "weights" / "mobilefacenet.safetensors", network, "elsewhere")
    file = find_weights("mobilefacenet", home=other_home)
    assert file is not None
    assert file.path == elsewhere


def test_a_file_says_what_it_is_and_of_which_network(network: Backbone, tmp_path: Path) -> None:
    path = _put(tmp_path / "a.safetensors", network, "here")
    file = weights_file(path, None)
    assert (file.path, file.architecture) == (path, "mobilefacenet")
    assert file.sha256 == sha256_of(path)
    assert file.metadata["note"] == "here"
    with pytest.raises(WeightsError, match="holds weights of mobilefacenet, expected vgg19"):
        weights_file(path, "vgg19")


@pytest.mark.parametrize("name", ["nothing.safetensors", "no/such/folder.safetensors", "a\nb"])
def test_a_missing_file_is_an_argument_error_of_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no file") as caught:
        weights_file(tmp_path / name, "vgg19")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        weights_file(tmp_path / name, "vgg19")


def test_an_unknown_network_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="choose from"):
        find_weights("vgg20")
