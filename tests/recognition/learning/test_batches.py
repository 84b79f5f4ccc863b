"""x"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbones.registry import create
from data.augmentation import Augmentation
from data.errors import ArgumentError, DatasetError
from recognition.learning.batches import (
    BatchStream,
    Mixer,
    Mixture,
    PhotographSampler,
    build_sampler,
    one_ahead,
)
from recognition.learning.choices import LossName, MixupPlace, Sampling
from recognition.learning.config import BatchConfig, LossConfig, MixupConfig, TrainingConfig
from recognition.learning.dataset import NOBODY, Photographs
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train

CPU = torch.device("cpu")
STILL = Augmentation(
    mirror=0.0,
    rotation=0.0,
    crop=0.0,
    warp=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    grey=0.0,
    pca_colour=0.0,
    blur=0.0,
    low_resolution=0.0,
    jpeg=0.0,
    occlusion=0.0,
)


def photographs(labels: list[int]) -> Photographs:
    """Photograph i is of the one grey value i, but for a left column of 255."""
    pixels = torch.zeros(len(labels), 3, 112, 112, dtype=torch.uint8)
    pixels += torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    pixels[..., 0] = 255
    people = tuple(f"person {i}" for i in range(max(labels) + 1))
    return Photographs(pixels, torch.tensor(labels), people)


@given(
    labels=st.lists(st.integers(NOBODY, 5), min_size=4, max_size=60),
    size=st.integers(1, 4),
    together=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_an_epoch_takes_every_photograph_at_most_once_and_leaves_less_than_a_batch(
    labels: list[int], size: int, together: int, epoch: int
) -> None:
    sampler = PhotographSampler(labels, size=size, photographs=together, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    drawn = [index for batch in batches for index in batch]
    assert len(batches) == len(sampler) == len(labels) // size
    assert all(len(batch) == size for batch in batches)
    assert len(set(drawn)) == len(drawn) > len(labels) - size
    assert list(sampler) == batches


def test_photographs_of_a_person_come_side_by_side_and_nobody_is_no_person() -> None:
    labels = [0] * 4 + [1] * 4 + [NOBODY] * 24
    sampler = PhotographSampler(labels, size=32, photographs=2, seed=0)
    sampler.set_epoch(3)
    (order,) = sampler
    for person in (0, 1):
        places = [place for place, index in enumerate(order) if labels[index] == person]
        assert places[1] == places[0] + 1
        assert places[3] == places[2] + 1


def test_epochs_differ_and_seeds_differ() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        sampler = PhotographSampler([0, 1] * 20, size=4, photographs=1, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_mirrored_photograph_aims_at_the_mirrored_target(config: TrainingConfig) -> None:
    shown = photographs([0, 0, 1, 1, 2, 2])
    targets = torch.stack([torch.tensor([[i, 0.0], [i, 1.0]]) for i in range(6)])
    config = replace(config, augment=replace(STILL, mirror=0.5))
    stream = BatchStream(shown, build_sampler(shown, config), targets, config, CPU)
    sides = Counter[float]()
    for epoch in range(1, 9):
        for batch in stream.epoch(epoch):
            assert batch.targets is not None
            for image, label, target in zip(batch.images, batch.labels, batch.targets, strict=True):
                bright = float(image[0, 0, -1 if target[1] else 0])
                assert bright == pytest.approx(1.0, abs=1e-4)
                assert float(image[0, 5, 5] * 255) == pytest.approx(float(target[0]))
                assert int(label) == int(target[0]) // 2
                sides[float(target[1])] += 1
    assert set(sides) == {0.0, 1.0}


def test_an_epoch_repeats_itself_whatever_came_before(config: TrainingConfig) -> None:
    shown = photographs([0, 0, 1, 1, 2, 2])
    first, second = (
        BatchStream(shown, build_sampler(shown, config), None, config, CPU) for _ in range(2)
    )
    list(first.epoch(1))
    for a, b in zip(first.epoch(2), second.epoch(2), strict=True):
        assert a.images.equal(b.images)
        assert a.labels.equal(b.labels)
        assert a.targets is None


@pytest.mark.parametrize("sampling", list(Sampling))
def test_a_batch_over_the_data_set_is_refused(config: TrainingConfig, sampling: Sampling) -> None:
    config = replace(config, batch=BatchConfig(people=4, photographs=2, sampling=sampling))
    with pytest.raises(DatasetError, match=r"batch .*(4|8)"):
        build_sampler(photographs([0, 0, 1, 1, 2, 2]), config)


def test_one_photograph_each_serves_only_a_loss_that_compares_none(config: TrainingConfig) -> None:
    lonely = photographs([0, 1, 2, 3])
    with pytest.raises(DatasetError, match="triplet compares two photographs"):
        build_sampler(lonely, config)
    softmax = replace(config, losses=(LossConfig(name=LossName.SOFTMAX),))
    assert len(build_sampler(lonely, softmax)) == 1


def test_items_come_in_their_order_one_made_ahead() -> None:
    made: list[int] = []
    second_made = threading.Event()

    def make() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 1:
                second_made.set()
            yield number

    items = one_ahead(make())
    assert next(items) == 0
    assert second_made.wait(280)  # while the first is in use
    assert list(items) == [1, 2, 3]
    assert made == [0, 1, 2, 3]
    assert list(one_ahead(iter([]))) == []


def test_what_fails_ahead_fails_where_it_is_used() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise DatasetError("no more")

    items = one_ahead(make())
    assert next(items) == 1
    with pytest.raises(DatasetError, match="no more"):
        next(items)


SOFTMAX = (LossConfig(name=LossName.SOFTMAX),)


def mixer(where: MixupPlace, alpha: float = 0.4, seed: int = 0) -> Mixer:
    return Mixer(MixupConfig(where=where, alpha=alpha), ["first", "last"], seed=seed)


def test_a_mixture_is_the_weighted_sum_of_two_photographs() -> None:
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    partner = torch.tensor([2, 3, 0, 1])
    mixed = Mixture(share=0.3, partner=partner, tap=None)(images)
    for i in range(4):
        torch.testing.assert_close(mixed[i], 0.3 * images[i] + 0.7 * images[partner[i]])


def test_nothing_is_mixed_unless_asked() -> None:
    assert mixer(MixupPlace.NONE).draw(4, CPU) is None


def test_draws_follow_the_seed_and_the_papers_distribution() -> None:
    drawn = [mixer(MixupPlace.HIDDEN, seed=seed) for seed in (1, 1, 2)]
    first = [[source.draw(6, CPU) for _ in range(300)] for source in drawn]
    shares = np.array([[mixture.share for mixture in run if mixture] for run in first])
    assert np.array_equal(shares[0], shares[1])
    assert not np.array_equal(shares[0], shares[2])
    # Beta(α, α): mean 1/2, variance 1 / (4 (2 α + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.1)
    taps = [mixture.tap for run in first for mixture in run if mixture]
    assert {tap: taps.count(tap) / len(taps) for tap in (None, "first", "last")} == pytest.approx(
        {None: 1 / 3, "first": 1 / 3, "last": 1 / 3}, abs=0.06
    )
    for mixture in first[0]:
        assert mixture is not None
        assert sorted(mixture.partner.tolist()) == list(range(6))


def test_input_mixup_stays_at_the_input() -> None:
    source = mixer(MixupPlace.INPUT)
    assert {mixture.tap for _ in range(50) if (mixture := source.draw(3, CPU))} == {None}


def test_a_hidden_mixture_is_that_of_the_feature_maps() -> None:
    network = create("tiny", embedding_size=16, seed=1)
    images = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    mixture = Mixture(share=0.25, partner=torch.tensor([1, 2, 0]), tap="only")
    maps = network.features(images, ["only"])["only"]
    expected = mixture(maps)
    for layer in (torch.nn.Flatten(), network.fc):
        expected = layer(expected)
    torch.testing.assert_close(network.embedding(images, {"only": mixture}), expected)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("where", [MixupPlace.INPUT, MixupPlace.HIDDEN])
def test_a_run_with_mixup_learns_and_repeats(config: TrainingConfig, where: MixupPlace) -> None:
    mixed = replace(config, losses=SOFTMAX, mixup=MixupConfig(where=where), epochs=4)
    again = replace(mixed, out=config.out.with_name("again"))
    losses = [[e.train_loss for e in train(one).epochs] for one in (mixed, again)]
    assert losses[0] == losses[1]
    assert all(later < earlier for earlier, later in pairwise(losses[0][::3]))
    plain = train(replace(config, losses=SOFTMAX, out=config.out.with_name("plain"), epochs=4))
    assert losses[0] != [e.train_loss for e in plain.epochs]


def test_a_mixture_has_no_person_to_compare(config: TrainingConfig) -> None:
    mixup = MixupConfig(where=MixupPlace.INPUT)
    with pytest.raises(ArgumentError, match="mixup goes with softmax, arcface"):
        replace(config, mixup=mixup)
    with pytest.raises(ArgumentError, match="leave compile out"):
        replace(config, losses=SOFTMAX, mixup=MixupConfig(where=MixupPlace.HIDDEN), compile=True)
    with pytest.raises(ArgumentError, match=r"alpha is 0\.0: expected a number above 0"):
        MixupConfig(alpha=0.0)


def test_dropout_and_a_mixture_at_the_same_place_both_happen(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny network has one tap: with dropout, a batch mixed there is dropped from too."""
    dropped: list[float] = []
    plain = torch.nn.functional.dropout

    def noted(x: torch.Tensor, p: float = 0.5, *rest: bool, **named: bool) -> torch.Tensor:
        dropped.append(p)  # the network's own dropout, of another share, passes here too
        return plain(x, p, *rest, **named)

    monkeypatch.setattr("recognition.learning.epoch.F.dropout", noted)
    mixup = MixupConfig(where=MixupPlace.HIDDEN)
    run = replace(config, losses=SOFTMAX, mixup=mixup, dropout=0.3, epochs=2)
    steps: list[TrainingProgress] = []
    train(run, progress=lambda now: steps.append(now) if now.loss is not None else None)
    assert dropped.count(0.3) == len(steps)
