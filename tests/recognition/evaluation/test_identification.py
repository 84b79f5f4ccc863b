import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stand_in_tail import step_tail

from data.errors import DatasetError
from recognition.evaluation.identification import (
    evaluate_gallery,
    evaluate_identification,
    evaluate_people_folder,
    evaluate_two_folders,
)


def crowd(
    counts: list[int], noise: float, seed: int = 0, dimension: int = 16
) -> dict[str, list[np.ndarray | None]]:
    """People with so many photographs each, scattered about a direction of their own."""
    rng = np.random.default_rng(seed)

    def photographs(count: int) -> list[np.ndarray | None]:
        middle = rng.normal(size=dimension)
        vectors = middle / np.linalg.norm(middle) + noise * rng.normal(size=(count, dimension))
        return list((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))

    return {f"p{number:03}": photographs(count) for number, count in enumerate(counts)}


def slowly(gallery, probes, fpir: float | None) -> tuple[float, float | None]:
    """Rank-1 and FNIR by their definitions, one comparison at a time."""
    known, strangers = [], []
    for name, vectors in probes.items():
        for vector in vectors:
            best, who = -np.inf, None
            for person, templates in gallery.items():
                for template in templates:
                    if vector is not None and template is not None:
                        similarity = float(vector @ template)
                        if similarity > best:
                            best, who = similarity, person
            if name in gallery:
                known.append((best, who == name))
            else:
                strangers.append(best)
    rank_1 = sum(right for _, right in known) / len(known)
    if fpir is None:
        return rank_1, None
    every = sorted({*(s for s, _ in known), *strangers, np.inf})
    allowed = [t for t in every if np.mean([s >= t for s in strangers]) <= fpir + 1e-9]
    return rank_1, min(
        sum(not (right and s >= t) for s, right in known) / len(known) for t in allowed
    )


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.05, 0.5))
def test_a_search_agrees_with_the_definitions(seed: int, noise: float):
    people = crowd([4] * 12 + [3] * 10, noise, seed)
    gallery = {name: people[name][:2] for name in list(people)[:12]}
    probes = {n: v[2:] if n in gallery else v for n, v in people.items()}
    result = evaluate_gallery(gallery, probes)
    assert result.smallest_supported_fpir == pytest.approx(10 / 30)
    rank_1, fnir = slowly(gallery, probes, 10 / 30)
    assert result.rank_1 == pytest.approx(rank_1)
    assert result.fnir_at_smallest_supported_fpir == pytest.approx(fnir, abs=1e-6)
    assert result.fnir_at_fpir == {0.1: None, 0.01: None, 0.001: None}


def test_a_perfect_recogniser_misses_no_one():
    result = evaluate_identification(crowd([3] * 20 + [1] * 90, noise=0.001, dimension=256))
    assert result.rank_1 == 1
    assert result.rank_1_deviation == 0
    assert result.fnir_at_fpir[0.1] == 0
    assert result.fnir_at_smallest_supported_fpir == 0
    assert (result.draws, result.enrolled) == (200, 10)
    assert (result.known_probes, result.stranger_probes) == (20, 90 + 30)
    assert result.smallest_supported_fpir == pytest.approx(10 / 120)


def test_chance_is_one_in_as_many_as_are_enrolled():
    rng = np.random.default_rng(0)
    people = {f"p{i}": list(rng.normal(size=(6, 8)).astype(np.float32)) for i in range(20)}
    assert evaluate_identification(people).rank_1 == pytest.approx(1 / 10, abs=0.05)


def test_the_draws_follow_from_the_seed():
    people = crowd([3] * 15 + [1] * 30, noise=0.4)
    first = evaluate_identification(people, draws=5, seed=1)
    assert evaluate_identification(people, draws=5, seed=1) == first
    assert evaluate_identification(dict(reversed(people.items())), draws=5, seed=1) == first
    assert evaluate_identification(people, draws=5, seed=2) != first


def test_several_photographs_of_an_enrolled_person_all_count():
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    gallery = {"Ann": [one, other], "Bo": [np.array([0.6, 0.8], np.float32)]}
    assert evaluate_gallery(gallery, {"Ann": [other]}).rank_1 == 1


def test_a_missed_face_is_an_error_of_the_known_and_no_alarm_of_strangers():
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    gallery = {"Ann": [one], "Bo": [None], "Cy": [other]}
    probes = {"Ann": [one, None], "Bo": [one], "Di": [None] * 5 + [-one] * 15, "Cy": [other]}
    result = evaluate_gallery(gallery, probes)
    assert result.missed == 1 + 1 + 5
    assert result.rank_1 == 2 / 4
    assert result.fnir_at_smallest_supported_fpir == 2 / 4
    assert result.known_probes == 4
    assert result.stranger_probes == 20


def test_a_gallery_of_missed_faces_finds_no_one():
    one = np.array([1, 0], np.float32)
    result = evaluate_gallery({"Ann": [None]}, {"Ann": [one], "Bo": [one] * 10})
    assert result.rank_1 == 0
    assert result.fnir_at_smallest_supported_fpir == 1


