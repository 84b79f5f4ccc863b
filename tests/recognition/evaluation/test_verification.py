import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import DatasetError
from data.images import save_image
from data.lfw import Layout, LfwProtocol, Pair, photograph_path, read_lfw_pairs
from recognition.evaluation.embeddings import already_aligned
from recognition.evaluation.verification import evaluate_lfw, evaluate_lfw_folder


def unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def world(folds: int, pairs: int, noise: float, seed: int = 0):
    """People at random angles, their photographs scattered about; pairs of both kinds."""
    rng = np.random.default_rng(seed)
    embedding_of: dict[tuple[str, int], np.ndarray | None] = {}
    made = []
    for fold in range(folds):
        own = []
        for pair in range(2 * pairs):
            same = pair < pairs
            first = (f"p{fold}-{pair}", 1)
            second = (first[0], 2) if same else (f"q{fold}-{pair}", 1)
            angle = rng.uniform(0, 2 * np.pi)
            embedding_of[first] = unit(angle)
            embedding_of[second] = unit(
                angle + (rng.normal(0, noise) if same else rng.uniform(0.3, 6))
            )
            own.append(Pair(first, second, same))
        made.append(tuple(own))
    return LfwProtocol(tuple(made)), embedding_of


def test_a_perfect_recogniser_is_perfect():
    result = evaluate_lfw(*world(10, 100, noise=0.01))
    assert result.folds == (1.0,) * 10
    assert (result.mean, result.standard_error, result.auc) == (1.0, 0.0, 1.0)
    assert result.tar_at_far == {0.01: 1.0, 0.001: None}
    assert result.smallest_supported_far == 0.01
    assert result.tar_at_smallest_supported_far == 1.0
    assert result.missed == 0


def test_each_fold_is_decided_without_having_chosen_its_threshold():
    protocol, embedding_of = world(4, 30, noise=0.3)
    result = evaluate_lfw(protocol, embedding_of)
    for number, fold in enumerate(protocol.folds):
        scores = np.array([float(embedding_of[p.first] @ embedding_of[p.second]) for p in fold])
        same = np.array([p.same for p in fold])
        right = np.mean((scores >= result.thresholds[number]) == same)
        assert result.folds[number] == pytest.approx(right)
    # Spoil one fold: its own threshold stays, the others' move.
    spoilt = dict(embedding_of)
    for pair in protocol.folds[0]:
        if not pair.same:
            spoilt[pair.second] = spoilt[pair.first]
    again = evaluate_lfw(protocol, spoilt)
    assert again.thresholds[0] == result.thresholds[0]
    assert again.thresholds[1:] != result.thresholds[1:]


def test_the_mean_and_its_error_are_those_of_the_folds():
    result = evaluate_lfw(*world(5, 40, noise=0.4))
    assert result.mean == pytest.approx(sum(result.folds) / 5)
    variance = sum((fold - result.mean) ** 2 for fold in result.folds) / 4
    assert result.standard_error == pytest.approx((variance / 5) ** 0.5)


def test_chance_is_a_half():
    rng = np.random.default_rng(1)
    protocol, embedding_of = world(10, 100, noise=1)
    shuffled = {key: unit(rng.uniform(0, 2 * np.pi)) for key in embedding_of}
    result = evaluate_lfw(protocol, shuffled)
    assert abs(result.mean - 0.5) < 0.05
    assert abs(result.auc - 0.5) < 0.05


def test_a_pair_with_a_missed_face_is_an_error():
    protocol, embedding_of = world(10, 50, noise=0.01)
    first_fold = protocol.folds[0]
    embedding_of[first_fold[0].first] = None  # of one person
    embedding_of[first_fold[60].second] = None  # of two
    result = evaluate_lfw(protocol, embedding_of)
    assert result.missed == 2
    assert result.folds == (0.98, *(1.0,) * 9)
    assert result.auc == pytest.approx((499 / 500) ** 2)


