"""Mutated pictures: no crash, none that takes long, none that takes much memory."""

import multiprocessing
import random
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from corpus.images import mutations
from corpus.pictures import encode, scene
from trial import Outcome

from data.errors import AppError
from data.images import load_image

MOST_SECONDS = 1.0
MOST_MEMORY = 300_000_000
AT_ONCE = 2_000  # by one process; what a picture brings down is that process


def batches(trials: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """How many pictures each process decodes, and its seed."""
    for begin in range(0, trials, AT_ONCE):
        yield min(AT_ONCE, trials - begin), rng.randrange(2**32)


def decode_some(batch: tuple[int, int]) -> tuple[list[float], int, list[str]]:
    """Decode mutated pictures: seconds of each, bytes of memory beyond the first, surprises."""
    count, seed = batch
    names = random.Random(seed)
    surprises, seconds = [], []
    load_image(encode(scene()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in mutations(seed, count):
        began = time.process_time()
        try:
            with suppress(AppError):
                load_image(content, name=names.choice(("a.jpg", "a.png", "a.tif", "a.gif", "a")))
        except BaseException as error:
            surprises.append(f"{type(error).__name__}: {error}"[:200])
        seconds.append(time.process_time() - began)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return seconds, memory, surprises


def mutate_pictures(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Decode mutations of the whole corpus, in processes that may crash."""
    outcome = Outcome()
    seconds: list[float] = []
    most = 0
    with multiprocessing.get_context("forkserver").Pool(1, maxtasksperchild=1) as pool:
        for batch in batches(trials, rng):
            try:
                times, memory, surprises = pool.apply_async(decode_some, (batch,)).get(timeout=600)
            except multiprocessing.TimeoutError:
                outcome.broken.append(f"a process crashed or hung, seed {batch[1]}")
                break
            seconds += times
            most = max(most, memory)
            outcome.broken += surprises
    outcome.trials = len(seconds)
    seconds.sort()
    p99 = seconds[int(0.99 * (len(seconds) - 1))]
    outcome.expect(p99 <= MOST_SECONDS, f"p99 is {p99:.2f} s")
    outcome.expect(most <= MOST_MEMORY, f"{most / 1e6:.0f} MB for one picture")
    outcome.notes.append(
        f"p99 {1000 * p99:.0f} ms, longest {seconds[-1]:.2f} s, at most {most / 1e6:.0f} MB"
    )
    return outcome
