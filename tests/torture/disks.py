"""A disk that is full at some size."""

import random
from pathlib import Path

from files import Faults, faulty, fresh
from people import State, open_gallery, photographs, query_of, state_in, templates_of
from trial import Outcome
from writes import retried

from data.errors import AppError

_MOST_PEOPLE = 1000


def fill(folder: Path, quota: int) -> tuple[State, str]:
    """Enrol people until the disk is full: who was acknowledged, and what was said."""
    done: State = {}
    with faulty(Faults(quota=quota)):
        for number in range(_MOST_PEOPLE):
            name = f"person {number}"
            try:
                with open_gallery(folder) as gallery:
                    gallery.enrol(name, templates_of(name))
                    done[name] = photographs(name)
                    gallery.search(query_of(name), 1)
            except AppError as error:
                return done, str(error)
    raise RuntimeError("the disk was never full")


def fill_disks(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Fill disks of many sizes: one line, the old gallery readable, a retry succeeds."""
    outcome = Outcome()
    for trial in range(trials):
        home, quota = fresh(folder / "full"), 20_000 + trial * 12_000 + rng.randrange(12_000)
        done, said = fill(home, quota)
        where = f"a disk of {quota:,} bytes"
        outcome.expect("\n" not in said and "full" in said, f"{where}: it is said: {said}")
        now = state_in(home)
        outcome.expect(now == done, f"{where}: {len(now)} people, {len(done)} acknowledged")
        retried(home, outcome, where)
        outcome.trials += 1
    return outcome
