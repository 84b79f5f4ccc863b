"""Erasure: no byte of a person is left in any file, nor in a dump of a server's gallery."""

import random
from pathlib import Path

import numpy as np
from people import dump_of, open_gallery, query_of, templates_of
from trial import Outcome

RUN = 16  # bytes in a row of an embedding or a crop that give somebody away


def traces(folder: Path, wanted: list[bytes]) -> list[str]:
    """The files below a folder, or the dump of its gallery on a server, that hold one of these."""
    found = [
        file.name
        for file in sorted(folder.rglob("*"))
        if file.is_file() and any(piece in file.read_bytes() for piece in wanted)
    ]
    dump = dump_of(folder)
    if any(piece in dump or piece.hex().encode() in dump for piece in wanted):
        found.append("the dump")
    return found


def pieces_of(name: str) -> list[bytes]:
    """What would give a person away: the name, hashes, parts of crops and of embeddings."""
    found = [name.encode()]
    for template in templates_of(name):
        vector = np.asarray(template.embedding, dtype="<f4").tobytes()
        crop = template.crop or b""
        found += [vector[at : at + RUN] for at in range(0, len(vector) - RUN + 1, RUN)]
        found += [crop[at : at + RUN] for at in range(0, len(crop) - RUN + 1, 16 * RUN)]
        found += [template.photograph_sha256.encode(), bytes.fromhex(template.photograph_sha256)]
    return found


def erase_people(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Erase people in all states of a gallery: enrolled, renamed, deleted, in the index or not."""
    outcome = Outcome()
    for trial in range(trials):
        name, before = f"Erased {trial}", f"Called {trial}"
        with open_gallery(folder) as gallery:
            gallery.enrol(f"Stays {trial}", templates_of(f"Stays {trial}"))
            gallery.enrol(name, templates_of(name))
            if rng.random() < 0.5:
                gallery.search(query_of(name), 1)
            if renamed := rng.random() < 0.3:
                gallery.edit.rename(name, before)
            if rng.random() < 0.3:
                gallery.edit.delete(before if renamed else name)
        with open_gallery(folder) as gallery:
            if rng.random() < 0.5:
                gallery.search(query_of(name), 1)
            outcome.expect(bool(traces(folder, [query_of(name).tobytes()])), "nothing was there")
            gallery.erase(before if renamed else name)
            left = traces(folder, [*pieces_of(name), before.encode()])
            outcome.expect(not left, f"trial {trial}: something is left in {left}")
        left = traces(folder, [*pieces_of(name), before.encode()])
        outcome.expect(not left, f"trial {trial}: something is left in {left} after closing")
        outcome.trials += 1
    return outcome