def test_a_photograph_that_is_in_several_pairs_is_missed_once():
    pairs = (
        Pair(("a", 1), ("a", 2), True),
        Pair(("a", 1), ("b", 1), False),
        Pair(("b", 1), ("b", 2), True),
        Pair(("b", 2), ("a", 2), False),
    )
    vectors = {("a", 1): None, ("a", 2): unit(0), ("b", 1): unit(2), ("b", 2): unit(2)}
    result = evaluate_lfw(LfwProtocol((pairs,)), vectors)
    assert result.missed == 1
    assert result.folds == (0.5,)


def test_all_faces_missed_is_no_accuracy_at_all():
    protocol, embedding_of = world(2, 20, noise=0.1)
    result = evaluate_lfw(protocol, dict.fromkeys(embedding_of))
    assert result.mean == 0
    assert result.auc == 0
    json.dumps(result.to_json(), allow_nan=False)


def test_a_single_fold_is_decided_in_parts():
    protocol, embedding_of = world(1, 300, noise=0.25)
    result = evaluate_lfw(protocol, embedding_of)
    assert len(result.folds) == len(result.thresholds) == 1
    assert result.standard_error is None
    # By hand: part p holds every tenth pair of each kind.
    fold = protocol.folds[0]
    parts = [LfwProtocol((fold[p:300:10] + fold[300 + p :: 10],)) for p in range(10)]
    by_hand = evaluate_lfw(LfwProtocol(tuple(p.folds[0] for p in parts)), embedding_of)
    assert result.mean == pytest.approx(by_hand.mean)
    assert result.auc == pytest.approx(by_hand.auc)
    assert result.tar_at_far == {0.01: None, 0.001: None}
    assert result.smallest_supported_far == pytest.approx(10 / 300)


def test_a_single_fold_does_not_report_on_what_chose_the_threshold():
    # With free choice each of these pairs can be had right; honestly, chance is a half.
    rng = np.random.default_rng(4)
    means = []
    for seed in range(20):
        protocol, embedding_of = world(1, 10, noise=1, seed=seed)
        noise = {key: unit(rng.uniform(0, 2 * np.pi)) for key in embedding_of}
        means.append(evaluate_lfw(protocol, noise).mean)
    assert np.mean(means) < 0.55


@pytest.mark.parametrize(
    "folds",
    [(), ((),), ((Pair(("a", 1), ("a", 2), True),),)],
    ids=["no fold", "no pair", "one pair"],
)
def test_too_little_cannot_be_evaluated(folds: tuple[tuple[Pair, ...], ...]):
    with pytest.raises(DatasetError):
        evaluate_lfw(LfwProtocol(folds), {("a", 1): unit(0), ("a", 2): unit(0)})


def test_the_json_has_the_keys_and_only_json_in_it():
    json_form = evaluate_lfw(*world(9, 20, noise=0.2)).to_json()
    assert {"folds", "mean", "standard_error", "auc", "tar_at_far", "missed"} <= json_form.keys()
    assert json_form["tar_at_far"].keys() == {"0.01", "0.001"}
    assert json.loads(json.dumps(json_form, allow_nan=False)) == json_form


def test_a_folder_of_photographs_is_embedded_once_each(tmp_path: Path):
    protocol, embedding_of = world(2, 3, noise=0.01)
    for number, key in enumerate(protocol.photographs()):
        path = photograph_path(tmp_path, *key)
        path.parent.mkdir(exist_ok=True)
        # The picture's one colour says whose it is.
        save_image(Image.new("RGB", (16, 16), (number, 0, 0)), path.with_suffix(".png"))
        path.with_suffix(".png").rename(path)
    order = protocol.photographs()
    steps: list[tuple[int, int]] = []

    def find(images):
        return [[embedding_of[order[image.getpixel((0, 0))[0]]]] for image in images]

    result = evaluate_lfw_folder(
        protocol, tmp_path, find, progress=lambda done, total: steps.append((done, total))
    )
    assert result == evaluate_lfw(protocol, embedding_of)
    assert steps == [(i + 1, len(order)) for i in range(len(order))]


