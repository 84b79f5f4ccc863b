"""Copy a gallery of made-up people to Milvus and back, and compare the bits.

    PYTHONPATH=. .venv-milvus/bin/python benchmarks/gallery_copy.py --milvus milvus:///tmp/copy.db

That environment is made by `make test-milvus`, since Milvus Lite needs faiss-cpu.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from recognition.gallery.locations import Folder, place_of
from recognition.gallery.storage.records import BATCH, PersonRecord
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.copies import Copied, copy_gallery


def made_up(people: int, photographs: int, dimension: int, seed: int) -> Iterator[PersonRecord]:
    """People whose faces are random unit vectors; every tenth face has a small crop."""
    rng = np.random.default_rng(seed)
    for person in range(people):
        vectors = rng.normal(size=(photographs, dimension))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        templates = tuple(
            Template(
                embedding=vector.astype(np.float32),
                photograph_sha256=f"{person * photographs + number:064x}",
                crop=rng.bytes(300) if number % 10 == 0 else None,
            )
            for number, vector in enumerate(vectors)
        )
        yield PersonRecord(
            name=f"Person {person}",
            enrolled_at="2026-01-01T00:00:00+00:00",
            deleted_at=None,
            templates=templates,
        )


def copied(source: Folder, target: object, what: str) -> tuple[Copied, dict[str, float]]:
    wall, cpu = time.monotonic(), time.process_time()
    with source.open() as first, target.open(model=first.model, create=True) as second:  # type: ignore[attr-defined]
        done = copy_gallery(first, second)
    spent = {
        f"{what}: wall s": round(time.monotonic() - wall, 1),
        f"{what}: CPU s": round(time.process_time() - cpu, 1),
    }
    return done, spent


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--milvus", required=True, metavar="ADDRESS", help="an empty one")
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--photographs", type=int, default=10, help="for each person")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    model = EmbeddingModel("made-up", "0" * 64, given.dimension)
    milvus = place_of(given.milvus, Path())
    with tempfile.TemporaryDirectory() as scratch:
        here, back = Folder(Path(scratch) / "here"), Folder(Path(scratch) / "back")
        people = made_up(
            given.templates // given.photographs, given.photographs, given.dimension, given.seed
        )
        with here.open(model=model, create=True) as gallery:
            while batch := list(islice(people, BATCH)):
                with gallery.adding() as add:
                    add(batch)
        there, first = copied(here, milvus, "there")
        again, second = copied(milvus, back, "back")  # type: ignore[arg-type]
    figures = {
        "templates": given.templates,
        "dimension": given.dimension,
        "things compared": there.things,
        "lacking there": there.lacking,
        "lacking back": again.lacking,
        "equal to the last bit": there.checksum == again.checksum,
        "sha-256": again.checksum,
        **first,
        **second,
    }
    print(json.dumps(figures, indent=1))
    return int(bool(there.lacking or again.lacking) or there.checksum != again.checksum)


if __name__ == "__main__":
    raise SystemExit(main())
