"""Galleries on the move: processes killed while they restore and import, exports by strangers."""

import hashlib
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from files import fresh
from kills import killed
from people import State, open_gallery, query_of, state_in, state_of, templates_of
from strangers import PIECES
from trial import Outcome

from data.errors import AppError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.records import checksum, fingerprints
from recognition.gallery.transfer.archive import opened_members
from recognition.gallery.transfer.backup import back_up, restore
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import Export, import_from

LONGEST_WAIT = 0.05  # seconds, several times what a restoration takes


def made(folder: Path, *names: str) -> State:
    """A gallery of some people; who is in it."""
    with open_gallery(folder) as gallery:
        for name in names:
            gallery.enrol(name, templates_of(name))
        return state_of(gallery)


def moving(home: Path, kept: list[Path], exported: Path) -> Callable[[int], None]:
    """Restore backups and import people in turn, for ever."""

    def work(acknowledge: int) -> None:
        for number in count():
            restore(kept[number % len(kept)], home)
            import_from(exported, lambda model: Gallery.open(home, model=model, create=True))
            os.write(acknowledge, b"moved\n")

    return work


def kill_moving(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill processes that restore and import: what they leave is one of the galleries meant."""
    outcome = Outcome()
    old, new = made(folder / "old", "Ann", "Bob"), made(folder / "new", "Cleo", "Dora", "Bob")
    more = made(folder / "more", *(f"Eve {number}" for number in range(6)))
    kept = [folder / "old.sqlite", folder / "new.sqlite"]
    for path in kept:
        back_up(folder / path.stem, path)
    with open_gallery(folder / "more") as gallery:
        export(gallery, folder / "more.zip")
    meant = [old, new, old | more, new | more]
    for trial in range(trials):
        home = folder / "home" / str(trial // 10)  # so that some are killed while it is made
        killed(
            moving(home, kept, folder / "more.zip"), rng.randrange(2), rng.uniform(0, LONGEST_WAIT)
        )
        state = state_in(home)
        outcome.expect(state in [*meant, {}], f"trial {trial}: {state}")
        with open_gallery(home) as gallery:
            for name in state:
                found = gallery.search(query_of(name), 1)[0][0].person
                outcome.expect(found == name, f"trial {trial}: {name} is taken for {found}")
            outcome.expect(gallery.faults() == [], f"trial {trial}: {gallery.faults()}")
        outcome.trials += 1
    return outcome


def hand_in_exports(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Import exports that strangers have altered: taken whole or refused, and nothing elsewhere."""
    outcome, taken = Outcome(), 0
    made(folder / "source", "Ann", "Bob")
    with open_gallery(folder / "source") as gallery:
        export(gallery, folder / "good")
    home = folder / "a" / "b" / "gallery"
    made(home, "Zoe")
    for trial in range(trials):
        source = folder / "handed-in"
        fresh(source)
        shutil.copytree(folder / "good", source, dirs_exist_ok=True)
        what = rng.choice((_rename, _flip, _reroute, _zip, _zip))
        handed = what(source, rng)
        before, there = state_in(home), set(folder.rglob("*"))
        try:
            import_from(handed, lambda model: Gallery.open(home, model=model, create=True))
            taken += 1
        except AppError as error:
            outcome.expect("\n" not in str(error), f"trial {trial}: more than one line: {error}")
            outcome.expect(state_in(home) == before, f"trial {trial}: the gallery has changed")
        strange = {path for path in set(folder.rglob("*")) - there if home not in path.parents}
        outcome.expect(not strange, f"trial {trial}: files outside: {strange}")
        handed.unlink() if handed.is_file() else None
        outcome.trials += 1
    outcome.notes.append(f"{taken:,} were still exports, and taken")
    return outcome


def _rename(source: Path, rng: random.Random) -> Path:
    """Give people hostile names, with digests that fit."""
    lines = [json.loads(line) for line in (source / "people.jsonl").read_text().splitlines()]
    for line in lines:
        line["name"] = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 3)))
    _rewrite(source, "".join(f"{json.dumps(line)}\n" for line in lines))
    return source


def _reroute(source: Path, rng: random.Random) -> Path:
    """Let crops, rows and numbers lead elsewhere, with digests that fit."""
    lines = [json.loads(line) for line in (source / "people.jsonl").read_text().splitlines()]
    for template in rng.choice(lines)["templates"]:
        kind = rng.randrange(4)
        if kind == 0:
            template["crop"]["file"] = rng.choice(("../../x", "/etc/passwd", "crops/../x.png", 7))
        elif kind == 1:
            template["crop"]["bytes"] = rng.choice((-1, 0, 2**62, 1.5, None, True))
        elif kind == 2:
            template["row"] = rng.choice((-1, 2**63, "0", None, 1.0, [0], True))
        else:
            template["photograph_sha256"] = rng.choice(("", "../x", None, "F" * 64, 5))
    _rewrite(source, "".join(f"{json.dumps(line)}\n" for line in lines))
    return source


def _rewrite(source: Path, text: str) -> None:
    content = text.encode(errors="surrogatepass")
    (source / "people.jsonl").write_bytes(content)
    path = source / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["members"]["people.jsonl"] = {
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()
    }  # fmt: skip
    path.write_text(json.dumps(manifest))
    with suppress(AppError), opened_members(source) as members:
        digests = [one for record in Export(members).records() for one in fingerprints(record)]
        path.write_text(json.dumps(manifest | {"checksum": checksum(digests)}))


def _flip(source: Path, rng: random.Random) -> Path:
    """Alter, cut or remove a file."""
    path = rng.choice(sorted(path for path in source.rglob("*") if path.is_file()))
    content = bytearray(path.read_bytes())
    kind = rng.randrange(4)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(content[: rng.randrange(len(content))])
    elif kind == 2:
        path.unlink()
        path.symlink_to(rng.choice(("/etc/passwd", "/dev/zero", path.name)))
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    return source


def _zip(source: Path, rng: random.Random) -> Path:
    """A ZIP, altered in its bytes or with one more member of a hostile name."""
    target = source.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", rng.choice((0, 8))) as archive:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(source).as_posix())
        if rng.random() < 0.5:
            name = "".join(rng.choice(PIECES[:12]) for _ in range(3)).replace("\x00", "x")
            archive.writestr(name, b"x" * rng.choice((1, 10_000_000)))
            return target
    content = bytearray(target.read_bytes())
    for _ in range(rng.randint(1, 5)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    target.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
    return target
