"""Kill processes that enrol, and print as JSON what came of what they had acknowledged.

    python killing.py FOLDER KILLS SEED

Each round forks a process that enrols one person after the other and acknowledges each, kills it
at a random moment, and opens the gallery. Every tenth round begins in a new folder, so that some
are killed while they make the gallery.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template

MODEL = EmbeddingModel("net", "ab" * 32, 64)
MOST_ACKNOWLEDGED = 4
LONGEST_WAIT = 0.03  # seconds, several times what an enrolment takes


def templates_of(name: str) -> list[Template]:
    """Two to four photographs that follow from the name."""
    rng = np.random.default_rng(list(name.encode()))
    photographs = []
    for _ in range(rng.integers(2, 5)):
        vector = rng.normal(size=MODEL.dimension)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        photographs.append(Template(unit, rng.bytes(32).hex(), crop=rng.bytes(5000)))
    return photographs


def enrol_until_killed(folder: Path, life: int, acknowledge: int) -> None:
    for number in count():
        with Gallery.open(folder, model=MODEL, create=True) as gallery:
            name = f"{life}.{number}"
            gallery.enrol(name, templates_of(name))
            os.write(acknowledge, f"{name}\n".encode())
            if number % 3 == 0:  # writes the index too
                gallery.search(templates_of(name)[0].embedding[np.newaxis], 1)


def one_life(folder: Path, life: int, rng: random.Random) -> list[str]:
    """Kill a process some time after its first few enrolments; return whom it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            enrol_until_killed(folder, life, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        acknowledged = [pipe.readline() for _ in range(rng.randrange(MOST_ACKNOWLEDGED))]
        time.sleep(rng.uniform(0, LONGEST_WAIT))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        acknowledged += pipe.readlines()
    if not os.WIFSIGNALED(status):
        sys.exit(f"the process of life {life} ended by itself")
    return [line.strip() for line in acknowledged]


def judge(folder: Path, acknowledged: list[str], seen: Counter[str]) -> None:
    """Open the gallery once more and count what is not as it was promised."""
    people = {}
    with suppress(GalleryError), Gallery.open(folder) as gallery:
        people = {person.name: person.photographs for person in gallery.people()}
        for name in acknowledged[-2:]:
            query = templates_of(name)[-1].embedding[np.newaxis]
            seen["not found"] += gallery.search(query, 1)[0][0].person != name
    seen["lost"] += sum(name not in people for name in acknowledged)
    seen["half present"] += sum(len(templates_of(name)) != n for name, n in people.items())
    seen["never acknowledged"] += len(people) - sum(name in people for name in acknowledged)


def main(root: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    acknowledged: list[str] = []
    for life in range(kills):
        folder = root / str(life // 10)
        if life % 10 == 0:
            acknowledged = []
        alive = one_life(folder, life, rng)
        acknowledged += alive
        seen["acknowledged"] += len(alive)
        seen["killed"] += 1
        judge(folder, acknowledged, seen)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
