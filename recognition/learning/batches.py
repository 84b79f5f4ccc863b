"""Which photographs, how they are changed and mixed, decoded ahead."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from data.augmentation import training_augmentation
from data.errors import DatasetError

from .choices import MixupPlace, Sampling
from .config import MixupConfig, TrainingConfig
from .dataset import NOBODY, Photographs


class PKSampler(Sampler[list[int]]):
    """A batch sampler that yields P people × K photographs, seeded.

    People come in shuffled rounds, so that everyone appears before anyone appears again, but for
    those left over at a round's end, fewer than P. A person with fewer than K photographs has them
    repeated as evenly as possible.

    Hermans, Beyer, Leibe: "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        people: int,
        photographs: int,
        seed: int,
        batches: int | None = None,
    ) -> None:
        """Prepare to draw from a data set.

        Args:
            labels: The person of each photograph, in the data set's order.
            people: P, people in a batch; at most as many as there are.
            photographs: K, photographs of each.
            seed: Together with the epoch it fixes every draw.
            batches: Batches in an epoch; by default as many as hold about every photograph once.

        Raises:
            DatasetError: There are fewer than P people.
            ValueError: A count is below 1.
        """
        if min(people, photographs, 1 if batches is None else batches) < 1:
            raise ValueError(
                f"expected counts of at least 1, got people={people}, photographs={photographs}, "
                f"batches={batches}"
            )
        self._photographs_of: dict[int, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            self._photographs_of[int(label)].append(index)
        if len(self._photographs_of) < people:
            raise DatasetError(
                f"a batch needs {people} people, the data set has {len(self._photographs_of)}; "
                "take fewer people a batch or add people"
            )
        self._people = people
        self._photographs = photographs
        self._seed = seed
        self._epoch = 0
        self._batches = batches or max(1, len(labels) // (people * photographs))

    def __len__(self) -> int:
        return self._batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of this epoch; the same epoch gives the same batches again."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self._seed}/{self._epoch}")
        waiting: list[int] = []
        for _ in range(self._batches):
            if len(waiting) < self._people:
                waiting = sorted(self._photographs_of)
                rng.shuffle(waiting)
            chosen, waiting = waiting[: self._people], waiting[self._people :]
            yield [index for person in chosen for index in self._draw(person, rng)]

    def _draw(self, person: int, rng: random.Random) -> list[int]:
        """Return K photographs of one person, each repeated only after all the others."""
        drawn: list[int] = []
        while len(drawn) < self._photographs:
            available = self._photographs_of[person]
            drawn += rng.sample(available, min(len(available), self._photographs - len(drawn)))
        return drawn


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """How the photographs of one batch are mixed.

    Attributes:
        share: λ, what is kept of each photograph, 0 … 1.
        partner: (B,) int64, whose photograph takes the rest.
        tap: Whose feature maps are mixed; None: the images.
    """

    share: float
    partner: Tensor
    tap: str | None

    def __call__(self, x: Tensor) -> Tensor:
        """(B, …) → (B, …)."""
        return self.share * x + (1 - self.share) * x[self.partner]


class Mixer:
    """Draws how to mix, one batch after the other.

    λ ~ Beta(α, α) once a batch (Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*);
    the place is the input or one of the taps, with equal chance (Verma et al. 2019, *Manifold
    Mixup*).
    """

    def __init__(self, config: MixupConfig, taps: Sequence[str], *, seed: int) -> None:
        """Prepare.

        Args:
            config: Where, and α.
            taps: The places inside the network.
            seed: Of all draws.
        """
        self._config = config
        self._places = [None, *taps] if config.where is MixupPlace.HIDDEN else [None]
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int, device: torch.device) -> Mixture | None:
        """Draw for a batch of `count` photographs on a device; None where nothing is mixed."""
        if self._config.where is MixupPlace.NONE:
            return None
        return Mixture(
            share=float(self._rng.beta(self._config.alpha, self._config.alpha)),
            partner=torch.from_numpy(self._rng.permutation(count)).to(device),
            tap=self._places[int(self._rng.integers(len(self._places)))],
        )


# Batches from photographs in memory: which rows, how they are changed, what they aim at.

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one step sees.

    Attributes:
        images: (B, 3, S, S) float32 RGB in [0, 1].
        labels: (B,) int64, `NOBODY` where there is no name.
        targets: (B, T) float32, the teacher's unit embeddings; None without a teacher.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor | None


