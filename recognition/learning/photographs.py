"""The photographs of a run, aligned, in memory: decoded once, so that no epoch waits for a disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.datasets import (
    Identity,
    check_corrupt,
    find_doubts,
    only_listed,
    read_identities,
    split_identities,
)
from data.errors import DatasetError
from data.files import printable
from data.images import find_images

from .aligned import Aligner, Missed
from .config import DataConfig
from .shifts import find_shifts

NOBODY = -1
"""The label of a photograph without a name."""


@dataclass(frozen=True, slots=True, eq=False)
class Photographs:
    """Aligned photographs and whom they show.

    Attributes:
        pixels: (N, 3, S, S) uint8 RGB, S as their alignment gives it: 112 for five points.
        labels: (N,) int64: an index into `people`, or `NOBODY`.
        people: Names, sorted.
    """

    pixels: Tensor
    labels: Tensor
    people: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def some_people(self, most: int) -> "Photographs":
        """So many people, spread evenly over all of them, with all their photographs."""
        count = min(most, len(self.people))
        return self._of([index * len(self.people) // count for index in range(count)])

    def most_photographed(self, most: int) -> "Photographs":
        """So many people of whom there are the most photographs, with all of these."""
        counts = torch.bincount(self.labels, minlength=len(self.people)).tolist()
        order = sorted(range(len(self.people)), key=lambda label: (-counts[label], label))
        return self._of(sorted(order[:most]))

    def first_of_each(self, most: int) -> "Photographs":
        """At most so many photographs of each person, so that nobody outweighs the others."""
        seen = [0] * len(self.people)
        kept = []
        for index, label in enumerate(self.labels.tolist()):
            seen[label] += 1
            if seen[label] <= most:
                kept.append(index)
        return Photographs(self.pixels[kept], self.labels[kept], self.people)

    def _of(self, chosen: list[int]) -> "Photographs":
        """The people at these indices, with all their photographs."""
        new_label = torch.full((len(self.people) + 1,), NOBODY)  # the last row is NOBODY's own
        new_label[chosen] = torch.arange(len(chosen))
        labels = new_label[self.labels]
        kept = labels != NOBODY
        return Photographs(
            self.pixels[kept], labels[kept], tuple(self.people[index] for index in chosen)
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a run trains on, and the people kept out of it.

    Attributes:
        training: Named and unnamed photographs.
        validation: Other people: they choose the best epoch and the threshold.
        test: Others again, looked at once, at the end; may be empty.
        missed: Photographs that could not be used.
        doubts: What is allowed and yet rarely meant, a line each.
    """

    training: Photographs
    validation: Photographs
    test: Photographs
    missed: tuple[Missed, ...]
    doubts: tuple[str, ...]


def load_data(config: DataConfig, aligner: Aligner, *, seed: int) -> TrainingData:
    """Read, align and split.

    Args:
        config: Where the photographs are.
        aligner: Turns paths into aligned pixels.
        seed: Of the split.

    Raises:
        DatasetError: Too few people, too many corrupt photographs, or nothing usable.
    """
    people = read_identities(config.folder)
    if config.identities is not None:
        people = only_listed(people, config.identities)
    parts = _parts(config, people, seed)
    doubts = find_doubts(people) + _shared_names(parts)
    loaded = [_load(part, aligner) for part in parts]
    missed = [item for _, lost in loaded for item in lost]
    if not config.allow_corrupt:
        photographs = sum(len(person.photographs) for part in parts for person in part)
        check_corrupt(sum(item.corrupt for item in missed), photographs, root=config.folder)
    training, validation, test = (part for part, _ in loaded)
    kept_out = config.validation or config.folder
    uses = ((training, "training", config.folder), (validation, "validation", kept_out))
    for part, use, folder in uses:
        if len(part.people) < 2:
            raise DatasetError(
                f"{printable(folder)} leaves {len(part.people)} people for {use}, and 2 are "
                "needed: add people or change the split"
            )
    doubts += find_shifts("validation", validation, "training", training)
    doubts += find_shifts("test", test, "validation", validation)
    if config.unlabelled is not None:
        unnamed, lost = _load_unnamed(config, aligner)
        doubts += find_shifts("unlabelled", unnamed, "training", training)
        training, missed = _with_unnamed(training, unnamed), missed + lost
    if len(validation) == len(validation.people):
        doubts.append("nobody kept out has two photographs: the best epoch is the last one")
    return TrainingData(training, validation, test, tuple(missed), tuple(doubts))


def _parts(config: DataConfig, people: Sequence[Identity], seed: int) -> tuple[list[Identity], ...]:
    """The people of training, validation and test; who has a folder is not split off."""
    own = (None, config.validation, config.test)
    shares = [
        share if folder is None else 0.0 for share, folder in zip(config.split, own, strict=True)
    ]
    split = split_identities(people, [share / sum(shares) for share in shares], seed)
    return tuple(
        part if folder is None else read_identities(folder, minimum_people=1)
        for part, folder in zip(split, own, strict=True)
    )


def _shared_names(parts: Sequence[Sequence[Identity]]) -> list[str]:
    """A line where folders of their own hold people who seem to be in training, too."""
    training = {person.name for person in parts[0]}
    shared = sorted({person.name for part in parts[1:] for person in part} & training)
    return [
        f"{len(shared)} people kept out have the name of one in training, such as "
        f"{printable(name)}: the same person in both makes the figures too good"
        for name in shared[:1]
    ]


def _load(people: Sequence[Identity], aligner: Aligner) -> tuple[Photographs, list[Missed]]:
    """Align the photographs of some people; those who lose all theirs are dropped."""
    paths = [path for person in people for path in person.photographs]
    owners = [index for index, person in enumerate(people) for _ in person.photographs]
    pixels, lost = aligner.load(paths)
    gone = {item.path for item in lost}
    kept = [owner for path, owner in zip(paths, owners, strict=True) if path not in gone]
    present = sorted(set(kept))
    label_of = {owner: label for label, owner in enumerate(present)}
    labels = torch.tensor([label_of[owner] for owner in kept], dtype=torch.int64)
    return Photographs(pixels, labels, tuple(people[owner].name for owner in present)), lost


def _load_unnamed(config: DataConfig, aligner: Aligner) -> tuple[Photographs, list[Missed]]:
    assert config.unlabelled is not None
    pixels, lost = aligner.load(
        find_images([config.unlabelled]), landmarks=config.unlabelled_landmarks
    )
    if len(pixels) == 0:
        raise DatasetError(f"{printable(config.unlabelled)} holds no photograph of a face")
    return Photographs(pixels, torch.full((len(pixels),), NOBODY, dtype=torch.int64), ()), lost


def _with_unnamed(named: Photographs, unnamed: Photographs) -> Photographs:
    return Photographs(
        torch.cat([named.pixels, unnamed.pixels]),
        torch.cat([named.labels, unnamed.labels]),
        named.people,
    )
