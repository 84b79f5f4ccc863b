"""Hand the whole corpus in through every door, and count.

    python tests/corpus/run.py [SECTION…] [--seed N] [--json] [--table FILE]

The exit code is 1 if any promise was broken. `--table` writes what came of it into a page of the
documentation, between its two marks.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# The packages, before the folders of tests that are called like them; and this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from corpus.bench import Bench
from corpus.item import SEED
from corpus.sections import SECTIONS, rounds

from data.files import write_atomic

BEGIN, END = "<!-- corpus -->\n", "<!-- /corpus -->"
DOORS = ("library", "command line", "page")


@dataclass(slots=True)
class Count:
    """What came of a section.

    Attributes:
        accept: How many items are to be accepted.
        refuse: How many are to be refused.
        tried: Door → how many were handed in there.
        broken: Each broken promise.
        unhandled: Each error that nobody had foreseen.
        changed: How often something refused has changed the gallery or another file.
        seconds: How long it took.
    """

    accept: int = 0
    refuse: int = 0
    tried: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    unhandled: list[str] = field(default_factory=list)
    changed: int = 0
    seconds: float = 0.0


def count(bench: Bench, section: str, seed: int) -> Count:
    """Try a section."""
    counted = Count()
    began = time.monotonic()
    for item in SECTIONS[section].items(seed):
        counted.accept += item.accept
        counted.refuse += not item.accept
    for door, trial in SECTIONS[section].doors.items():
        for items in rounds(section, door, seed):
            outcome = bench.attempt(items, trial)
            where = f"{door}: {items[0].name if len(items) == 1 else f'{len(items)} items'}"
            counted.tried[door] = counted.tried.get(door, 0) + len(items)
            counted.broken += [f"{where}: {line}" for line in outcome.broken]
            counted.unhandled += [f"{where}: {line}" for line in outcome.unhandled]
            counted.changed += outcome.changed
    counted.seconds = time.monotonic() - began
    return counted


def lines(counts: dict[str, Count]) -> str:
    """The counts as a table in Markdown."""
    text = (
        "| section | accept | refuse | library | command line | page | unhandled | changed | other "
        "| time |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for section, counted in counts.items():
        doors = " | ".join(str(counted.tried.get(door, "–")) for door in DOORS)
        text += (
            f"| {section} | {counted.accept} | {counted.refuse} | {doors} | "
            f"{len(counted.unhandled)} | {counted.changed} | "
            f"{len(counted.broken)} | {counted.seconds:.0f} s |\n"
        )
    every = list(counts.values())
    doors = " | ".join(str(sum(c.tried.get(door, 0) for c in every)) for door in DOORS)
    return text + (
        f"| all | {sum(c.accept for c in every)} | {sum(c.refuse for c in every)} | {doors} | "
        f"{sum(len(c.unhandled) for c in every)} | {sum(c.changed for c in every)} | "
        f"{sum(len(c.broken) for c in every)} | {sum(c.seconds for c in every):.0f} s |\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", type=Path, help="the page that gets the table")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    logging.disable(logging.WARNING)  # a page without a browser warns of that, again and again
    counts = {}
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="corpus-", dir=place) as folder,
        Bench(Path(folder) / "bench") as bench,
    ):
        for section in given.sections or SECTIONS:
            counts[section] = counted = count(bench, section, given.seed)
            if not given.json:
                for line in [*counted.unhandled, *counted.broken]:
                    print(f"    {section}: {line}", flush=True)
    if given.json:
        print(json.dumps({section: counted.tried for section, counted in counts.items()}))
    else:
        print(lines(counts), end="")
    if given.table:
        before, _, rest = given.table.read_text().partition(BEGIN)
        page = before + BEGIN + lines(counts) + END + rest.partition(END)[2]
        write_atomic(given.table, page.encode(), mode=0o644)
    return int(any(c.broken or c.unhandled or c.changed for c in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
