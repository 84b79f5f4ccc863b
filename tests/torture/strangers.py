"""What strangers may hand in: bad vectors, other models' galleries, pickles, hostile names."""

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from files import fresh
from people import MODEL, open_gallery, query_of, state_in, templates_of
from trial import Outcome

from backbones.weights import load_backbone
from data.errors import AppError, ArgumentError, GalleryError
from data.images import load_image, read_settings
from data.lfw import read_lfw_pairs
from data.tensors import read_metadata, read_tensors
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.backup import restore
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from
from recognition.learning.config import configure
from recognition.service import RecognitionService

HERE = Path(__file__).parent


def bad_vector(rng: random.Random) -> "np.ndarray[tuple[int], np.dtype[np.floating]]":
    """No unit vector of the gallery's dimension."""
    vector = query_of("Ann")[0].copy()
    place = rng.randrange(len(vector))
    kind = rng.randrange(7)
    if kind < 3:
        vector[place] = (np.nan, np.inf, -np.inf)[kind]
    elif kind == 3:
        vector[:] = 0
    elif kind == 4:
        vector *= rng.choice((1e-20, 0.5, 2, 1e20))
    elif kind == 5:
        return vector[: rng.randrange(len(vector))]
    else:
        return np.concatenate([vector, vector[: rng.randrange(1, 60)]])
    return vector


