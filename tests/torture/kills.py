"""`kill -9` of processes that enrol, and of processes that open the gallery again after one."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from people import (
    open_gallery,
    photographs,
    query_of,
    reopen_gallery,
    server_of,
    state_of,
    templates_of,
)
from trial import Outcome

from data.errors import GalleryError

MOST_ACKNOWLEDGED = 4
LONGEST_WAIT = 0.03  # seconds, several times what an enrolment takes
ON_A_SERVER = 0.15
LIVES_A_FOLDER = 10  # so that some are killed while they make the gallery


def longest_wait(folder: Path) -> float:
    """Seconds within which a process is killed that uses the gallery of a folder."""
    return LONGEST_WAIT if server_of(folder) is None else ON_A_SERVER


def killed(work: Callable[[int], None], acknowledgements: int, wait: float) -> list[str]:
    """Fork a process, kill it some time after its first acknowledgements; all of those.

    Args:
        work: Does its work for ever, and writes a line to the given descriptor for each piece.
        acknowledgements: How many lines to wait for.
        wait: Seconds from there to the kill.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [pipe.readline() for _ in range(acknowledgements)]
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        lines += pipe.readlines()
    if not os.WIFSIGNALED(status):
        sys.exit("a process ended by itself")
    return [line.strip() for line in lines]


def enrolling(folder: Path, life: int) -> Callable[[int], None]:
    """Enrol one person after the other, each told to a descriptor when it is done."""

    def work(acknowledge: int) -> None:
        for number in count():
            with open_gallery(folder) as gallery:
                name = f"{life}.{number}"
                gallery.enrol(name, templates_of(name))
                os.write(acknowledge, f"{name}\n".encode())
                if number % 3 == 0:  # writes the index too
                    gallery.search(query_of(name), 1)

    return work


def judge(folder: Path, acknowledged: list[str], outcome: Outcome) -> None:
    """Open the gallery once more and look for what is not as it was promised."""
    people = {}
    with suppress(GalleryError), reopen_gallery(folder) as gallery:
        people = state_of(gallery)
        for name in acknowledged[-2:]:
            found = gallery.search(query_of(name), 1)[0][0].person
            outcome.expect(found == name, f"{name} is taken for {found}")
    for name in acknowledged:
        outcome.expect(name in people, f"{name} was acknowledged and is lost")
    for name, kept in people.items():
        outcome.expect(kept == photographs(name), f"{name} is half present: {kept} photographs")


def kill_enrolments(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill processes that enrol."""
    outcome, acknowledged, all_told = Outcome(), [], 0
    for life in range(trials):
        home = folder / str(life // LIVES_A_FOLDER)
        if life % LIVES_A_FOLDER == 0:
            acknowledged = []
        told = killed(
            enrolling(home, life),
            rng.randrange(MOST_ACKNOWLEDGED),
            rng.uniform(0, longest_wait(home)),
        )
        acknowledged += told
        all_told += len(told)
        outcome.trials += 1
        judge(home, acknowledged, outcome)
    outcome.notes.append(f"{all_told:,} people acknowledged")
    return outcome


def kill_reopening(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill a process that enrols, then one that opens the gallery, and open it once more."""
    outcome, acknowledged = Outcome(), []
    for life in range(trials):
        home = folder / str(life // LIVES_A_FOLDER)
        if life % LIVES_A_FOLDER == 0:
            acknowledged = []
        acknowledged += killed(enrolling(home, life), 1, rng.uniform(0, longest_wait(home)))

        def reopen(acknowledge: int, home: Path = home, name: str = acknowledged[-1]) -> None:
            os.write(acknowledge, b"begin\n")
            while True:
                with open_gallery(home) as gallery:
                    gallery.search(query_of(name), 1)

        killed(reopen, 1, rng.uniform(0, longest_wait(home)))
        outcome.trials += 1
        judge(home, acknowledged, outcome)
    return outcome
