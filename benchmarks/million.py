"""A million faces in a folder's gallery: how often, how fast and in how much memory they are found.

    python benchmarks/million.py --people lfw-112
    python benchmarks/million.py --templates 100000 --kind int8
    python benchmarks/million.py --postgres --templates 200000

The faces are made up: photographs of people, ten each, about as alike as a small network's are of
real people; with `--people` also real ones, embedded by the bundled network and turned into as many
numbers, which keeps every similarity. Rows are put straight into the gallery's own database, since
enrolling so many one by one takes hours; all else goes through the gallery itself. Searched for are
other photographs of those enrolled. Filling, making the index, and searching run in processes of
their own, so that each one's memory is its own; torch is in none of the latter two. The bare FAISS
call is that of the same index with the same settings, query by query in turn. With `--postgres` the
gallery is on a server of its own, with its index here; "another connection" adds what is followed.
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recognition.gallery.gallery import DATABASE, Gallery
from recognition.gallery.search.index import LOOKED_AT, Nearest
from recognition.gallery.search.kinds import Kind
from recognition.gallery.storage.databases import DatabasePlace
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template

Vectors = npt.NDArray[np.float32]

PHOTOGRAPHS = 10
QUERIES = 1000
REAL, OF_A_REAL_PERSON = 400, 4  # people, and photographs of each
AT_ONCE = 50_000
ADDED = 100
DECAY = 0.35  # of a number's standard deviation with its rank: about 160 that count, of 512
OWN = 0.8  # how much of a photograph is its person


def unit(rows: Vectors) -> Vectors:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class MadeUp:
    """People and their photographs.

    Args:
        people: How many.
        dimension: D.
        seed: Of all draws.
    """

    def __init__(self, people: int, dimension: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._scale = (np.arange(1, dimension + 1) ** -DECAY).astype(np.float32)
        self.middles = self._drawn(people)

    def _drawn(self, count: int) -> Vectors:
        rows = self._rng.standard_normal((count, len(self._scale)), dtype=np.float32)
        return unit(rows * self._scale)

    def photographs(self, people: npt.NDArray[np.int64]) -> Vectors:
        """One of each of these people."""
        noise = self._drawn(len(people))
        return unit(OWN * self.middles[people] + np.float32(np.sqrt(1 - OWN**2)) * noise)


def real(folder: Path, dimension: int) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Real people with several photographs, embedded: (n, D), and whose each is."""
    from data.datasets import read_identities
    from recognition.evaluation.embeddings import embed_photographs
    from recognition.models import Choice, Engine

    several = [one for one in read_identities(folder) if len(one.photographs) > 1]
    people = several[:: -(-len(several) // REAL)]
    find = Engine(Choice(home=Path("none")), lambda: None).finder(aligned=True)
    chosen = [one.photographs[:OF_A_REAL_PERSON] for one in people]
    paths = [path for photographs in chosen for path in photographs]
    owners = np.repeat(np.arange(len(people)), [len(photographs) for photographs in chosen])
    vectors = embed_photographs(paths, find, root=folder).vectors
    seen = [vector is not None for vector in vectors]
    rows = np.stack([vector for vector in vectors if vector is not None])
    if rows.shape[1] > dimension:
        raise SystemExit(f"--dimension must be at least {rows.shape[1]}, which real faces have")
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(dimension, rows.shape[1])))
    return unit((rows @ turned.T).astype(np.float32)), owners[seen]


