"""Time a gallery of made-up people whose vectors are searched in Milvus, and compare the answers.

    PYTHONPATH=. .venv-milvus/bin/python benchmarks/milvus_index.py --index milvus:///tmp/index.db

That environment is made by `make test-milvus`, since Milvus Lite needs faiss-cpu. The index that is
named is filled, and removed at the end.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import index_of
from recognition.gallery.storage.records import BATCH, PersonRecord
from recognition.gallery.templates import EmbeddingModel, Embeddings, Template


def unit(rows: np.ndarray) -> Embeddings:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made_up(people: Sequence[int], photographs: int, dimension: int) -> Iterator[PersonRecord]:
    """People whose photographs are about 0.7 alike."""
    for person in people:
        rng = np.random.default_rng(person)
        centre = unit(rng.normal(size=dimension))
        vectors = unit(0.84 * centre + 0.54 * unit(rng.normal(size=(photographs, dimension))))
        templates = tuple(
            Template(embedding=vector, photograph_sha256=f"{person * photographs + number:064x}")
            for number, vector in enumerate(vectors)
        )
        yield PersonRecord(
            name=f"Person {person}",
            enrolled_at="2026-01-01T00:00:00+00:00",
            deleted_at=None,
            templates=templates,
        )


def looks(people: Sequence[int], dimension: int) -> Embeddings:
    """Another photograph of each, (P, D)."""
    seen = []
    for person in people:
        centre = unit(np.random.default_rng(person).normal(size=dimension))
        noise = unit(np.random.default_rng([1, person]).normal(size=dimension))
        seen.append(unit(0.84 * centre + 0.54 * noise))
    return np.stack(seen)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def asked(gallery: Gallery, queries: Embeddings) -> tuple[list[float], list[str]]:
    """How long each query took, and who is found."""
    spent, found = [], []
    for query in queries:
        began = time.perf_counter()
        [[match]] = gallery.search(query[np.newaxis], 1)
        spent.append(time.perf_counter() - began)
        found.append(f"{match.person} {match.cosine_similarity:.5f}")
    return spent, found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--index", required=True, metavar="ADDRESS", help="one that may be filled")
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--photographs", type=int, default=10, help="of a person")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args(argv)
    people = range(given.templates // given.photographs)
    model = EmbeddingModel("made up", "0" * 64, given.dimension)
    some = np.random.default_rng(0).choice(len(people), min(given.queries, len(people)), False)
    queries = looks(some.tolist(), given.dimension)
    found: dict[str, object] = {"templates": given.templates, "dimension": given.dimension}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "gallery"

        def opened(index: str | None) -> Gallery:
            address = None if index is None else index_of(index)
            return Gallery.open(folder, model=model, create=True, index=address)

        with opened(None) as plain:
            records = made_up(people, given.photographs, given.dimension)
            with plain.adding() as add:
                while batch := list(islice(records, BATCH)):
                    add(batch)
            plain.search(queries[:1], 1)
            spent, here = asked(plain, queries)
            found["this machine's index: median ms"] = round(1000 * float(np.median(spent)), 1)
        with opened(given.index) as gallery:
            found["filled: s"] = round(seconds(gallery.make_index), 1)
        with opened(given.index) as gallery:
            first = seconds(lambda: gallery.search(queries[:1], 1))
            found["opened, with the first search: s"] = round(first, 2)
            spent, there = asked(gallery, queries)
            found["Milvus: median ms"] = round(1000 * float(np.median(spent)), 1)
            found["Milvus: 99th percentile ms"] = round(1000 * float(np.quantile(spent, 0.99)), 1)
            found["found as on this machine"] = f"{sum(map(str.__eq__, here, there))}/{len(here)}"
            with opened(None) as plain, plain.adding() as add:
                add(list(made_up([len(people)], given.photographs, given.dimension)))
            look = looks([len(people)], given.dimension)
            found["another's enrolment, and found: ms"] = round(
                1000 * seconds(lambda: gallery.search(look, 1)), 1
            )
            [[match]] = gallery.search(look, 1)
            assert match.person == f"Person {len(people)}"
            erased = seconds(lambda: gallery.erase(f"Person {len(people)}"))
            found["erased: s"] = round(erased, 2)
            found["index"] = str(gallery.facts()["index"])
            gallery.remove_index()
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
