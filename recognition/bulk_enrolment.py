"""Many people's photographs: decoded ahead by processes, embedded in batches."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from PIL import Image

from data.decoder_sandbox import decoding_apart
from data.progress import Progress

from .enrolment import (
    EnrolmentTerms,
    enrolled,
    kept_photographs,
    known_already,
    oddities,
    template_or_reason,
)
from .gallery.gallery import Gallery
from .gallery.templates import Template
from .photographs import (
    MOST_IMAGES,
    MOST_PIXELS,
    Known,
    Photograph,
    Seen,
    in_batches,
    look_at_batch,
    pixels_of,
    read_unless_known,
)
from .results import Enrolment, FailedImage, Skipped

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace

    Looked = Seen[DetectedFace] | Known | FailedImage


# Work that several threads do ahead of whoever takes its results, in order and within bounds.

Result = TypeVar("Result")


class Ahead(Generic[Result]):
    """The results of some tasks, done by threads before they are asked for.

    Tasks begin in order, and none begins while the results that wait are too many or too large; so
    what waits has been done before, can be taken without it, and nobody waits for ever.

    Args:
        do: Does one task, by its number from 0.
        count: How many tasks there are.
        threads: How many are done at once.
        size: How large a result is.
        most: Tasks that may be under way or done and not taken.
        most_size: No task begins while the results that wait are larger than this together.
    """

    def __init__(
        self,
        do: Callable[[int], Result],
        count: int,
        *,
        threads: int,
        size: Callable[[Result], int],
        most: int,
        most_size: int,
    ) -> None:
        self._do, self._count, self._size = do, count, size
        self._most, self._most_size = most, most_size
        self._done: dict[int, Result | BaseException] = {}
        self._begun = self._taken = self._waiting_size = 0
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(min(threads, count))
        ]

    @contextmanager
    def results(self) -> Iterator[Iterator[Result]]:
        """Start, and hand out the results in order; what is not begun at the end is not done.

        An exception of a task is raised in its place.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield self._results()
        finally:
            with self._changed:
                self._count = 0
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _results(self) -> Iterator[Result]:
        for number in range(self._count):
            with self._changed:
                self._changed.wait_for(lambda number=number: number in self._done)  # type: ignore[misc]
                result = self._done.pop(number)
                self._taken += 1
                if isinstance(result, BaseException):
                    raise result
                self._waiting_size -= self._size(result)
                self._changed.notify_all()
            yield result

    def _may_begin(self) -> bool:
        return self._begun >= self._count or (
            self._begun - self._taken < self._most and self._waiting_size <= self._most_size
        )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._may_begin)
                if self._begun >= self._count:
                    return
                number = self._begun
                self._begun += 1
            try:
                result: Result | BaseException = self._do(number)
                size = self._size(result)  # type: ignore[arg-type]
            except BaseException as error:
                result, size = error, 0
            with self._changed:
                self._done[number] = result
                self._waiting_size += size
                self._changed.notify_all()


# Many people's photographs enrolled at once: decoded ahead by processes, embedded in batches.
#
# Three things go on at a time: workers decode (`data.decoder_sandbox`), one thread runs the
# networks on a batch, and this one makes templates of the batch before and writes them. Which
# photographs share a batch or a transaction follows from their order and sizes alone, never from
# who was faster.

TOGETHER = 64
"""From so many photographs on, whoever is complete is enrolled, in one transaction."""

MOST_TOGETHER = 256
"""So many are enrolled at once though somebody is not complete: a kill costs no more than these."""

Find = Callable[[Sequence[Image.Image]], "Sequence[Sequence[DetectedFace]]"]
Read = Photograph | Known | FailedImage


def enrol_people(
    queue: "EnrolmentQueue",
    find: Find,
    known_of: Callable[[str], frozenset[str]],
    workers: int | None = None,
) -> None:
    """Enrol the people of a queue.

    Args:
        queue: Whom, and where to.
        find: Images → the faces in each of them.
        known_of: The SHA-256 of the photographs that are enrolled under a name already.
        workers: Processes that decode; None: one a core.

    Raises:
        GalleryError: The gallery refuses.
    """
    tasks = [(name, path) for name, paths in queue.people.items() for path in paths]
    known = _Remembered(known_of)

    def read(number: int) -> Read:
        name, path = tasks[number]
        return read_unless_known(path, known(name))

    with decoding_apart(workers) as pool:
        ahead = Ahead(
            read,
            len(tasks),
            threads=pool.workers,
            size=pixels_of,
            most=2 * MOST_IMAGES,
            most_size=MOST_PIXELS,
        )
        with ahead.results() as photographs, closing(_looked_at(photographs, find)) as looked_at:
            for (name, _), item in zip(tasks, looked_at, strict=True):
                if queue.take(name, item):
                    known.forget(name)
    queue.enrol()


def _looked_at(photographs: Iterable[Read], find: Find) -> "Generator[Looked]":
    """Run the networks in a thread of their own, one batch ahead of what is taken from here."""
    under_way: deque[Future[list[Looked]]] = deque()

    def look(batch: Sequence[Read]) -> "list[Looked]":
        return look_at_batch(batch, find)

    networks = ThreadPoolExecutor(1, thread_name_prefix="networks")
    try:
        for batch in in_batches(photographs):
            under_way.append(networks.submit(look, batch))
            if len(under_way) > 1:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    finally:
        networks.shutdown(cancel_futures=True)


