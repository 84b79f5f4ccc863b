"""A gallery on a PostgreSQL server beside one in a folder: questions and answers, and seconds.

    python benchmarks/shared_gallery.py
    python benchmarks/shared_gallery.py --delay 1 --people 500

A server of its own is started, from the system's packages or a wheel, which writes to the disk as
it does by itself. What is asked is done by turns in a folder and on the server, through a relay
that counts how often one side waits for the other, and can hold back each question as a network
does.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Folder, Place, place_of
from recognition.gallery.storage.records import PersonRecord
from recognition.gallery.templates import EmbeddingModel, Template

_TESTS = Path(__file__).resolve().parents[1] / "tests"  # have the server and the relay
_ENROLLED_AT = "2026-01-01T00:00:00+00:00"
_CROP = bytes(5000)


def template_of(name: str, dimension: int) -> Template:
    """A photograph that follows from a name."""
    seed = hashlib.sha256(name.encode()).hexdigest()
    vector = np.random.default_rng(int(seed[:12], 16)).normal(size=dimension)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Template(unit, seed, crop=_CROP)


class Trial:
    """One gallery, with another connection to it.

    Args:
        name: Of the kind of gallery.
        places: Where it is, as two machines name it.
        round_trips: How often it was waited for until now.
        given: The options.
    """

    def __init__(
        self,
        name: str,
        places: tuple[Place, Place],
        round_trips: Callable[[], int],
        given: argparse.Namespace,
    ) -> None:
        self.name, self._round_trips, self._dimension = name, round_trips, given.dimension
        model = EmbeddingModel("made-up", "0" * 64, given.dimension)
        self._opened = ExitStack()
        self._one, self._other = (
            self._opened.enter_context(place.open(model=model, create=True)) for place in places
        )
        self._names = (f"Person {number}" for number in count())
        self.figures: dict[str, list[tuple[float, int]]] = {}
        self.add("filling", given.people)
        for gallery in (self._one, self._other):
            self._found(gallery, "Person 0")
        self.figures.clear()

    def _found(self, gallery: Gallery, name: str) -> None:
        [[best]] = gallery.search(template_of(name, self._dimension).embedding[np.newaxis], 1)
        if best.person != name:
            raise SystemExit(f"{self.name}: {name} is taken for {best.person}")

    def _take(self, what: str, call: Callable[..., Any], *given: Any, shared_by: int = 1) -> None:
        before = self._round_trips()
        begun = time.perf_counter()
        call(*given)
        spent = time.perf_counter() - begun
        asked = self._round_trips() - before
        self.figures.setdefault(what, []).append((spent / shared_by, asked))

    def add(self, what: str, people: int) -> None:
        """Put people in, as an import does."""
        records = [
            PersonRecord(
                name=name,
                enrolled_at=_ENROLLED_AT,
                deleted_at=None,
                templates=(template_of(name, self._dimension),),
            )
            for name, _ in zip(self._names, range(people), strict=False)
        ]

        def put_in() -> None:
            with self._one.adding() as add:
                add(records)

        self._take(what, put_in, shared_by=people)

    def turn(self, people: int) -> None:
        """Everything once."""
        name = next(self._names)
        template = template_of(name, self._dimension)
        self._take("one person enrolled", self._one.enrol, name, [template])
        self._take("found by another connection", self._found, self._other, name)
        self._take("a search, nothing changed", self._found, self._other, name)
        self._take("renamed", self._one.edit.rename, name, f"{name} II")
        self._take("renamed back", self._one.edit.undo)
        self._take("everybody listed", self._one.people)
        if people:
            self.add("a person of an import", people)

    def close(self) -> None:
        """Close both."""
        self._opened.close()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=100, help="there from the beginning")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--imported", type=int, default=100, help="people of each import")
    parser.add_argument("--delay", type=float, default=0, help="ms that each question waits")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    sys.path.append(str(_TESTS))
    from postgres_relay import relayed
    from postgres_server import running

    with ExitStack() as opened:
        server = opened.enter_context(running(is_durable=True))
        relay = opened.enter_context(relayed(server.folder, given.delay / 1000))
        home = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        address = f"postgresql://likeness@/test?host={relay.folder}"
        trials = [
            Trial("folder", (Folder(home / "gallery"), Folder(home / "gallery")), lambda: 0, given),
            Trial(
                "server",
                (place_of(address, home / "one"), place_of(address, home / "other")),
                lambda: relay.round_trips,
                given,
            ),
        ]
        for number in range(given.turns):
            for trial in trials if number % 2 else reversed(trials):
                trial.turn(given.imported)
        for trial in trials:
            trial.close()
    told = {
        what: {
            trial.name: {
                "ms, median": round(statistics.median(s for s, _ in trial.figures[what]) * 1e3, 2),
                "ms, least": round(min(s for s, _ in trial.figures[what]) * 1e3, 2),
                "round trips, median": statistics.median(n for _, n in trial.figures[what]),
            }
            for trial in trials
        }
        for what in trials[0].figures
    }
    if given.json:
        print(json.dumps(told))
        return
    print(f"{'':30}{'folder, ms':>12}{'server, ms':>12}{'least':>9}{'round trips':>13}")
    for what, (folder, at_server) in ((w, f.values()) for w, f in told.items()):
        print(
            f"{what:30}{folder['ms, median']:>12}{at_server['ms, median']:>12}"
            f"{at_server['ms, least']:>9}{at_server['round trips, median']:>13}"
        )
    print(f"load: {os.getloadavg()[0]:.1f} processes wanted a processor")


if __name__ == "__main__":
    main()
