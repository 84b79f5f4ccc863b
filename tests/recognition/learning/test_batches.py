import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.augmentation import Augmentation
from data.errors import DatasetError
from recognition.learning.batches import BatchStream, PhotographSampler, build_sampler, one_ahead
from recognition.learning.choices import LossName, Sampling
from recognition.learning.config import BatchConfig, LossConfig, TrainingConfig
from recognition.learning.dataset import NOBODY, Photographs

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