class _Remembered:
    """What was known of each person before any of theirs was enrolled. Safe for several threads."""

    def __init__(self, known_of: Callable[[str], frozenset[str]]) -> None:
        self._known_of = known_of
        self._known: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> frozenset[str]:
        # Under the lock, so that it is asked before the first photograph of theirs is read.
        with self._lock:
            if name not in self._known:
                self._known[name] = self._known_of(name)
            return self._known[name]

    def forget(self, name: str) -> None:
        with self._lock:
            del self._known[name]


@dataclass(slots=True, eq=False)
class _Person:
    """Somebody whose photographs are being taken, in order.

    Attributes:
        name: Their name.
        images: The photographs that were taken, by their names.
        templates: Those that are good, by their place among `images`.
        odd: What is odd about their files, a line each.
        skipped: The others.
        settled: How many are enrolled, or never will be.
    """

    name: str
    images: list[str] = field(default_factory=list)
    templates: dict[int, Template] = field(default_factory=dict)
    odd: dict[int, tuple[str, ...]] = field(default_factory=dict)
    skipped: dict[int, Skipped] = field(default_factory=dict)
    settled: int = 0

    def waiting(self) -> dict[int, Template]:
        """The templates that are not enrolled yet."""
        return {at: one for at, one in self.templates.items() if at >= self.settled}

    def settle(self, places: Sequence[int], left_out: Mapping[int, str]) -> int:
        """Note what was enrolled, and which of it was known already; how many that settles."""
        for index, at in enumerate(places):
            if index in left_out:
                self.skipped[at] = known_already(self.images[at], self.name, left_out[index])
                del self.templates[at]
            else:  # the crop is kept in the gallery, and no longer here
                self.templates[at] = replace(self.templates[at], crop=None)
        settled, self.settled = len(self.images) - self.settled, len(self.images)
        return settled


class EnrolmentQueue:
    """Where photographs are handed in, person by person, to be enrolled some hundred at a time.

    Args:
        gallery: Opens the gallery; called only when there is something to enrol.
        people: Names and their photographs.
        terms: On which terms they are enrolled.
        progress: Told how many photographs are enrolled for good, or will not be.
    """

    def __init__(
        self,
        gallery: Callable[[], Gallery],
        people: Mapping[str, Sequence[Path]],
        terms: EnrolmentTerms,
        progress: Progress,
    ) -> None:
        self.people = people
        self.done: list[Enrolment] = []
        self._gallery, self._terms, self._progress = gallery, terms, progress
        self._total = sum(map(len, people.values()))
        self._settled = 0
        self._open: list[_Person] = []
        self._waiting = 0

    def take(self, name: str, item: "Looked") -> bool:
        """Take somebody's next photograph; whether it is their last."""
        if not self._open or self._open[-1].name != name:
            self._open.append(_Person(name))
        person = self._open[-1]
        at = len(person.images)
        person.images.append(item.image if isinstance(item, FailedImage) else item.name)
        if isinstance(item, Known):
            person.skipped[at] = known_already(item.name, name, name)
        else:
            outcome = template_or_reason(item, self._terms)
            if isinstance(outcome, Template):
                person.templates[at] = outcome
                person.odd[at] = oddities(item)
            else:
                person.skipped[at] = Skipped(image=person.images[at], reason=outcome)
        self._waiting += 1
        is_last = len(person.images) == len(self.people[name])
        if self._waiting >= (TOGETHER if is_last else MOST_TOGETHER):
            self.enrol()
        return is_last

    def enrol(self) -> None:
        """Enrol what waits, in one transaction, and then tell of it."""
        waiting = [(person, one) for person in self._open if (one := person.waiting())]
        left_out = (
            self._gallery().enrol_all(
                [(person.name, list(templates.values())) for person, templates in waiting],
                self._terms.consent,
                self._terms.groups,
            )
            if waiting
            else []
        )
        outcomes = {
            person.name: (list(templates), out)
            for (person, templates), out in zip(waiting, left_out, strict=True)
        }
        for person in self._open:
            self._settled += person.settle(*outcomes.get(person.name, ((), {})))
        if self._waiting:
            self._progress(self._settled, self._total)
        complete = [one for one in self._open if len(one.images) == len(self.people[one.name])]
        self.done += map(self._told, complete)
        self._open = [person for person in self._open if person not in complete]
        self._waiting = 0

    def _told(self, person: _Person) -> Enrolment:
        """What became of somebody's photographs, and what is odd about those enrolled."""
        photographs = [
            (person.images[at], one, person.odd[at]) for at, one in sorted(person.templates.items())
        ]
        count = len(photographs)
        return Enrolment(
            enrolled=(enrolled(self._gallery(), person.name, count),) if count else (),
            skipped=tuple(person.skipped[at] for at in sorted(person.skipped)),
            kept=kept_photographs(self._gallery, person.name, photographs, self._terms),
        )
