"""Write everything that a stranger may hand in, each thing with its verdict.

    python tests/corpus/make.py OUT [SECTION…] [--seed N]

`OUT/manifest.jsonl` has a line for each item: its section and name, whether it is to be accepted or
refused, what is odd about it, the folder that holds it, and the SHA-256 of that. The same seed
writes the same bytes.
"""

import argparse
import hashlib
import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

# The packages, before the folders of tests that are called like them; and this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from corpus.item import SEED, Item
from corpus.sections import SECTIONS


def digest_of(folder: Path) -> str:
    """SHA-256 of everything in a folder: names, kinds, links' targets and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        if path.is_symlink():
            digest.update(b"link " + os.fsencode(path.readlink()))
            continue
        mode = path.stat().st_mode
        digest.update(str(stat.S_IFMT(mode)).encode())
        if path.is_file():
            digest.update(str(path.stat().st_size).encode())
            if os.access(path, os.R_OK) and path.stat().st_size < 100_000_000:
                digest.update(path.read_bytes())
    return digest.hexdigest()


def write(items: Sequence[Item], out: Path) -> list[dict[str, str]]:
    """Write items, each into a folder of its own; their lines of the manifest."""
    manifest = []
    for number, item in enumerate(items):
        folder = out / item.section.replace(" ", "-") / f"{number:03}"
        folder.mkdir(parents=True)
        item.write(folder)
        manifest.append(
            {
                "section": item.section,
                "name": item.name,
                "verdict": "accept" if item.accept else "refuse",
                "why": item.why,
                "folder": folder.relative_to(out).as_posix(),
                "sha256": digest_of(folder),
            }
        )
    return manifest


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is empty or not there")
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"{given.out} is not empty")
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "manifest.jsonl").open("w") as file:
        for section in given.sections or SECTIONS:
            for line in write(list(SECTIONS[section].items(given.seed)), given.out):
                file.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