def blocks(given: argparse.Namespace) -> Iterator[tuple[Vectors, npt.NDArray[np.int64]]]:
    """Photographs and whose each is; the last block is of queries."""
    faces, owners = np.empty((0, given.dimension), np.float32), np.empty(0, np.int64)
    if given.people:
        faces, owners = real(given.people, given.dimension)
    firsts = np.unique(owners, return_index=True)[1]  # are asked for, and not enrolled
    enrolled = np.setdiff1d(np.arange(len(owners)), firsts)
    count = given.templates - len(enrolled)
    people = -(-count // PHOTOGRAPHS)
    made_up = MadeUp(people, given.dimension)
    for start in range(0, count, AT_ONCE):
        whose = np.arange(start, min(count, start + AT_ONCE)) // PHOTOGRAPHS
        yield made_up.photographs(whose), whose
    yield faces[enrolled], owners[enrolled] + people
    asked = np.random.default_rng(1).choice(people, min(people, QUERIES), replace=False)
    yield (
        np.concatenate([made_up.photographs(asked), faces[firsts][:QUERIES]]),
        np.concatenate([asked, owners[firsts][:QUERIES] + people]),
    )


def place_of(given: argparse.Namespace) -> DatabasePlace:
    """Where the rows are."""
    return PostgresAddress.parse(given.server) if given.server else given.folder / DATABASE


def open_gallery(given: argparse.Namespace) -> Gallery:
    """The gallery, with its index in the folder."""
    server = PostgresAddress.parse(given.server) if given.server else None
    return Gallery.open(given.folder, server=server)


def fill(given: argparse.Namespace) -> dict[str, object]:
    """Put everybody in, and compare the queries with all of them."""
    begun = time.monotonic()
    Store.create(place_of(given), EmbeddingModel("made-up", "0" * 64, given.dimension))
    *parts, (queries, asked) = blocks(given)
    best = np.full(len(queries), -2, np.float32)
    whose = np.full(len(queries), -1, np.int64)
    row = 0
    connection = None
    if not given.server:
        connection = sqlite3.connect(given.folder / DATABASE, isolation_level=None)
    for vectors, owners in parts:
        if connection is None:
            put_on_server(given.server, vectors, owners, row)
        else:
            put_in(connection, vectors, owners, row)
        row += len(vectors)
        for start in range(0, len(vectors), 8192):
            similarities = queries @ vectors[start : start + 8192].T
            closest = similarities.argmax(axis=1)
            value = similarities[np.arange(len(queries)), closest]
            whose = np.where(value > best, owners[start + closest], whose)
            best = np.maximum(best, value)
    if connection is not None:
        connection.execute("UPDATE gallery SET changes = 1, mark = hex(randomblob(16))")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    np.savez(given.folder / "queries.npz", queries=queries, asked=asked, whose=whose, best=best)
    made_up = asked < (asked.max() + 1 if not given.people else parts[-1][1].min())
    figures: dict[str, object] = {"templates": row, "filled in s": round(time.monotonic() - begun)}
    for name, group in (("made up", made_up), ("real", ~made_up)):
        if group.any():
            figures[f"{name}: queries"] = int(group.sum())
            figures[f"{name}: median cosine similarity of the closest"] = round(
                float(np.median(best[group])), 3
            )
            figures[f"{name}: the closest is the right person"] = round(
                float((whose == asked)[group].mean()), 4
            )
    np.save(given.folder / "made_up.npy", made_up)
    return figures


def put_in(
    connection: sqlite3.Connection, vectors: Vectors, owners: npt.NDArray[np.int64], row: int
) -> None:
    """Add rows as enrolling does, in one transaction."""
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT OR IGNORE INTO person (id, name, mark, enrolled_at)"
        " VALUES (?1, ?2, ?2, '2026-01-01T00:00:00+00:00')",
        ((one + 1, f"P{one}") for one in np.unique(owners).tolist()),
    )
    connection.executemany(
        "INSERT INTO template (person_id, photograph_mark, photograph_sha256, embedding)"
        " VALUES (?1, ?2, ?2, ?3)",
        (
            (one + 1, f"{row + number:064x}", vector.tobytes())
            for number, (one, vector) in enumerate(
                zip(owners.tolist(), vectors.astype("<f4"), strict=True)
            )
        ),
    )
    connection.execute("COMMIT")


