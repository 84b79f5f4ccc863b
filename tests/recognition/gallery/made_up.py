"""People made up by their numbers, for galleries that are large."""

import time

import numpy as np

from recognition.gallery.gallery import Gallery
from recognition.gallery.search.kinds import Kind
from recognition.gallery.storage.records import PersonRecord
from recognition.gallery.templates import EmbeddingModel, Embeddings, Template

D = 64
PHOTOGRAPHS = 5
MODEL = EmbeddingModel("net", "ab" * 32, D)


def unit(rows: np.ndarray) -> Embeddings:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def photographs_of(person: int, count: int, seed: int = 0) -> Embeddings:
    """Photographs (count, D) of one person, about 0.7 alike."""
    centre = unit(np.random.default_rng(person).normal(size=D))
    noise = unit(np.random.default_rng([seed, person]).normal(size=(count, D)))
    return unit(0.84 * centre + 0.54 * noise)


def record_of(person: int, count: int = PHOTOGRAPHS) -> PersonRecord:
    templates = tuple(
        Template(vector, f"{1000 * person + number:064x}")
        for number, vector in enumerate(photographs_of(person, count))
    )
    return PersonRecord(
        name=f"P{person:05}",
        enrolled_at="2026-01-01T00:00:00+00:00",
        deleted_at=None,
        templates=templates,
    )


def fill(gallery: Gallery, people: range) -> None:
    with gallery.adding() as add:
        add([record_of(person) for person in people])


def looks(people: range) -> Embeddings:
    """Another photograph of each, (P, D)."""
    return np.concatenate([photographs_of(person, 1, seed=1) for person in people])


def settled(gallery: Gallery, seconds: float = 280) -> None:
    """Wait for what is made in the background."""
    until = time.monotonic() + seconds
    gallery.search(looks(range(1)), 1)
    while (builder := gallery._views._builder) is not None and time.monotonic() < until:
        builder._thread.join(1)
        gallery.search(looks(range(1)), 1)


def kind_in_use(gallery: Gallery) -> Kind:
    with gallery._views.current() as view:
        return Kind.AUTO if view.index is None else view.index.kind
