import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import ArgumentError
from data.lfw import LfwProtocol, Pair, photograph_path
from recognition.evaluation.consultation import (
    consult_lfw_folder,
    consult_people_folder,
    consult_two_folders,
)
from recognition.evaluation.embeddings import averaged, embed_with_each
from recognition.evaluation.identification import evaluate_people_folder
from recognition.evaluation.verification import evaluate_lfw_folder

PEOPLE, PHOTOGRAPHS = 24, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs whose red says whom they show, and whose green which of theirs it is."""
    root = tmp_path_factory.mktemp("people")
    for person in range(PEOPLE):
        for number in range(PHOTOGRAPHS):
            path = photograph_path(root, f"p{person:02d}", number + 1)
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (person, number, 0)).save(path, format="PNG")
    return root


def recogniser(seed: int, noise: float, *, blind_to: int | None = None):
    """Finds the photographs of a person about a direction of their own."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(PEOPLE, 8))
    vectors = centres[:, None] + noise * rng.normal(size=(PEOPLE, PHOTOGRAPHS, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)

    def find(images):
        at = [image.getpixel((0, 0))[:2] for image in images]
        return [[] if person == blind_to else [vectors[person, number]] for person, number in at]

    return find


def pairs() -> LfwProtocol:
    folds = []
    for fold in range(2):
        own = range(fold * 12, fold * 12 + 12)
        same = [Pair((f"p{i:02d}", 1), (f"p{i:02d}", 2), True) for i in own]
        different = [Pair((f"p{i:02d}", 1), (f"p{own[i % 12 - 1]:02d}", 3), False) for i in own]
        folds.append((*same, *different))
    return LfwProtocol(tuple(folds))


def test_each_way_to_ask_is_what_it_is_alone(folder: Path):
    finders = [recogniser(1, 1.0), recogniser(2, 0.3)]
    consulted = consult_lfw_folder(pairs(), folder, finders, confusable=0.3)
    assert consulted.generalist == evaluate_lfw_folder(pairs(), folder, finders[0])
    assert consulted.average == evaluate_lfw_folder(pairs(), folder, averaged(finders))
    assert 0 < consulted.asked < consulted.comparisons == 48
    value = consulted.result.mean - consulted.generalist.mean
    assert consulted.to_generalist["mean"].value == pytest.approx(value)
    json_form = consulted.to_json()
    assert json_form["mean"] == consulted.result.mean
    assert json.loads(json.dumps(json_form, allow_nan=False)) == json_form
    always = consult_lfw_folder(pairs(), folder, finders, confusable=1)
    assert always.result.folds == always.average.folds


def test_candidates_are_asked_about_in_identification(folder: Path):
    finders = [recogniser(1, 1.2), recogniser(2, 0.2)]
    consulted = consult_people_folder(folder, finders, confusable=0.25, draws=5)
    assert consulted.generalist == evaluate_people_folder(folder, finders[0], draws=5)
    assert consulted.average == evaluate_people_folder(folder, averaged(finders), draws=5)
    assert consulted.generalist.rank_1 < consulted.result.rank_1
    assert consulted.asked == consulted.comparisons * 3 / 12
    difference = consulted.to_generalist["rank_1"]
    assert difference.value == pytest.approx(consulted.result.rank_1 - consulted.generalist.rank_1)
    always = consult_people_folder(folder, finders, confusable=1, draws=5)
    assert always.result == always.average


@pytest.mark.parametrize(
    "lots",
    [
        {"leave_out": True},
        {"listing": True},
        {"enrol": 5},
        {"enrol": 7, "templates": 2},
        {"seed": 3},
        {"leave_out": True, "enrol": 4, "templates": 2, "draws": 3, "seed": 1},
    ],
)
def test_whoever_is_drawn_alone_is_drawn_with_specialists(
    folder: Path, tmp_path: Path, lots: dict[str, object]
):
    (tmp_path / "some.txt").write_text("\n".join(f"p{i:02d}" for i in range(3, 15)))
    lots = {"draws": 4} | {n: tmp_path / "some.txt" if v is True else v for n, v in lots.items()}
    finders = [recogniser(1, 1.2), recogniser(2, 0.2)]
    consulted = consult_people_folder(folder, finders, **lots)
    assert consulted.generalist == evaluate_people_folder(folder, finders[0], **lots)
    assert consulted.average == evaluate_people_folder(folder, averaged(finders), **lots)


def test_specialists_are_told_all_that_says_who_is_drawn():
    alone, consulting = (
        set(inspect.signature(of).parameters)
        for of in (evaluate_people_folder, consult_people_folder)
    )
    assert alone - consulting == {"find", "rule", "tail"}  # of one network alone


def test_two_folders_are_searched_with_specialists_too(folder: Path):
    finders = [recogniser(1, 0.1), recogniser(2, 0.1)]
    consulted = consult_two_folders(folder, folder, finders)
    assert consulted.result.rank_1 == 1
    assert consulted.comparisons == (PEOPLE * PHOTOGRAPHS) * PEOPLE


def test_a_face_that_a_specialist_does_not_find_is_missed(folder: Path):
    finders = [recogniser(1, 0.1), recogniser(2, 0.1, blind_to=3)]
    consulted = consult_lfw_folder(pairs(), folder, finders, confusable=1)
    assert (consulted.generalist.missed, consulted.result.missed) == (0, 3)
    assert consulted.result.mean < consulted.generalist.mean


def test_every_finder_sees_every_photograph_once(folder: Path):
    paths = sorted(folder.glob("*/*"))
    steps: list[tuple[int, int]] = []
    finders = [recogniser(1, 0.1), recogniser(2, 0.1)]
    alone, together = embed_with_each(
        paths, finders, root=folder, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(i + 1, 2 * len(paths)) for i in range(2 * len(paths))]
    assert [len(vector) for vector in alone.vectors] == [8] * len(paths)
    assert [len(vector) for vector in together.vectors] == [16] * len(paths)


def test_a_share_that_is_none_is_refused_before_the_work(folder: Path):
    with pytest.raises(ArgumentError):
        consult_lfw_folder(pairs(), folder, [lambda _: pytest.fail("it began")], confusable=0)
