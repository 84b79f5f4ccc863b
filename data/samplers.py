"""Batches for metric learning: P people with K photographs each."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from .errors import DatasetError


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
