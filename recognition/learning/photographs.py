"""The photographs of a run, aligned, in memory: decoded once, so that no epoch waits for a disk."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.datasets import (
    Identity,
    check_corrupt,
    find_doubts,
    listed_names,
    only_listed,
    read_identities,
    read_people,
    split_identities,
)
from data.errors import DatasetError
from data.files import printable
from data.folders import Account, sift_all
from data.images import find_images

from .aligned import Aligner, Landmarks, Missed
from .config import DataConfig, SourceConfig
from .shifts import find_shifts

NOBODY = -1
"""The label of a photograph without a name."""


@dataclass(frozen=True, slots=True, eq=False)
class Photographs:
    """Aligned photographs and whom they show.

    Attributes:
        pixels: (N, 3, S, S) uint8 RGB, S as their alignment gives it: 112 for five points.
        labels: (N,) int64: an index into `people`, or `NOBODY`.
        people: Names, sorted within each folder.
    """

    pixels: Tensor
    labels: Tensor
    people: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def compared(self) -> int:
        """How many people have two photographs or more."""
        return int((torch.bincount(self.labels[self.labels != NOBODY]) > 1).sum())

    def some_people(self, most: int) -> "Photographs":
        """So many people, spread evenly over all of them, with all their photographs."""
        count = min(most, len(self.people))
        return self._of([index * len(self.people) // count for index in range(count)])

    def most_photographed(self, most: int) -> "Photographs":
        """So many people of whom there are the most photographs, with all of these."""
        counts = torch.bincount(self.labels, minlength=len(self.people)).tolist()
        order = sorted(range(len(self.people)), key=lambda label: (-counts[label], label))
        return self._of(sorted(order[:most]))

    def some_of_each(self, most: int) -> "Photographs":
        """At most so many photographs of each person, so that nobody outweighs the others.

        They are spread over all there are, since a folder may have its profiles at its end.
        """
        of: dict[int, list[int]] = defaultdict(list)
        for index, label in enumerate(self.labels.tolist()):
            of[label].append(index)
        kept = sorted(own[i] for own in of.values() for i in _spread(len(own), most))
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


def _spread(count: int, most: int) -> list[int]:
    """At most so many of 0 … count - 1, the first and the last among them where there is room."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / max(1, most - 1)) for place in range(most)})


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a run trains on, and the people kept out of it.

    Attributes:
        training: Named and unnamed photographs.
        validation: Other people: they choose the best epoch and the threshold.
        test: Others again, looked at once, at the end; may be empty.
        missed: Photographs that could not be used.
        doubts: What is allowed and yet rarely meant, a line each.
        accounts: What was not taken from the folders.
    """

    training: Photographs
    validation: Photographs
    test: Photographs
    missed: tuple[Missed, ...]
    doubts: tuple[str, ...]
    accounts: tuple[Account, ...] = ()


def load_data(config: DataConfig, aligner: Aligner, *, seed: int) -> TrainingData:
    """Read, align and split.

    Args:
        config: Where the photographs are.
        aligner: Turns paths into aligned pixels.
        seed: Of the split.

    Raises:
        DatasetError: Too few people, too many corrupt photographs, or nothing usable.
    """
    people = _people_of(config.folder, config.identities, config.excluded)
    parts = _parts(config, people, seed)
    accounts, empty = _accounts(config)
    doubts = find_doubts(people)
    doubts += [f"{printable(folder)} gives nobody: no photograph in it is read" for folder in empty]
    loaded = [_load(part, aligner, originals=_originals(config)) for part in parts]
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
    taken = {person.name for person in people}
    for source in _further(config):
        more, lost = _load_source(source, aligner)
        _check_names(more, taken)
        taken.update(more.people)
        name = "unlabelled" if source.folder == config.unlabelled else printable(source.folder.name)
        doubts += find_shifts(name, more, "training", training)
        training, missed = _joined(training, more), missed + lost
    doubts += _shared_names(training.people, (*validation.people, *test.people))
    if len(validation) == len(validation.people):
        doubts.append("nobody kept out has two photographs: the best epoch is the last one")
    return TrainingData(training, validation, test, tuple(missed), tuple(doubts), accounts)


def _parts(config: DataConfig, people: Sequence[Identity], seed: int) -> tuple[list[Identity], ...]:
    """The people of training, validation and test; who has a folder is not split off."""
    own = (None, config.validation, config.test)
    shares = [
        share if folder is None else 0.0 for share, folder in zip(config.split, own, strict=True)
    ]
    split = split_identities(people, [share / sum(shares) for share in shares], seed)
    listed = (None, config.validation_identities, None)
    return tuple(
        part if folder is None else _people_of(folder, listing, (), fewest=1)
        for part, folder, listing in zip(split, own, listed, strict=True)
    )


def _people_of(
    folder: Path, identities: Path | None, excluded: Sequence[Path], *, fewest: int = 2
) -> list[Identity]:
    """The people of a folder: those listed, without those excluded and without such photographs."""
    people = read_identities(folder, minimum_people=fewest)
    if identities is not None:
        people = only_listed(people, identities)
    if not excluded:
        return people
    out = listed_names(excluded)
    kept = [
        Identity(person.name, photographs)
        for person in people
        if person.name not in out
        and (
            photographs := tuple(
                path for path in person.photographs if f"{person.name}/{path.name}" not in out
            )
        )
    ]
    if not kept:
        raise DatasetError(f"everybody in {printable(folder)} is excluded")
    return kept


def _originals(config: DataConfig) -> Callable[[Path], Path | None] | None:
    """Where the whole photograph lies that one of `config.folder` was cut from; None: nowhere."""
    if config.originals is None:
        return None
    root, folder = config.originals, config.folder

    def find(path: Path) -> Path | None:
        if not path.is_relative_to(folder):
            return None  # of a folder of its own
        whole = root / path.relative_to(folder)
        return whole if whole.is_file() else None

    return find


def _accounts(config: DataConfig) -> tuple[tuple[Account, ...], list[Path]]:
    """What is not taken from the folders of a run, and people's folders without a photograph."""
    further = _further(config)
    named = [config.folder, config.validation, config.test]
    named += [source.folder for source in further if source.named]
    people = [read_people(folder, minimum_people=1) for folder in named if folder is not None]
    unnamed = sift_all([source.folder for source in further if not source.named])
    accounts = [*(one.account for one in people), *(sifted.account for _, sifted in unnamed)]
    empty = [folder for one in people for folder in one.empty]
    return tuple(account for account in accounts if account.left), empty