def hand_in_vectors(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Enrol and look for vectors that are none; half of it under `python -O`."""
    if not sys.flags.optimize:
        outcome = _hand_in_vectors(trials - trials // 2, fresh(folder / "plain"), rng)
        command = [sys.executable, "-O", str(HERE / "strangers.py"), str(folder / "optimised")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        run = subprocess.run(
            [*command, str(trials // 2), str(rng.randrange(2**31))],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        there = json.loads(run.stdout)
        outcome.trials += there["trials"]
        outcome.broken += there["broken"]
        return outcome
    return _hand_in_vectors(trials, fresh(folder), rng)


def _hand_in_vectors(trials: int, folder: Path, rng: random.Random) -> Outcome:
    outcome = Outcome()
    with open_gallery(folder) as gallery:
        gallery.enrol("Ann", templates_of("Ann"))
        before = gallery.people()
        for _ in range(trials):
            vector = bad_vector(rng)
            calls: list[Callable[[], object]] = [
                lambda v=vector: gallery.enrol("Bob", [Template(v, "0" * 64)]),  # type: ignore[misc]
                lambda v=vector: gallery.search(v[np.newaxis], 1),  # type: ignore[misc]
            ]
            for call in calls:
                try:
                    call()
                    outcome.broken.append(f"taken: {vector}")
                except GalleryError as error:
                    outcome.expect("\n" not in str(error), f"more than one line: {error}")
            outcome.expect(gallery.people() == before, "the gallery has changed")
            outcome.trials += 1
    return outcome


def open_with_other_models(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Open a gallery with other networks, of the same dimension and of others."""
    outcome = Outcome()
    with open_gallery(folder) as gallery:
        gallery.enrol("Ann", templates_of("Ann"))
    before = state_in(folder)
    for trial in range(trials):
        digest = rng.randbytes(32).hex()
        other = replace(MODEL, weights_digest=digest)
        if trial % 2:
            other = EmbeddingModel("other", digest, rng.choice((32, 63, 65, 128, 512)))
        for create in (False, True):
            try:
                Gallery.open(folder, model=other, create=create).close()
                outcome.broken.append(f"opened with {other}")
            except GalleryError as error:
                outcome.expect("\n" not in str(error), f"more than one line: {error}")
        outcome.expect(state_in(folder) == before, "the gallery has changed")
        outcome.trials += 1
    return outcome


class _Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def hand_in_pickles(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Hand in pickles with a payload as every kind of file that is read."""
    outcome, ran = Outcome(), folder / "the-payload-ran"
    readers: list[tuple[str, Callable[[Path], object]]] = [
        ("weights.safetensors", read_tensors),
        ("weights.safetensors", read_metadata),
        ("weights.safetensors", lambda path: load_backbone("mobilefacenet", weights=path)),
        ("weights.pt", lambda path: load_backbone(None, weights=path)),
        ("photograph.jpg", load_image),
        ("photograph.png", read_settings),
        ("recipe.toml", configure),
        ("pairs.txt", read_lfw_pairs),
        ("gallery.sqlite", lambda path: Gallery.open(path.parent)),
        ("gallery.sqlite", lambda path: open_gallery(path.parent)),
        ("templates.faiss", _search_with_index),
        ("photograph.jpg", lambda path: _service(path).detect([path])),
        ("kept.sqlite", lambda path: restore(path, path.parent / "gallery")),
        ("people.zip", _import),
        ("manifest.json", lambda path: _import(path.parent)),
        ("embeddings.safetensors", _import_with_member),
        ("people.jsonl", _import_with_member),
    ]
    for trial in range(trials):
        name, read = readers[trial % len(readers)]
        content = pickle.dumps(_Payload(f"touch '{ran}'"), protocol=rng.randrange(6))
        if rng.random() < 0.3:  # as `torch.save` of old did, several in a row
            content *= 3
        place = fresh(folder / "handed-in")
        (place / name).write_bytes(content)
        with suppress(AppError):
            read(place / name)
        outcome.expect(not ran.exists(), f"a pickle ran when handed in as {name}")
        ran.unlink(missing_ok=True)
        outcome.trials += 1
    return outcome


def _service(path: Path) -> RecognitionService:
    return RecognitionService(home=path.parent / "home")


def _import(path: Path) -> None:
    import_from(path, lambda model: Gallery.open(path / "to", model=model, create=True))


def _import_with_member(path: Path) -> None:
    """Import an export, one file of which is not its own."""
    with open_gallery(path.parent / "gallery") as gallery:
        gallery.enrol("Ann", templates_of("Ann"))
        export(gallery, path.parent / "people")
    path.replace(path.parent / "people" / path.name)
    _import(path.parent / "people")


def _search_with_index(path: Path) -> None:
    with open_gallery(path.parent / "gallery") as gallery:
        gallery.enrol("Ann", templates_of("Ann"))
        gallery.search(query_of("Ann"), 1)
    path.replace(path.parent / "gallery" / "index" / path.name)
    with open_gallery(path.parent / "gallery") as gallery:
        gallery.search(query_of("Ann"), 1)


PIECES = (
    "..", "/", "\\", "x", "Ann", "C:", "\\\\server\\share", "\x00", "\n", "\r", "\u202e", "\u2066",
    "%2e%2e%2f", "~", "$HOME", "`touch x`", ";", "'", '"', "DROP TABLE person", "<script>", "CON",
    "NUL", "aux.txt", "-rf", " ", "é", "e\u0301", "\ud800", "😀", "![](http://x/y.png)", "a" * 255,
    "b" * 4096, "/etc/passwd", "file:///", "\t", "\u0085", "\u2028", "%s%n", "{0}", "con.sqlite",
)  # fmt: skip


def hand_in_names(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Enrol, rename, delete and erase under hostile names; nothing may appear elsewhere."""
    outcome = Outcome()
    home = folder / "a" / "b" / "gallery"
    names: set[str] = set()
    while len(names) < trials:
        names.add("".join(rng.choice(PIECES) for _ in range(rng.randint(1, 4))))
    with open_gallery(home) as gallery:
        for name in sorted(names):
            for change in (
                lambda n=name: gallery.enrol(n, templates_of("Ann", crop_bytes=10)[:1]),
                lambda n=name: gallery.edit.rename(n, f"{n}/../{n}"),
                lambda n=name: gallery.crop(n),
                lambda n=name: gallery.edit.delete(n),
                lambda n=name: gallery.erase(n),
                lambda n=name: gallery.erase(f"{n}/../{n}"),
            ):
                try:
                    change()
                except (ArgumentError, GalleryError) as error:
                    outcome.expect("\n" not in str(error), f"{name!r}: more than one line")
            outside = [
                path for path in folder.rglob("*") if home not in path.parents and path != home
            ]
            outcome.expect(set(outside) <= {home.parent, home.parent.parent}, f"{name!r}: outside")
            outcome.trials += 1
        left = sorted(person.name for person in gallery.people())
    within = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    expected = {"gallery.sqlite", "gallery.sqlite-wal", "gallery.sqlite-shm", "index"}
    expected |= {"erased.json"}  # ids alone
    outcome.expect(within <= expected | {"index/templates.faiss"}, f"files within: {within}")
    outcome.expect(len(left) <= 1, f"still there: {left}")
    return outcome


if __name__ == "__main__":
    place, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    result = hand_in_vectors(count, place, random.Random(seed))
    print(json.dumps({"trials": result.trials, "broken": result.broken}))
