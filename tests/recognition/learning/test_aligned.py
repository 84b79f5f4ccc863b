from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.spec import Alignment
from recognition.learning.dataset import Aligner, alignment_for

TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
            (70.7299, 92.2041))  # fmt: skip


@pytest.fixture
def photographs(tmp_path: Path, astronaut: Image.Image) -> list[Path]:
    """Aligned, a whole photograph, no picture at all, no face."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)).save(paths[0])
    astronaut.save(paths[1])
    paths[2].write_bytes(b"no picture")
    Image.new("RGB", (80, 60), "white").save(paths[3])
    return paths


def test_aligned_ones_pass_others_are_searched_and_the_rest_is_listed(
    photographs: list[Path], tmp_path: Path
) -> None:
    pixels, missed = Aligner(tmp_path / "cache").load(photographs)
    assert pixels.shape == (2, 3, 112, 112)
    assert pixels.dtype == torch.uint8
    with Image.open(photographs[0]) as image:
        assert np.array_equal(pixels[0].permute(1, 2, 0).numpy(), np.array(image))
    assert [(item.path, item.corrupt) for item in missed] == [
        (photographs[2], True),
        (photographs[3], False),
    ]
    assert all(item.reason and "\n" not in item.reason for item in missed)


def test_a_second_time_nothing_is_searched(
    photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = Aligner(tmp_path / "cache").load(photographs)
    monkeypatch.setattr("recognition.learning.dataset.make_detector", None)
    again, missed = Aligner(tmp_path / "cache").load(photographs)
    assert again.equal(first)
    assert len(missed) == 2


def test_given_landmarks_nothing_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture twice as large whose landmarks are twice the template's comes back halved."""
    monkeypatch.setattr("recognition.learning.dataset.make_detector", None)
    ramp = np.linspace(0, 255, 224)
    picture = np.stack([np.tile(ramp, (224, 1)), np.tile(ramp[:, None], 224), np.zeros((224, 224))])
    Image.fromarray(picture.transpose(1, 2, 0).astype(np.uint8)).save(tmp_path / "ramp.png")
    doubled = tuple((2 * x, 2 * y) for x, y in TEMPLATE)
    pixels, missed = Aligner(tmp_path / "cache").load(
        [tmp_path / "ramp.png"],
        landmarks=doubled,  # type: ignore[arg-type]
    )
    assert missed == []
    halved = picture.reshape(3, 112, 2, 112, 2).mean(axis=(2, 4))
    difference = pixels[0].double().numpy() - halved
    assert abs(difference[:, 4:-4, 4:-4]).max() < 3
    assert not (tmp_path / "cache").exists()


def test_for_an_alignment_by_the_eyes_all_are_searched_and_none_is_lost_for_it(
    photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five_point, missed = Aligner(tmp_path / "cache").load(photographs)
    by_eyes = Aligner(tmp_path / "cache", alignment=Alignment.EYES)
    pixels, missed_too = by_eyes.load(photographs)
    assert pixels.shape == (2, 3, 96, 96)
    assert [item.path for item in missed_too] == [item.path for item in missed]
    monkeypatch.setattr("recognition.learning.dataset.make_detector", None)
    again, _ = Aligner(tmp_path / "cache", alignment=Alignment.EYES).load(photographs)
    assert again.equal(pixels)
    assert Aligner(tmp_path / "cache").load(photographs)[0].equal(five_point)


@pytest.mark.parametrize(
    ("network", "alignment"),
    [
        ("mobilefacenet", Alignment.FIVE_POINT),
        ("iresnet_se", Alignment.EYES),
        ("inception_resnet_v1", Alignment.FIVE_POINT),
        ("resnet18", Alignment.FIVE_POINT),
    ],
)
def test_a_network_is_trained_as_it_wants_if_a_crop_holds_that(
    network: str, alignment: Alignment
) -> None:
    assert alignment_for(network) is alignment


def test_progress_reaches_the_total(photographs: list[Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    Aligner(tmp_path / "cache", progress=lambda *now: told.append(now)).load(photographs[:1])
    assert told == [(1, 1)]
