"""Many processes at one gallery: eight enrol, two read, one deletes."""

import multiprocessing
import random
import time
from multiprocessing.pool import ApplyResult
from pathlib import Path

from people import open_gallery, photographs, query_of, state_of, templates_of
from trial import Outcome

from data.errors import GalleryError

ENROLLING, READING = 8, 2
DELETED = 10  # one of so many
BREATH = 0.005  # seconds between two looks, for those who enrol


def enrol(folder: Path, name_of: str, count: int) -> int:
    """Enrol so many people; how many photographs."""
    kept = 0
    for number in range(count):
        name = f"{name_of}.{number}"
        with open_gallery(folder) as gallery:
            templates = templates_of(name, crop_bytes=100)
            kept += len(templates) - len(gallery.enrol(name, templates))
    return kept


def read(folder: Path, until: int) -> list[str]:
    """Look at whoever is there until so many have been seen; what was wrong about it."""
    wrong: list[str] = []
    with open_gallery(folder) as gallery:
        while True:
            people = state_of(gallery)
            for name, kept in people.items():
                if kept != photographs(name):
                    wrong.append(f"{name} was seen with {kept} photographs")
            if people:
                name = next(reversed(people))
                found = gallery.search(query_of(name), 1)[0][0].person
                if found != name and name in state_of(gallery):
                    wrong.append(f"{name} is taken for {found}")
            if len(people) >= until:
                return wrong
            time.sleep(BREATH)


def erase(folder: Path, names: list[str]) -> int:
    """Delete or erase these as soon as they are there; how many photographs went."""
    gone = 0
    with open_gallery(folder) as gallery:
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            try:
                (gallery.erase if len(waiting) % 2 else gallery.edit.delete)(name)
                gone += photographs(name)
            except GalleryError as error:
                if "nobody" not in str(error):
                    if name in state_of(gallery):
                        raise
                    gone += photographs(name)  # erased; traces wait for the next change
                else:
                    waiting.append(name)
                    time.sleep(BREATH)
    return gone


def work_together(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Let them all work at once: rows = enrolments − deletions, exactly."""
    outcome, each = Outcome(), max(2, trials // ENROLLING)
    names = [f"{process}.{n}" for process in range(ENROLLING) for n in range(each)]
    leaving = rng.sample(names, len(names) // DELETED)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["recognition.service", "recognition.learning.trainer"])
    with processes.Pool(ENROLLING + READING + 1) as pool:
        enrolling = [pool.apply_async(enrol, (folder, str(n), each)) for n in range(ENROLLING)]
        deleting = pool.apply_async(erase, (folder, leaving))
        reading: list[ApplyResult[list[str]]] = [
            pool.apply_async(read, (folder, len(names) * 3 // 4)) for _ in range(READING)
        ]
        kept = sum(result.get() for result in enrolling)
        gone = deleting.get()
        for result in reading:
            outcome.broken += result.get()
    with open_gallery(folder) as gallery:
        people, templates = gallery.size
        outcome.expect(templates == kept - gone, f"{templates} rows, expected {kept} − {gone}")
        outcome.expect(people == len(names) - len(leaving), f"{people} people")
        for name in rng.sample(sorted(set(names) - set(leaving)), 10):
            found = gallery.search(query_of(name), 1)[0][0].person
            outcome.expect(found == name, f"{name} is taken for {found}")
    outcome.trials = len(names) + len(leaving)
    return outcome
