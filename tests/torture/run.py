"""Every fault of the fault table, made on purpose and counted.

    python tests/torture/run.py [ROW…] [--few] [--seed N] [--json] [--table FILE]
    python tests/torture/run.py --few --served
    python tests/torture/run.py --postgres [ROW…] [--trials N]

Without arguments every row runs at its full number of trials; `--few` takes those that run with the
tests. The exit code is 1 if any promise was broken. `--table` writes what came of it into a page of
the documentation, between its two marks. `--served` tries each row whose name is a line of standard
input, and prints a line of JSON for it: the libraries are loaded once for all of them. With
`--postgres` galleries are kept on a PostgreSQL server of its own, for the rows that this changes.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

# The packages, before the folders of tests that are called like them; and the corpus.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import crowd
import disks
import erasure
import folders
import indexes
import kills
import lasting
import learning
import moving
import people
import pictures
import postgres_server
import strangers
import thieves
import writes
from trial import Outcome, Row

from data.files import write_atomic

ROWS = {
    "kill-enrolling": Row(
        "kill −9 while enrolling",
        "acknowledged and lost: 0; half present: 0",
        3000, 40, kills.kill_enrolments,
    ),
    "kill-reopening": Row(
        "kill −9 while reopening after one", "the second reopen succeeds", 500, 15,
        kills.kill_reopening,
    ),
    "kill-folder": Row(
        "kill −9 while enrolling a folder of people, then again",
        "acknowledged and lost: 0; at the end each photograph once", 300, 8,
        folders.kill_folders,
    ),
    "failing-writes": Row(
        "each write, sync, rename failing once, and from then on",
        "old state or new state, never another; a retry succeeds",
        0, 40, writes.fail_each_write,
    ),
    "power-cuts": Row(
        "power cut: unsynced writes dropped, torn or reordered",
        "acknowledged and lost: 0",
        10_000, 150, writes.cut_the_power,
    ),
    "full-disks": Row(
        "disk full", "one line; the old gallery readable; a retry succeeds", 50, 5,
        disks.fill_disks,
    ),
    "broken-indexes": Row(
        "index stale, foreign, missing, bit-flipped, cut",
        "rebuilt or refused; a wrong person: 0",
        5000, 100, indexes.break_indexes,
    ),
    "crowd": Row(
        "8 processes enrolling, 2 reading, 1 deleting",
        "rows = enrolments − deletions, exactly",
        2000, 40, crowd.work_together,
    ),
    "vectors": Row(
        "NaN, infinite, zero, wrong-length vector; under `python -O` too", "typed refusal",
        50, 20, strangers.hand_in_vectors,
    ),
    "other-models": Row(
        "another model's gallery", "refused, also at the same dimension", 10, 10,
        strangers.open_with_other_models,
    ),
    "pickles": Row(
        "pickles handed in as anything", "code run: 0", 30, 17, strangers.hand_in_pickles
    ),
    "names": Row(
        "hostile names", "files outside the data folder: 0", 500, 60, strangers.hand_in_names
    ),
    "exports": Row(
        "exports altered by strangers, names and members hostile",
        "taken whole or refused with nothing changed; files elsewhere: 0",
        500, 40, moving.hand_in_exports,
    ),
    "kill-moving": Row(
        "kill −9 while restoring and importing", "the old or the new gallery, whole", 500, 12,
        moving.kill_moving,
    ),
    "kill-training": Row(
        "kill −9 while training", "resumed = uninterrupted, byte for byte", 50, 1,
        learning.kill_training,
    ),
    "nan-loss": Row(
        "NaN loss", "stops at that step; the last good checkpoint untouched", 20, 3,
        learning.break_losses,
    ),
    "erasure": Row(
        "erasure of a person", "bytes left in any file: 0", 100, 8, erasure.erase_people
    ),
    "older-backups": Row(
        "people erased, merged and moved; older backups restored, also over a damaged database",
        "whoever was erased is back: 0; anybody else lost: 0", 300, 8, lasting.restore_backups,
    ),
    "wrong-clocks": Row(
        "the clock wrong by years for less than a week",
        "erased before their time: 0; not erased after it: 0", 200, 5, lasting.set_clocks,
    ),
    "altered-rows": Row(
        "an encrypted gallery's rows altered, removed, swapped without its key",
        "refused before anything is done", 1000, 60, lasting.alter_rows,
    ),
    "kill-copies": Row(
        "kill −9 while backing up, exporting, importing, indexing",
        "temporary copies left after the next opening: 0", 300, 8, lasting.kill_copies,
    ),
    "stolen-files": Row(
        "encryption on, files stolen; kill −9 while encrypting or rotating",
        "a name or 4 floats in a row readable: 0; wrong key refused; old or new state",
        400, 12, thieves.steal_files,
    ),
    "pictures": Row(
        "mutated pictures", "crash 0, p99 ≤ 1 s, ≤ 300 MB a file", 100_000, 1000,
        pictures.mutate_pictures,
    ),
}  # fmt: skip

ON_A_SERVER = ("kill-enrolling", "kill-reopening", "crowd", "erasure")
"""Rows that are tried on a PostgreSQL server as well."""

TABLES = {False: "torture", True: "torture-postgres"}
"""Whether on a server → what the table's marks are called in the page."""
HEAD = "| row | fault | promise | trials | broken | time | |\n|---|---|---|---|---|---|---|\n"


