"""dlib's file, read without dlib; dlib itself says what must come out."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones import dlib_file
from backbones.dlib_file import SHA256, describe_file, installed_file, read_file
from backbones.metadata import parse_metadata
from backbones.places import find_weights, weights_file
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError


@pytest.fixture(scope="module")
def path() -> Path:
    """The file that the package carries: the tests bring the package, so it is there."""
    found = installed_file()
    assert found is not None
    return found


def test_the_package_is_found_without_being_imported(path: Path) -> None:
    assert path.name == "dlib_face_recognition_resnet_model_v1.dat"
    assert describe_file(path)[0] == SHA256
    assert "face_recognition_models" not in sys.modules


def test_embeddings_are_dlibs_own(path: Path, astronaut: Image.Image) -> None:
    dlib = pytest.importorskip("dlib", reason="dlib-bin, the oracle, is not installed")
    theirs = dlib.face_recognition_model_v1(str(path))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    face = np.asarray(astronaut)[60:210, 150:300]
    chips = [*pixels, np.zeros_like(face), np.ascontiguousarray(face)]
    wanted = np.array([theirs.compute_face_descriptor(chip) for chip in chips])
    images = torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float() / 255
    found = load_backbone("dlib_resnet", weights=path).backbone.embedding(images)
    assert np.abs(found.numpy() - wanted).max() < 2e-6  # of vectors about 1.3 long


def test_every_tensor_of_the_network_is_there_once(path: Path) -> None:
    tensors = read_file(path)
    state = load_backbone("dlib_resnet", weights=path).backbone.state_dict()
    assert {key: value.shape for key, value in tensors.items()} == {
        key: value.shape for key, value in state.items()
    }
    assert all(tensor.isfinite().all() and tensor.std() > 0 for tensor in tensors.values())


def test_the_file_says_what_weights_files_say(path: Path) -> None:
    file = weights_file(path, None)
    assert (file.path, file.sha256) == (path, SHA256)
    assert "CC0" in file.metadata["licence"]
    says = parse_metadata(file.metadata)
    assert (says.architecture, says.mirror) == ("dlib_resnet", True)


def _flipped(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize("change", [_flipped, lambda c: c[:-1], lambda c: c + b"\0", lambda c: b""])
def test_another_file_is_refused_in_one_line(
    path: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    other = tmp_path / path.name
    other.write_bytes(change(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"is not dlib's face network.*mobilefacenet") as caught:
        load_backbone("dlib_resnet", weights=other)
    assert "\n" not in str(caught.value)


def test_a_file_given_by_hand_is_taken(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.dat"
    copy.write_bytes(path.read_bytes())
    loaded = load_backbone(None, weights=copy)
    assert loaded.weights.architecture == "dlib_resnet"
    with pytest.raises(ArgumentError, match="no file"):
        load_backbone(None, weights=tmp_path / "nowhere.dat")
    with pytest.raises(WeightsError, match="expected vgg19"):
        load_backbone("vgg19", weights=copy)


def test_without_the_package_the_network_has_no_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("backbones.places._ASSETS", tmp_path)  # it comes along, too
    monkeypatch.setattr(dlib_file, "PACKAGE", "a_package_that_nobody_made")
    assert installed_file() is None
    assert find_weights("dlib_resnet", home=tmp_path) is None
    monkeypatch.setattr(dlib_file, "PACKAGE", "data")  # a package without such a file
    assert installed_file() is None
    with pytest.raises(WeightsError, match=r"no weights for dlib_resnet at hand.*pip install"):
        load_backbone("dlib_resnet", home=tmp_path)
