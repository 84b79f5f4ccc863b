from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from data.errors import DatasetError
from recognition.learning.batches import PKSampler

_LABELS = [5, 5, 5, 5, 9, 9, 2, 7, 7, 7]


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(0, 2**31),
)
def test_every_batch_holds_p_people_with_k_photographs(
    labels: list[int], people: int, photographs: int, seed: int
):
    people = min(people, len(set(labels)))
    sampler = PKSampler(labels, people=people, photographs=photographs, seed=seed, batches=4)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 4
    for batch in batches:
        counts = Counter(labels[index] for index in batch)
        assert set(counts.values()) == {photographs}
        assert len(counts) == people
        for person in counts:
            drawn = Counter(index for index in batch if labels[index] == person)
            available = labels.count(person)
            # As even as can be: without repetition where there are enough.
            assert max(drawn.values()) == -(-photographs // available)
            assert len(drawn) == min(photographs, available)


def test_as_many_people_as_there_are_still_gives_batches():
    sampler = PKSampler(_LABELS, people=4, photographs=2, seed=0)
    batches = list(sampler)
    assert len(batches) == 1
    assert {_LABELS[index] for index in batches[0]} == {2, 5, 7, 9}


def test_everyone_appears_before_anyone_appears_again():
    labels = [person for person in range(12) for _ in range(3)]
    first_round = list(PKSampler(labels, people=4, photographs=2, seed=1, batches=3))
    assert {labels[index] for batch in first_round for index in batch} == set(range(12))


def test_an_epoch_can_be_drawn_again_and_differs_from_others():
    sampler = PKSampler(_LABELS, people=2, photographs=2, seed=3, batches=9)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    resumed = PKSampler(_LABELS, people=2, photographs=2, seed=3, batches=9)
    resumed.set_epoch(1)
    assert list(resumed) == second
    assert list(PKSampler(_LABELS, people=2, photographs=2, seed=4, batches=9)) != first


def test_an_epoch_is_about_one_pass_over_the_photographs():
    assert len(PKSampler([0, 1] * 50, people=2, photographs=5, seed=0)) == 10


def test_it_serves_a_loader():
    sampler = PKSampler(_LABELS, people=2, photographs=3, seed=0, batches=2)
    loader = DataLoader(_LABELS, batch_sampler=sampler)  # type: ignore[arg-type]
    assert [batch.shape[0] for batch in loader] == [6, 6]


def test_too_few_people_are_a_bad_data_set():
    with pytest.raises(DatasetError, match="needs 5 people, the data set has 4"):
        PKSampler(_LABELS, people=5, photographs=2, seed=0)


@pytest.mark.parametrize("counts", [(0, 1, None), (1, 0, None), (1, 1, 0)])
def test_counts_below_one_are_refused(counts: tuple[int, int, int | None]):
    people, photographs, batches = counts
    with pytest.raises(ValueError, match="at least 1"):
        PKSampler(_LABELS, people=people, photographs=photographs, seed=0, batches=batches)