def tried(name: str, *, few: bool, seed: int, trials: int | None = None) -> tuple[Outcome, float]:
    """What came of a row, and the seconds it took; of so many trials where they are told.

    The folder is in memory where there is one: every sync of a disk would be waited for, and a
    process that is killed leaves the same behind on both.
    """
    row = ROWS[name]
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torture-", dir=place) as folder:
        began = time.monotonic()
        outcome = row.run(
            trials or (row.few if few else row.trials),
            Path(folder) / "home",
            random.Random(seed),
        )
        return outcome, time.monotonic() - began


def line(name: str, outcome: Outcome, seconds: float) -> str:
    """One row of the table in Markdown."""
    row = ROWS[name]
    return (
        f"| `{name}` | {row.fault} | {row.promise} | {outcome.trials:,} | "
        f"{len(outcome.broken)} | {seconds:.0f} s | {'; '.join(outcome.notes)} |\n"
    )


def write_table(
    page: Path, results: dict[str, tuple[Outcome, float]], *, postgres: bool = False
) -> None:
    """Write the results into a page; rows that were not tried now stay as they are there."""
    begin, end = f"<!-- {TABLES[postgres]} -->\n", f"<!-- /{TABLES[postgres]} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    table, _, after = rest.partition(end)
    rows = {text.split("`")[1]: text for text in table.splitlines(True) if text.startswith("| `")}
    rows |= {name: line(name, *result) for name, result in results.items()}
    text = HEAD + "".join(rows[name] for name in ROWS if name in rows)
    write_atomic(page, (before + begin + text + end + after).encode(), mode=0o644)


def serve(*, few: bool, seed: int) -> None:
    """Try rows as they are asked for, and say in a line of JSON what came of each."""
    for asked in sys.stdin:
        outcome, _ = tried(asked.strip(), few=few, seed=seed)
        print(json.dumps(asdict(outcome)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW")
    parser.add_argument("--few", action="store_true", help="as many as run with the tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--served", action="store_true", help="rows come by standard input")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server")
    parser.add_argument("--trials", type=int, help="another number than each row's own")
    parser.add_argument("--table", type=Path, help="the page that gets the table")
    given = parser.parse_args()
    if given.served:
        serve(few=given.few, seed=given.seed)
        return 0
    with ExitStack() as opened:
        if given.postgres:
            server = opened.enter_context(postgres_server.running())
            os.environ[people.SERVER] = f"postgresql://likeness@/test?host={server.folder}"
        return try_all(given)


def try_all(given: argparse.Namespace) -> int:
    """Try the rows that are asked for, and tell what came of them; 1 if a promise was broken."""
    results = {}
    for name in given.rows or (ON_A_SERVER if given.postgres else ROWS):
        results[name] = outcome, seconds = tried(
            name, few=given.few, seed=given.seed, trials=given.trials
        )
        if not given.json:
            state = "kept" if not outcome.broken else f"BROKEN {len(outcome.broken)}×"
            print(f"{name:16} {outcome.trials:>7,} in {seconds:6.1f} s  {state}", flush=True)
            for text in [*outcome.broken[:5], *outcome.notes]:
                print(f"    {text}", flush=True)
    if given.json:
        print(json.dumps({name: asdict(outcome) for name, (outcome, _) in results.items()}))
    if given.table:
        write_table(given.table, results, postgres=given.postgres)
    return int(any(outcome.broken for outcome, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
