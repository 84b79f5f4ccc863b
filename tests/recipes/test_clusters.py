"""Groups of people whom a network confuses: they are found wherever they are planted."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from data.errors import ArgumentError
from recipes.clusters import confusable_groups


def planted(seed: int, sizes: tuple[int, ...], each: int = 6) -> tuple[Tensor, Tensor, list[int]]:
    """Photographs of people who look alike within their group, in a shuffled order of people."""
    draw = torch.Generator().manual_seed(seed)
    of = [group for group, size in enumerate(sizes) for _ in range(size)]
    order = torch.randperm(len(of), generator=draw).tolist()
    groups = [of[place] for place in order]
    centres = F.normalize(torch.randn(len(sizes), 24, generator=draw))
    faces = centres[torch.tensor(groups)] + 0.08 * torch.randn(len(of), 24, generator=draw)
    labels = torch.arange(len(of)).repeat_interleave(each)
    noise = 0.04 * torch.randn(len(labels), 24, generator=draw)
    return F.normalize(faces[labels] + noise), labels, groups


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(5, 4), (8, 5, 3), (6, 6, 6, 2)])
def test_people_who_look_alike_are_in_one_group(seed: int, sizes: tuple[int, ...]) -> None:
    vectors, labels, groups = planted(seed, sizes)
    found = confusable_groups(vectors, labels, len(sizes))
    wanted = [
        [person for person, own in enumerate(groups) if own == group] for group in range(len(sizes))
    ]
    assert sorted(found) == sorted(wanted)
    assert [len(group) for group in found] == sorted(sizes, reverse=True)


def test_how_many_photographs_there_are_of_somebody_changes_nothing() -> None:
    vectors, labels, _ = planted(5, (6, 4))
    again = torch.cat([torch.arange(len(labels)), (labels == 0).nonzero()[:, 0].repeat(20)])
    assert confusable_groups(vectors[again], labels[again], 2) == confusable_groups(
        vectors, labels, 2
    )


def test_everybody_is_in_one_group_and_no_more_groups_than_people() -> None:
    vectors, labels, groups = planted(6, (3, 4))
    for count in (1, 2, 7):
        found = confusable_groups(vectors, labels, count)
        assert sorted(person for group in found for person in group) == list(range(len(groups)))
    for count in (0, 8):
        with pytest.raises(ArgumentError, match="give 1 to 7"):
            confusable_groups(vectors, labels, count)
