"""The cascade on batches of tensors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from recognition.detection import mtcnn as module
from recognition.detection.mtcnn import Cascade, Detections, RefinementNetwork

SIZE = (230, 200)


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade(torch.device("cpu"), minimum_face=20, thresholds=(0.6, 0.7, 0.9))


@pytest.fixture(scope="module")
def portrait(astronaut: Image.Image) -> Tensor:
    """A face, normalised, (3, 230, 200)."""
    pixels = np.array(astronaut.crop((120, 10, 320, 240)))
    return (torch.from_numpy(pixels).permute(2, 0, 1) - 127.5) / 128


def _padded(image: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]))


def _assert_same(found: Detections, expected: Detections) -> None:
    torch.testing.assert_close(found.boxes, expected.boxes, atol=0.05, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.landmarks, expected.landmarks, atol=0.05, rtol=0)


def test_one_face_with_its_landmarks_inside(cascade: Cascade, portrait: Tensor) -> None:
    [found] = cascade(portrait[None], [SIZE])
    assert found.boxes.shape == (1, 4)
    assert found.best_score == found.scores.item() > 0.99
    low, high = found.boxes[0, :2], found.boxes[0, 2:]
    assert bool(((found.landmarks[0] > low) & (found.landmarks[0] < high)).all())


def test_padding_changes_little(cascade: Cascade, portrait: Tensor) -> None:
    [bare] = cascade(portrait[None], [SIZE])
    [padded] = cascade(_padded(portrait, 256, 224)[None], [SIZE])
    assert len(padded.scores) == 1
    assert (padded.landmarks - bare.landmarks).abs().max() < 1


def test_neighbours_in_the_batch_change_nothing(cascade: Cascade, portrait: Tensor) -> None:
    face = _padded(portrait, 256, 256)
    noise = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mirrored = _padded(portrait.flip(2), 256, 256)
    batch = torch.stack([noise, face, mirrored, torch.zeros_like(face), face])
    sizes = [(256, 256), SIZE, SIZE, (256, 256), SIZE]
    together = cascade(batch, sizes)
    assert [len(found.scores) for found in together] == [0, 1, 1, 0, 1]
    for i, found in enumerate(together):
        _assert_same(found, cascade(batch[i : i + 1], [sizes[i]])[0])


def test_nothing_is_found_in_the_padding(cascade: Cascade, portrait: Tensor) -> None:
    [found] = cascade(portrait[None], [(60, 200)])  # the face begins below row 50
    assert len(found.scores) == 0


def test_an_image_below_one_window(cascade: Cascade) -> None:
    [found] = cascade(torch.zeros(1, 3, 19, 200), [(19, 200)])
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.best_score == 0


def test_candidates_are_bounded(portrait: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANDIDATES_PER_IMAGE", 40)
    counts = []

    class Counting(RefinementNetwork):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            counts.append(len(x))
            return super().forward(x)

    monkeypatch.setattr(module, "RefinementNetwork", Counting)
    everything = Cascade(torch.device("cpu"), minimum_face=20, thresholds=(1e-9, 0.7, 0.9))
    found = everything(torch.stack([portrait, portrait]), [SIZE, SIZE])
    assert counts == [80]
    assert all(each.best_score > 0.99 for each in found)


def test_results_carry_no_gradient(cascade: Cascade, portrait: Tensor) -> None:
    [found] = cascade(portrait[None].clone().requires_grad_(), [SIZE])
    assert not found.boxes.requires_grad
