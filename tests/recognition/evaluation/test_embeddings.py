import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.spec import Alignment
from data.errors import ArgumentError, DatasetError
from data.images import to_image
from recognition.detection.detector import make_detector
from recognition.evaluation.embeddings import (
    already_aligned,
    averaged,
    embed_photographs,
    in_the_middle,
)
from recognition.faces.alignment import align_faces, realign
from recognition.results import Face

_POINTS = ((0.0, 0.0),) * 5


@dataclass
class Detected:
    face: Face
    embedding: np.ndarray


def detected(x: float, y: float, side: float, name: int) -> Detected:
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Detected(Face(box, 0.99, _POINTS), np.array([name], np.float32))


def test_of_several_faces_the_one_in_the_middle_counts():
    faces = {
        (100, 100): [detected(20, 20, 40, 1), detected(55, 50, 10, 2)],
        (300, 100): [detected(20, 20, 40, 3), detected(155, 50, 10, 4)],
        (50, 50): [],
    }
    pipeline = SimpleNamespace(faces=lambda images: [faces[image.size] for image in images])
    find = in_the_middle(pipeline)
    found = find([Image.new("RGB", size) for size in faces])
    assert [[float(v[0]) for v in vectors] for vectors in found] == [[2], [4], []]


def embedder(alignment: Alignment = Alignment.FIVE_POINT) -> SimpleNamespace:
    return SimpleNamespace(
        alignments=(alignment,),
        model_id="a_network",
        embed_aligned=lambda aligned: aligned(alignment).mean(dim=(2, 3)).numpy(),
    )


def test_aligned_faces_are_embedded_as_they_are():
    find = already_aligned(embedder())
    images = [Image.new("RGB", (112, 112), (255, 0, 51)), Image.new("RGB", (112, 112))]
    (first,), (second,) = find(images)
    assert np.allclose(first, [1, 0, 0.2])
    assert np.allclose(second, 0)


def test_faces_of_another_size_are_not_aligned():
    with pytest.raises(DatasetError, match="112×112 pixels, got 250×250"):
        already_aligned(embedder())([Image.new("RGB", (250, 250))])


def test_a_network_that_aligns_otherwise_takes_no_aligned_faces():
    with pytest.raises(ArgumentError, match="a_network is not made for"):
        already_aligned(embedder(Alignment.BOX))


def test_for_a_network_that_is_aligned_by_the_eyes_they_are_found_in_the_crop(
    astronaut: Image.Image,
):
    given: list[torch.Tensor] = []

    def embed(aligned: Callable[[Alignment], torch.Tensor]) -> np.ndarray:
        crops = aligned(Alignment.EYES)
        given.append(crops)
        return crops.mean(dim=(2, 3)).numpy()

    detector = make_detector()
    [faces] = detector.detect([astronaut])
    [crop] = align_faces([astronaut], [faces])
    eyes = SimpleNamespace(alignments=(Alignment.EYES,), model_id="a_network", embed_aligned=embed)
    [[vector]] = already_aligned(eyes)([to_image(crop)])
    assert vector.shape == (3,)
    torch.testing.assert_close(given[0], realign([to_image(crop)], Alignment.EYES, detector))


def save(root: Path, count: int) -> list[Path]:
    paths = [root / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    return paths


def by_number(images):
    return [[np.array([image.getpixel((0, 0))[0]], np.float32)] for image in images]


def test_embeddings_stay_with_their_photographs_over_many_batches(tmp_path: Path):
    paths = save(tmp_path, 70)
    embedded = embed_photographs(paths, by_number, root=tmp_path)
    assert [int(v[0]) for v in embedded.vectors] == list(range(70))
    assert embedded.unreadable == ()


def test_a_photograph_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path):
    paths = save(tmp_path, 10)
    paths[3].write_bytes(b"no picture")
    paths[5].unlink()
    os.mkfifo(paths[5])
    embedded = embed_photographs(paths, by_number, root=tmp_path)
    numbers = [None if v is None else int(v[0]) for v in embedded.vectors]
    assert numbers == [0, 1, 2, None, 4, None, 6, 7, 8, 9]
    assert [f.image for f in embedded.unreadable] == [str(paths[3]), str(paths[5])]
    paths[7].write_bytes(b"")
    with pytest.raises(DatasetError, match="3 of the 10 photographs"):
        embed_photographs(paths, by_number, root=tmp_path)


def test_missing_photographs_are_told_before_any_is_embedded(tmp_path: Path):
    paths = [*save(tmp_path, 2), tmp_path / "gone.png"]
    with pytest.raises(DatasetError, match=r"1 of 3 photographs are not in .*gone\.png"):
        embed_photographs(paths, lambda _: pytest.fail("it began"), root=tmp_path)


def test_an_ensemble_averages_similarities():
    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(3, size)).astype(np.float32) for size in (4, 7))
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    images = [Image.new("RGB", (4, 4))] * 3
    finders = [lambda _, rows=rows: [[row] for row in rows] for rows in (one, other)]
    joined = np.stack([found[0] for found in averaged(finders)(images)])
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined @ joined.T, (one @ one.T + other @ other.T) / 2, atol=1e-6)
    assert averaged(finders[:1]) is finders[0]


def test_an_ensemble_finds_what_all_of_it_find():
    unit = np.array([1, 0], np.float32)
    finders = [lambda _: [[unit], []], lambda _: [[unit], [unit]]]
    images = [Image.new("RGB", (4, 4))] * 2
    assert [len(found) for found in averaged(finders)(images)] == [1, 0]
