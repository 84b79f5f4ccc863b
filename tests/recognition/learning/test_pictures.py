"""Pictures without names, as each network wants them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.registry import spec_of
from recognition.learning import pictures
from recognition.learning.pictures import pictures_for


def save(path: Path, width: int, height: int, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_aligned_faces_are_taken_as_they_are(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.png", 112, 112, number) for number in range(3)]
    found, missed = pictures_for(spec_of("mobilefacenet"), paths, tmp_path / "cache")
    assert not missed
    assert found.shape == (3, 3, 112, 112)
    first = torch.from_numpy(np.array(Image.open(paths[0]))).permute(2, 0, 1)
    assert torch.equal(found[0], first)


@pytest.mark.parametrize(("width", "height"), [(300, 500), (900, 224), (224, 224), (50, 40)])
def test_pictures_for_style_are_cut_to_their_middle(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "a.png"
    half = np.zeros((height, width, 3), np.uint8)
    half[:, width // 2 :] = 255
    Image.fromarray(half).save(path)
    spec = spec_of("vgg_slim")
    found, missed = pictures_for(spec, [path], tmp_path / "cache")
    assert not missed
    assert found.shape == (1, 3, *spec.input_size)
    side = spec.input_size[1]
    assert found[0, :, :, : side // 2 - 8].max() == 0  # black on the left, white on the right
    assert found[0, :, :, side // 2 + 8 :].min() == 255


def test_what_is_no_picture_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    good = save(tmp_path / "b.png", 112, 112)
    for name in ("mobilefacenet", "vgg_slim"):
        found, missed = pictures_for(spec_of(name), [tmp_path / "a.png", good], tmp_path / "cache")
        assert len(found) == 1
        assert [one.path.name for one in missed] == ["a.png"]
    nothing, missed = pictures_for(spec_of("mobilefacenet"), [], tmp_path / "cache")
    assert len(nothing) == len(missed) == 0


def test_of_too_many_some_are_taken_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PICTURES", 4)
    paths = [save(tmp_path / f"{number}.png", 112, 112, number) for number in range(10)]
    found, _ = pictures_for(spec_of("mobilefacenet"), paths, tmp_path / "cache")
    expected = [np.array(Image.open(paths[at])) for at in (0, 2, 5, 7)]
    assert torch.equal(found, torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2))
