from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from backbones.registry import create
from data.errors import DatasetError
from recognition.learning.choices import Metric
from recognition.learning.dataset import Photographs
from recognition.learning.validation import check_metric, compare, embed, verify_people


def photographs(people: int, each: int) -> Photographs:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (people * each, 3, 112, 112), dtype=torch.uint8, generator=generator
    )
    labels = torch.arange(people).repeat_interleave(each)
    return Photographs(pixels, labels, tuple(map(str, range(people))))


@pytest.mark.parametrize("mirror", [False, True])
def test_every_pair_is_compared_once(mirror: bool) -> None:
    network, shown = create("tiny", embedding_size=16, seed=0), photographs(5, 3)
    images = shown.pixels.float() / 255
    views = [network.embedding(view).detach() for view in (images, images.flip(3))]
    vectors = F.normalize(torch.cat(views[: 1 + mirror], dim=1))
    scores: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(15), 2):
        scores[i // 3 == j // 3].append(float(vectors[i] @ vectors[j]))
    wins = [(g > s) + 0.5 * (g == s) for g in scores[True] for s in scores[False]]
    got = verify_people(network, shown, mirror=mirror)
    assert (got.genuine, got.impostor) == (15, 90)
    assert got.auc == pytest.approx(np.mean(wins), abs=1e-3)
    assert got.tar is None
    assert got.threshold is None


def test_embeddings_are_unit_vectors_and_none_for_none() -> None:
    network, shown = create("tiny", embedding_size=16, seed=0), photographs(2, 2)
    vectors = embed(network, shown.pixels, mirror=True)
    assert vectors.shape == (4, 32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert embed(network, shown.pixels[:0], mirror=False).shape == (0, 16)


def test_the_threshold_lets_one_impostor_in_a_hundred_pass() -> None:
    impostor, genuine = np.linspace(0, 0.999, 1000), np.array([0.5, 0.9885, 0.995])
    measured = compare(genuine, impostor)
    assert measured.threshold is not None
    assert (impostor >= measured.threshold).sum() == 10
    assert measured.tar == pytest.approx(1 / 3)
    assert measured.value(Metric.TAR) == measured.tar
    assert measured.value(Metric.AUC) == measured.auc


def test_a_metric_that_cannot_be_measured_is_refused() -> None:
    check_metric(Metric.AUC, photographs(2, 2))
    with pytest.raises(DatasetError, match="4 impostor pairs, too few"):
        check_metric(Metric.TAR, photographs(2, 2))
    check_metric(Metric.TAR, photographs(24, 2))