def _further(config: DataConfig) -> list[SourceConfig]:
    """The sources beside `data.folder`, in the order in which their photographs follow."""
    if config.unlabelled is None:
        return list(config.more)
    unlabelled = SourceConfig(
        folder=config.unlabelled, named=False, landmarks=config.unlabelled_landmarks
    )
    return [*config.more, unlabelled]


def _shared_names(training: Sequence[str], kept_out: Sequence[str]) -> list[str]:
    """A line where folders of their own hold people who seem to be in training, too."""
    shared = sorted(set(training) & set(kept_out))
    return [
        f"{len(shared)} people kept out have the name of one in training, such as "
        f"{printable(name)}: the same person in both makes the figures too good"
        for name in shared[:1]
    ]


def _load(
    people: Sequence[Identity],
    aligner: Aligner,
    *,
    landmarks: Landmarks | None = None,
    originals: Callable[[Path], Path | None] | None = None,
) -> tuple[Photographs, list[Missed]]:
    """Align the photographs of some people; those who lose all theirs are dropped."""
    paths = [path for person in people for path in person.photographs]
    owners = [index for index, person in enumerate(people) for _ in person.photographs]
    pixels, lost = aligner.load(paths, landmarks=landmarks, originals=originals)
    gone = {item.path for item in lost}
    kept = [owner for path, owner in zip(paths, owners, strict=True) if path not in gone]
    present = sorted(set(kept))
    label_of = {owner: label for label, owner in enumerate(present)}
    labels = torch.tensor([label_of[owner] for owner in kept], dtype=torch.int64)
    return Photographs(pixels, labels, tuple(people[owner].name for owner in present)), lost


def _load_source(source: SourceConfig, aligner: Aligner) -> tuple[Photographs, list[Missed]]:
    """Align a further folder's photographs, of people or without names."""
    if source.named:
        people = _people_of(source.folder, source.identities, source.excluded, fewest=1)
        return _load(people, aligner, landmarks=source.landmarks)
    out = listed_names(source.excluded)
    paths = [
        path
        for path in find_images([source.folder])
        if path.relative_to(source.folder).as_posix() not in out
    ]
    pixels, lost = aligner.load(paths, landmarks=source.landmarks)
    if len(pixels) == 0:
        raise DatasetError(f"{printable(source.folder)} holds no photograph of a face")
    return Photographs(pixels, torch.full((len(pixels),), NOBODY, dtype=torch.int64), ()), lost


def _check_names(more: Photographs, taken: set[str]) -> None:
    """Refuse a further folder with a name that another one has, perhaps among those kept out.

    Raises:
        DatasetError: There is one.
    """
    if shared := sorted(set(more.people) & taken):
        raise DatasetError(
            f"{printable(shared[0])} is a person of two folders: rename one of them, or exclude "
            "it, for people are told apart by name"
        )


def _joined(first: Photographs, second: Photographs) -> Photographs:
    """Both, one after the other; nobody is in both."""
    labels = second.labels.clone()
    labels[labels != NOBODY] += len(first.people)
    return Photographs(
        torch.cat([first.pixels, second.pixels]),
        torch.cat([first.labels, labels]),
        first.people + second.people,
    )