def put_on_server(server: str, vectors: Vectors, owners: npt.NDArray[np.int64], row: int) -> None:
    """Add rows as enrolling does, in one transaction."""
    from recognition.gallery.storage.postgres import connected

    with closing(connected(PostgresAddress.parse(server))) as raw, raw.transaction():
        raw.execute("CREATE TEMPORARY TABLE came (LIKE person INCLUDING DEFAULTS) ON COMMIT DROP")
        with raw.cursor().copy("COPY came (id, name, mark, enrolled_at) FROM STDIN") as copy:
            for one in np.unique(owners).tolist():
                copy.write_row((one + 1, f"P{one}", f"P{one}", "2026-01-01T00:00:00+00:00"))
        raw.execute("INSERT INTO person SELECT * FROM came ON CONFLICT DO NOTHING")
        with raw.cursor().copy(
            "COPY template (person_id, photograph_mark, photograph_sha256, embedding) FROM STDIN"
            " (FORMAT binary)"
        ) as copy:
            copy.set_types(["int8", "text", "text", "bytea"])
            for number, (one, vector) in enumerate(
                zip(owners.tolist(), vectors.astype("<f4"), strict=True)
            ):
                digest = f"{row + number:064x}"
                copy.write_row((one + 1, digest, digest, vector.tobytes()))
        raw.execute("UPDATE gallery SET changes = changes + 1, mark = md5(changes::text)")
        raw.execute("SELECT setval(pg_get_serial_sequence('person', 'id'), max(id)) FROM person")


def make_index(given: argparse.Namespace) -> dict[str, object]:
    query = np.load(given.folder / "queries.npz")["queries"][:1]
    before = resident()
    with closing(Store(place_of(given))) as store, store.reading() as snapshot:
        ids = snapshot.roll().ids
        without, _ = timed(Nearest(None, ids, False, snapshot.embeddings).of, query, 1)
    begun = time.monotonic()
    with open_gallery(given) as gallery:
        facts = gallery.facts()
        described = gallery.make_index(Kind(given.kind))
    return {
        "a search without an index, s": round(without, 1),
        "index": described,
        "index made in s": round(time.monotonic() - begun),
        "MB while it is made, beyond Python and its modules": megabytes(peak() - before),
        "MB of the index on disk": megabytes(
            (given.folder / "index/templates.faiss").stat().st_size
        ),
        "MB of the database": megabytes(
            int(facts["bytes on the server"])
            if given.server
            else (given.folder / DATABASE).stat().st_size
        ),
    }


def ask(given: argparse.Namespace) -> dict[str, object]:
    """Open, search, add."""
    held = np.load(given.folder / "queries.npz")
    queries, whose, best = held["queries"], held["whose"], held["best"]
    made_up = np.load(given.folder / "made_up.npy")
    before, begun = resident(), time.monotonic()
    gallery = open_gallery(given)
    gallery.search(queries[:1], 1)
    figures: dict[str, object] = {"opened and searched once, s": seconds_since(begun)}
    with gallery._views.current() as view:
        index = view.index
    assert index is not None
    count = 4 if index.is_exact else LOOKED_AT
    found, ours, bare = [], Times(), Times()
    for number, query in enumerate(queries[:, np.newaxis]):
        # The second of two finds its lists in the processor's cache: each is as often the second.
        if number % 2:
            bare.take(index.search, query, count)
        [[match]] = ours.take(gallery.search, query, 1)
        found.append(match)
        if not number % 2:
            bare.take(index.search, query, count)
    names = np.array([f"P{one}" for one in whose.tolist()])
    right = np.array([match.person for match in found]) == names
    for name, group in (("made up", made_up), ("real", ~made_up)):
        if group.any():
            figures[f"{name}: recall@1 against comparing all"] = round(
                float(right[group].mean()), 4
            )
    given_out = np.array([match.cosine_similarity for match in found])
    figures["largest error of a similarity, where it is right"] = float(
        np.abs(given_out - best)[right].max()
    )
    figures |= ours.figures("gallery") | bare.figures("bare FAISS")
    over = np.array(ours.wall) - np.array(bare.wall)
    figures["gallery beyond bare FAISS: median, ms"] = round(float(np.median(over)) * 1e3, 2)
    over = np.array(ours.processor) - np.array(bare.processor)
    figures["the same of the processor's time"] = round(float(np.median(over)) * 1e3, 2)
    figures["load: how many processes wanted a processor"] = round(os.getloadavg()[0], 1)
    spent, _ = timed(gallery.search, queries[:256], 1)
    figures["256 queries at once, ms each"] = round(spent / min(256, len(queries)) * 1e3, 2)
    figures["MB, beyond Python and its modules"] = megabytes(resident() - before)
    figures["MB at most, beyond Python and its modules"] = megabytes(peak() - before)
    adding, after = added(gallery, given.dimension)
    figures["adding one: median, ms"] = round(float(np.median(adding)) * 1e3, 2)
    figures["the search after it: median, ms"] = round(float(np.median(after)) * 1e3, 2)
    with open_gallery(given) as other:
        other.search(queries[:1], 1)
        adding, after = added(gallery, given.dimension, other)
    figures["found by another connection: median, ms"] = round(float(np.median(after)) * 1e3, 2)
    begun = time.monotonic()
    gallery.close()
    figures["closed in s"] = seconds_since(begun)
    begun = time.monotonic()
    with open_gallery(given) as again:
        again.search(queries[:1], 1)
        figures["opened again, s"] = seconds_since(begun)
    return figures


