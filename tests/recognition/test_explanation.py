"""Evidence in faces is found where it was planted, whatever the network's alignment is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment
from data.images import load_image
from recognition.explanation import Evidence, Explanation, draw, explain
from recognition.faces.alignment import (
    crop_size,
    face_at,
    inverted,
    template,
    transforms_to_crops,
)
from recognition.results import Face
from recognition.service import RecognitionService

SPOTS = {"left eye": (38.3, 51.7), "right eye": (73.5, 51.5), "mouth": (56.0, 92.0)}
"""In the template."""


def _face(shift: float) -> tuple[Image.Image, Face]:
    """A picture of noise with a face in it somewhere, turned and scaled."""
    noise = np.random.default_rng(int(shift)).integers(0, 256, (40, 50, 3), np.uint8)
    image = Image.fromarray(noise).resize((400, 320), Image.Resampling.BICUBIC)
    points = template().double()
    turn = torch.tensor([[1.5, -0.3], [0.3, 1.5]], dtype=torch.float64)
    landmarks = points @ turn.T + torch.tensor([120.0 + shift, 60.0])
    return image, face_at([(float(x), float(y)) for x, y in landmarks])


class OneSpot:
    """Embeds a face by how bright it is at one spot of the template, by an alignment."""

    def __init__(self, face: Face, spot: tuple[float, float], alignment: Alignment) -> None:
        size = [(400, 320)]
        to_template = transforms_to_crops([face], size, Alignment.FIVE_POINT)
        to_crop = transforms_to_crops([face], size, alignment)[0]
        back = inverted(to_template)[0]
        image = back[:, :2] @ torch.tensor(spot) + back[:, 2]
        self.x, self.y = map(int, to_crop[:, :2] @ image + to_crop[:, 2])
        self.alignment = alignment

    def embed_aligned(self, aligned: Callable[[Alignment], Tensor]) -> npt.NDArray[np.float32]:
        crops = aligned(self.alignment)
        assert crops.shape[2:] == (crop_size(self.alignment),) * 2
        part = crops[:, :, self.y - 2 : self.y + 3, self.x - 2 : self.x + 3].mean(dim=(1, 2, 3))
        angles = part * 3
        return torch.stack([angles.cos(), angles.sin()], dim=1).numpy()


@pytest.mark.parametrize("alignment", [a for a in Alignment if a is not Alignment.NONE])
@pytest.mark.parametrize("spot", SPOTS)
def test_evidence_lies_where_the_network_looks(spot: str, alignment: Alignment) -> None:
    images, faces = zip(_face(0), _face(0), strict=True)
    x, y = SPOTS[spot]
    # White in one, black in the other: only there do they differ, and there alone they are seen.
    first, second = (image.copy() for image in images)
    transform = transforms_to_crops([faces[0]], [first.size], Alignment.FIVE_POINT)
    back = inverted(transform)[0]
    where = back[:, :2] @ torch.tensor([x, y]) + back[:, 2]
    column, row = map(int, where)
    first.paste((255, 255, 255), (column - 14, row - 14, column + 14, row + 14))
    second.paste((0, 0, 0), (column - 14, row - 14, column + 14, row + 14))
    embedder = OneSpot(faces[0], SPOTS[spot], alignment)
    found = explain(embedder, [first, second], faces)
    for evidence in found.faces:
        assert evidence.loss.shape == (112, 112)
        # Covering it makes both more alike: it speaks against one person.
        down, across = divmod(int(evidence.loss.argmin()), 112)
        assert evidence.loss.min() < -0.1
        assert abs(across - x) <= 13
        assert abs(down - y) <= 13
        away = evidence.loss.clone()
        away[max(0, int(y) - 55) : int(y) + 56, max(0, int(x) - 55) : int(x) + 56] = 0
        assert away.abs().max() < 1e-5


def test_progress_ends_at_all_squares_of_both_faces() -> None:
    image, face = _face(0)
    told: list[tuple[int, int]] = []
    embedder = OneSpot(face, SPOTS["mouth"], Alignment.FIVE_POINT)
    found = explain(embedder, [image, image], [face, face], progress=lambda *now: told.append(now))
    assert found.cosine_similarity == pytest.approx(1)
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_drawing_shows_both_faces_beside_their_evidence() -> None:
    face = torch.full((3, 336, 336), 0.5)
    against, none = torch.zeros(112, 112), torch.zeros(112, 112)
    against[20:40, 20:40] = -0.5
    found = Explanation(0.4, (Evidence(face, against), Evidence(face, none)))
    drawn = np.asarray(draw(found, "Two people")).astype(int)
    assert drawn.shape[1] > 4 * 200
    blue = drawn[..., 2] - drawn[..., 0] > 40
    columns = np.flatnonzero(blue.any(axis=0))
    assert len(columns)
    assert columns.min() > drawn.shape[1] * 0.25
    assert columns.max() < drawn.shape[1] * 0.5  # in the second of four cells alone


@pytest.mark.shared
def test_a_covered_eye_is_no_evidence_any_more(shared: Path, tmp_path: Path) -> None:
    photograph = load_image(shared / "images" / "portraits" / "multiface.jpg")
    with RecognitionService(home=tmp_path, model="mobilefacenet") as service:
        pipeline = service.models.pipeline
        face = pipeline.faces([photograph])[0][0].face
        covered = photograph.copy()
        x, y = face.landmarks[0]
        half = (face.landmarks[1][0] - x) / 3
        covered.paste((128, 110, 100), tuple(map(int, (x - half, y - half, x + half, y + half))))
        before, after = (
            explain(pipeline.embedder, [each, photograph], [face, face])
            for each in (photograph, covered)
        )
    assert after.cosine_similarity < before.cosine_similarity - 0.01
    column, row = (int(place) for place in SPOTS["left eye"])
    eye = slice(row - 5, row + 6), slice(column - 5, column + 6)
    with_eye, without = (float(found.faces[0].loss[eye].mean()) for found in (before, after))
    assert with_eye > 0.02
    assert without < with_eye / 2