class PhotographSampler:
    """A batch sampler that yields every photograph once an epoch, seeded.

    Up to K photographs of one person stay side by side, so that a metric loss finds positives;
    people with more are cut into groups of K, and the groups are shuffled. The last photographs
    that fill no batch are left to the next epoch, which has another order.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        size: int,
        photographs: int,
        seed: int,
        batches: int | None = None,
    ) -> None:
        """Prepare to draw.

        Args:
            labels: The person of each photograph; `NOBODY` is no person and forms no group.
            size: Photographs a batch.
            photographs: K.
            seed: Together with the epoch it fixes the order.
            batches: Most of an epoch, each of which then takes other photographs, drawn anew; None:
                as many as there are.

        Raises:
            DatasetError: There are fewer photographs than a batch takes.
        """
        if size > len(labels):
            raise DatasetError(
                f"a batch of {size} photographs is more than the {len(labels)} in training: "
                "take fewer a batch"
            )
        self._size = size
        self._photographs = photographs
        self._seed = seed
        self._epoch = 0
        whole = len(labels) // size
        self._batches = whole if batches is None else min(batches, whole)
        self._alone = [index for index, label in enumerate(labels) if label == NOBODY]
        self._of: dict[int, list[int]] = defaultdict(list)
        for index, label in enumerate(labels):
            if label != NOBODY:
                self._of[label].append(index)

    def __len__(self) -> int:
        return self._batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self._seed}/{self._epoch}")
        groups = [[index] for index in self._alone]
        for indices in self._of.values():
            shuffled = rng.sample(indices, len(indices))
            k = self._photographs
            groups += [shuffled[i : i + k] for i in range(0, len(shuffled), k)]
        rng.shuffle(groups)
        order = [index for group in groups for index in group]
        for batch in range(len(self)):
            yield order[batch * self._size : (batch + 1) * self._size]


EpochSampler = PKSampler | PhotographSampler


def build_sampler(photographs: Photographs, config: TrainingConfig) -> EpochSampler:
    """Decide how photographs are drawn, and check that there are enough.

    Raises:
        DatasetError: Fewer people or photographs than a batch takes, or no two photographs of
            anyone for a loss that compares them.
    """
    labels = photographs.labels.tolist()
    _check_positives(labels, config)
    batch, seed = config.batch, config.seed
    if batch.sampling is Sampling.PEOPLE:
        people = batch.people_of(len(photographs.people))
        return PKSampler(
            labels, people=people, photographs=batch.photographs, seed=seed, batches=batch.steps
        )
    size = batch.size_of(len(labels))
    return PhotographSampler(
        labels, size=size, photographs=batch.photographs, seed=seed, batches=batch.steps
    )


def _check_positives(labels: Sequence[int], config: TrainingConfig) -> None:
    named = [label for label in labels if label != NOBODY]
    for term in config.losses:
        if term.name.needs_positive and len(named) == len(set(named)):
            raise DatasetError(
                f"the loss {term.name} compares two photographs of a person, and nobody has two: "
                "add photographs or take another loss"
            )


class BatchStream:
    """The batches of an epoch; the same epoch gives the same batches, whatever went before."""

    def __init__(
        self,
        photographs: Photographs,
        sampler: EpochSampler,
        targets: Tensor | None,
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        """Prepare.

        Args:
            photographs: What is drawn from.
            sampler: How it is drawn.
            targets: (N, 2, T) the teacher's embeddings of each photograph and of its mirror image.
            config: Of the run.
            device: Where the batches go; the photographs are held there.
        """
        self._pixels = photographs.pixels.to(device)
        self._labels = photographs.labels.to(device)
        self._targets = None if targets is None else targets.to(device)
        self._sampler = sampler
        self._config = config
        self._device = device

    def __len__(self) -> int:
        return len(self._sampler)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, counted from 1; each is made while the one before is used."""
        return one_ahead(self._drawn(epoch))

    def _drawn(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(epoch_seed(self._config.seed, epoch))
        # The mirror is drawn here, not in the augmentation: a mirrored face has its own target.
        augment = training_augmentation(
            (self._pixels.shape[2], self._pixels.shape[3]),
            generator=generator,
            strength=replace(self._config.augment, mirror=0.0),
        )
        self._sampler.set_epoch(epoch)
        for rows in self._sampler:
            drawn = torch.rand(len(rows), generator=generator) < self._config.augment.mirror
            index, mirrored = torch.tensor(rows).to(self._device), drawn.to(self._device)
            pixels = self._pixels[index]  # (B, 3, S, S)
            pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
            yield Batch(
                images=augment(pixels.float().div_(255)),
                labels=self._labels[index],
                targets=None if self._targets is None else self._targets[index, mirrored.long()],
            )


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order; a thread makes the next one while this one is in use."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch's random draws, so that nothing before it needs to be repeated."""
    return seed * 1_000_003 + epoch