def added(
    gallery: Gallery, dimension: int, asked: Gallery | None = None
) -> tuple[list[float], list[float]]:
    """Seconds to enrol somebody, and of the search that follows, by another one or the same."""
    adding, after = [], []
    _, held = gallery.size
    for number, vector in enumerate(MadeUp(ADDED, dimension, seed=held).middles, start=held):
        template = Template(vector, f"{2**200 + number:064x}")
        adding.append(timed(gallery.enrol, f"New {number}", [template])[0])
        spent, [[match]] = timed((asked or gallery).search, vector[np.newaxis], 1)
        after.append(spent)
        if match.person != f"New {number}":
            print(f"New {number} is not found: {match}", file=sys.stderr)
    return adding, after


class Times:
    """Seconds that calls took: by the clock, and of this thread on a processor."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def take(self, call: Callable[..., Any], *given: Any) -> Any:
        """Call something, and note how long it takes."""
        begun = time.thread_time()
        spent, result = timed(call, *given)
        self.processor.append(time.thread_time() - begun)
        self.wall.append(spent)
        return result

    def figures(self, name: str) -> dict[str, object]:
        """How long most calls took, and nearly all."""
        found: dict[str, object] = {}
        for kind, times in (("", self.wall), (" of a processor", self.processor)):
            for part in (50, 99):
                figure = round(float(np.percentile(times, part)) * 1e3, 2)
                found[f"{name}: p{part}, ms{kind}"] = figure
        return found


def timed(call: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = call(*given)
    return time.perf_counter() - begun, result


def seconds_since(begun: float) -> float:
    return round(time.monotonic() - begun, 1)


def megabytes(count: float) -> int:
    return round(count / 1e6)


def resident() -> int:
    """Bytes of this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


STEPS = {"fill": fill, "index": make_index, "ask": ask}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--templates", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--kind", choices=list(Kind), default=Kind.AUTO)
    parser.add_argument("--people", type=Path, help="real ones too: LFW, aligned (lfw-112)")
    parser.add_argument("--folder", type=Path, help="keep the gallery here; what is there is used")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server")
    parser.add_argument("--server", help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=list(STEPS), help="do this one alone")
    given = parser.parse_args(argv)
    if given.step:
        print(json.dumps(STEPS[given.step](given)))
        return
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        if not given.folder:
            opened.callback(shutil.rmtree, folder)
        server: list[str] = []
        if given.postgres:
            sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
            from postgres_server import running

            address = opened.enter_context(running(is_durable=True)).address("million")
            server = ["--server", address]
        for step in STEPS:
            if step == "fill" and not server and (folder / "queries.npz").exists():
                continue
            command = [sys.executable, __file__, *(argv or sys.argv[1:])]
            command += ["--folder", str(folder), "--step", step, *server]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            for name, value in json.loads(done.stdout).items():
                print(f"{name:54} {value}", flush=True)


if __name__ == "__main__":
    main()
