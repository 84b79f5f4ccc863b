"""Index files that are stale, foreign, missing, changed or cut: nobody is taken for another."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from files import fresh
from people import open_gallery, query_of, templates_of
from trial import Outcome

from recognition.gallery.gallery import Gallery
from recognition.gallery.search import kinds
from recognition.gallery.search.kinds import Kind

PEOPLE = tuple(f"person {number}" for number in range(30))
ASKED = 3  # people looked for after each fault

Fault = Callable[[bytes, random.Random], bytes | None]


def flipped(index: bytes, rng: random.Random) -> bytes:
    """One bit, or a few, anywhere."""
    changed = bytearray(index)
    for _ in range(rng.choice((1, 1, 1, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(index: bytes, rng: random.Random) -> bytes:
    """Its beginning."""
    return index[: rng.randrange(len(index))]


def moved(index: bytes, rng: random.Random) -> bytes:
    """Two of its parts in each other's place."""
    a, b, c = sorted(rng.randrange(len(index)) for _ in range(3))
    return index[:a] + index[b:c] + index[a:b] + index[c:]


def blotted(index: bytes, rng: random.Random) -> bytes:
    """A stretch of it nothing but zeros, as a lost page."""
    begin = rng.randrange(len(index))
    end = min(len(index), begin + 4096)
    return index[:begin] + bytes(end - begin) + index[end:]


def lengthened(index: bytes, rng: random.Random) -> bytes:
    """Something behind it."""
    return index + rng.randbytes(rng.randrange(1, 100))


def missing(index: bytes, rng: random.Random) -> None:
    """No file at all."""


def enrolled(folder: Path, people: tuple[str, ...], kind: Kind) -> bytes:
    """A gallery of these people; its index file."""
    with open_gallery(folder) as gallery:
        for name in people:
            gallery.enrol(name, templates_of(name, crop_bytes=0))
        gallery.make_index(kind)
    return (folder / "index" / "templates.faiss").read_bytes()


def of_another_past(folder: Path, copy: Path, kind: Kind) -> bytes:
    """The index of what would have become of the gallery with other people, by the same ids."""
    shutil.copytree(folder, copy)
    return enrolled(copy, (PEOPLE[-1].upper(),), kind)


def break_indexes(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Put a wrong index in its place, and look for people."""
    outcome = Outcome()
    kinds.FEWEST_TRAINED = 20
    for kind, count in ((Kind.FLAT, trials - trials // 2), (Kind.PQ, trials // 2)):
        _break(count, folder / kind, kind, rng, outcome)
    return outcome


def _break(trials: int, folder: Path, kind: Kind, rng: random.Random, outcome: Outcome) -> None:
    home = folder / "gallery"
    stale = enrolled(home, PEOPLE[:-1], kind)
    elsewhere = of_another_past(home, folder / "elsewhere", kind)
    good = enrolled(home, PEOPLE[-1:], kind)
    # As many people with the same ids, so that nothing but the checks tells them apart.
    foreign = enrolled(fresh(folder / "other"), tuple(name.upper() for name in PEOPLE), kind)
    pasted = foreign.split(b"\n", 1)[1]
    own_head = good.split(b"\n", 1)[0]
    faults: list[Fault] = [
        flipped, flipped, cut, moved, blotted, lengthened, missing,
        lambda *_: stale, lambda *_: foreign, lambda *_: own_head + b"\n" + pasted,
        lambda *_: elsewhere,
    ]  # fmt: skip
    path = home / "index" / "templates.faiss"
    for trial in range(trials):
        content = faults[trial % len(faults)](good, rng)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with Gallery.open(home) as gallery:
            for name in rng.sample(PEOPLE, ASKED):
                found = gallery.search(query_of(name), 1)[0][0].person
                outcome.expect(found == name, f"trial {trial}: {name} is taken for {found}")
        outcome.trials += 1