def test_photographs_that_are_not_there_are_named_before_the_work(tmp_path: Path):
    protocol, _ = world(2, 3, noise=0.01)
    with pytest.raises(DatasetError, match=r"24 of 24 photographs are not in .*p0-0_0001\.jpg"):
        evaluate_lfw_folder(protocol, tmp_path, lambda _: pytest.fail("it began"))


@pytest.mark.slow
def test_the_shared_weights_reach_their_published_accuracy_on_a_fold(
    shared: Path, teacher_weights: Path, tmp_path: Path
):
    import tarfile

    from backbones.weights import load_backbone
    from recognition.faces.embedding import FaceEmbedder

    protocol = read_lfw_pairs(shared / "datasets" / "lfw" / "pairs.txt").select([9])
    wanted = {str(photograph_path(Path("lfw-112"), *key)) for key in protocol.photographs()}
    with tarfile.open(shared / "datasets" / "lfw" / "lfw-aligned-112.tar") as archive:
        members = [m for m in archive.getmembers() if m.name in wanted]
        archive.extractall(tmp_path, members=members, filter="data")
    find = already_aligned(FaceEmbedder(load_backbone(None, weights=teacher_weights)))
    result = evaluate_lfw_folder(protocol, tmp_path / "lfw-112", find)
    assert result.mean > 0.99
    assert result.missed == 0


def test_kinds_of_pairs_are_told_apart_where_numbers_tell_the_view():
    rng = np.random.default_rng(3)
    embedding_of: dict[tuple[str, int], np.ndarray | None] = {}
    own = []
    for number in range(120):
        one, other = f"p{number}", f"q{number}"
        angle = rng.uniform(0, 2 * np.pi)
        second = int(rng.integers(1, 15))
        same = number % 2 == 0
        first_key = (one, int(rng.integers(1, 11)))
        second_key = (one if same else other, second if (one, second) != first_key else 14)
        embedding_of[first_key] = unit(angle)
        noise = 0.9 if second >= 11 else 0.02
        away = rng.normal(0, noise) if same else rng.uniform(0.5, 5)
        embedding_of[second_key] = unit(angle + away)
        own.append(Pair(first_key, second_key, same))
    missed_key = next(pair.second for pair in own if pair.second[1] >= 11)
    embedding_of[missed_key] = None
    protocol = LfwProtocol((tuple(own[:60]), tuple(own[60:])))
    result = evaluate_lfw(protocol, embedding_of, layout=Layout.CFP, replicates=20)
    assert result.by_view is not None

    def frontal(key: tuple[str, int]) -> bool:  # by the data set's description
        return key[1] <= 10

    wanted: dict[tuple[str, str], list[bool]] = {}
    for fold, threshold in zip(protocol.folds, result.thresholds, strict=True):
        for pair in fold:
            vectors = embedding_of[pair.first], embedding_of[pair.second]
            right = (
                all(vector is not None for vector in vectors)
                and (float(vectors[0] @ vectors[1]) >= threshold) == pair.same
            )
            views = ["frontal" if frontal(key) else "profile" for key in (pair.first, pair.second)]
            wanted.setdefault(tuple(sorted(views)), []).append(right)
    found = {figures.views: figures for figures in result.by_view.pairs}
    assert found.keys() == wanted.keys() == {("frontal", "frontal"), ("frontal", "profile")}
    for views, rights in wanted.items():
        assert found[views].genuine + found[views].impostor == len(rights)
        assert found[views].accuracy == pytest.approx(np.mean(rights))
    assert found["frontal", "profile"].missed == 1
    assert found["frontal", "frontal"].missed == 0
    assert found["frontal", "profile"].eer > found["frontal", "frontal"].eer
    counts = {one.view: (one.photographs, one.missed) for one in result.by_view.photographs}
    keys = protocol.photographs()
    assert counts == {
        "frontal": (sum(map(frontal, keys)), 0),
        "profile": (sum(not frontal(key) for key in keys), 1),
    }
    assert "by_view" in result.to_json()
    plain = evaluate_lfw(protocol, embedding_of, replicates=20)
    assert plain.by_view is None
    assert plain.mean == result.mean
    assert "by_view" not in plain.to_json()