def test_where_no_face_is_found_of_those_enrolled_nothing_is_promised():
    one = np.array([1, 0], np.float32)
    tail = step_tail(0.5)
    alone = evaluate_gallery({"Ann": [None], "Bo": []}, {"Ann": [one], "Di": [one]}, tail=tail)
    assert (alone.promises, alone.rank_1, alone.missed) == ((), 0, 1)


@pytest.mark.parametrize("enrol", [1, 2, 3])
@pytest.mark.parametrize("templates", [1, 2])
def test_a_draw_of_faces_that_are_all_missed_is_no_part_of_what_is_promised(
    enrol: int, templates: int
):
    people = crowd([3] * 5, noise=0.1)
    missed = {name: [None] * 3 for name in ("p000", "p001", "p002")}
    result = evaluate_identification(
        people | missed, draws=30, enrol=enrol, templates=templates, tail=step_tail(0.99)
    )
    among = [search for search in result.searches if search.enrolled]
    assert 0 < len(among) < 30  # both kinds were drawn
    assert {(one.named, one.missed) for one in result.promises} == {(0.0, 1.0)}
    assert {round(one.threshold, 3) for one in result.promises} == {0.99}


def test_what_weights_cannot_promise_is_left_out_and_the_rest_measured():
    people = crowd([3] * 6, noise=0.1)
    result = evaluate_identification(people, draws=3, tail=step_tail(2.0))  # no cosine is so high
    assert result.promises == ()
    assert result.rank_1 == evaluate_identification(people, draws=3).rank_1


def test_without_strangers_no_alarm_can_be_measured():
    people = crowd([2, 2], noise=0.01)
    result = evaluate_gallery(people, people)
    assert result.rank_1 == 1
    assert result.smallest_supported_fpir is None
    assert result.fnir_at_smallest_supported_fpir is None
    assert set(result.fnir_at_fpir.values()) == {None}


def test_without_known_probes_nobody_can_be_missed():
    people = crowd([20, 20], noise=0.01)
    result = evaluate_gallery({"p000": people["p000"]}, {"p001": people["p001"]})
    assert result.rank_1 is None
    assert result.fnir_at_smallest_supported_fpir is None


@pytest.mark.parametrize("counts", [[], [1, 1, 1], [5]])
def test_a_crowd_without_probes_or_strangers_is_refused(counts: list[int]):
    with pytest.raises(DatasetError, match="several photographs"):
        evaluate_identification(crowd(counts, noise=0.1))


def test_the_json_holds_only_json():
    json_form = evaluate_identification(crowd([3] * 9 + [1] * 9, 0.1), draws=3).to_json()
    assert json_form["fnir_at_fpir"].keys() == {"0.1", "0.01", "0.001"}
    assert json.loads(json.dumps(json_form, allow_nan=False)) == json_form


def by_colour(images):
    """A recogniser to which a colour is a person: red and green span the plane."""
    vectors = [np.array(image.getpixel((0, 0))[:2], np.float32) for image in images]
    return [[v / np.linalg.norm(v)] if v.any() else [] for v in vectors]


def paint(root: Path, photographs: dict[str, tuple[int, int, int]]) -> Path:
    for name, colour in photographs.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), colour).save(path)
    return root


def test_two_folders_are_searched_one_in_the_other(tmp_path: Path):
    gallery = paint(tmp_path / "gallery", {"Ann/1.png": (255, 0, 0), "Bo/1.png": (0, 255, 0)})
    probes = paint(
        tmp_path / "probes",
        {
            "Ann/2.png": (250, 9, 0),
            "Bo/2.png": (200, 10, 0),  # looks like Ann
            "Bo/3.png": (0, 0, 7),  # no face
            **{f"Stranger/{i}.png": (100, 100, 0) for i in range(10)},
        },
    )
    (probes / "Ann" / "broken.png").write_bytes(b"no picture")
    steps: list[int] = []
    result = evaluate_two_folders(
        gallery, probes, by_colour, progress=lambda done, _: steps.append(done)
    )
    assert result.rank_1 == 1 / 4
    assert result.missed == 2
    assert [Path(f.image).name for f in result.unreadable] == ["broken.png"]
    assert result.smallest_supported_fpir == 1
    assert steps == list(range(1, 17))


def test_a_folder_of_people_is_drawn_from(tmp_path: Path):
    colours = {"Ann": (255, 0, 0), "Bo": (0, 255, 0), "Cy": (255, 255, 0)}
    photographs = {f"{n}/{i}.png": c for n, c in colours.items() for i in range(3)}
    result = evaluate_people_folder(paint(tmp_path, photographs), by_colour, draws=4)
    assert result.rank_1 == 1
    assert (result.draws, result.enrolled) == (4, 2)


def test_a_folder_that_is_mostly_broken_is_refused(tmp_path: Path):
    paint(tmp_path, {"Ann/1.png": (255, 0, 0), "Ann/2.png": (255, 0, 0), "Bo/1.png": (0, 1, 0)})
    (tmp_path / "Bo" / "2.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="1 of the 4 photographs"):
        evaluate_people_folder(tmp_path, by_colour)
