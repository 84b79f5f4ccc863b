"""List whom a training must leave out, since a test may show the same person under no name.

    python recipes/exclude.py --lfw var/lfw-112 --cfp var/cfp --unlabelled var/celeba \
        --unlabelled var/utkface --lists ../shared/datasets \
        --teacher ../shared/weights/mobilefacenet-casia.safetensors

Kept out are the people of `lfw-kept-out-tails.txt` and `lfw-kept-out-test.txt`, fold 9 of LFW and
folds 3 to 5 of CFP. A photograph without a name goes where the teacher finds it at a cosine above
0.45 to any photograph of theirs. Somebody with a name goes, with all photographs, where the means
of both people's embeddings lie so near: one look-alike among hundreds of photographs is no reason.
LFW's own names tell its people apart, so LFW is asked about CFP alone. Written beside this script:
`excluded-lfw-112.txt`, `excluded-cfp.txt`, `excluded-celeba.txt` and so on, for `data.excluded`.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.weights import LoadedBackbone, load_backbone
from data.files import data_home
from data.images import find_images
from recognition.faces.embedding import FaceEmbedder
from recognition.learning.dataset import Aligner, Landmarks

COSINE = 0.45
MOST_OF_EACH = 3
"""Photographs of a person that are looked at; those of CFP, frontal ones."""
CHUNK = 256
CELEBA: Landmarks = ((34.7, 55.6), (53.8, 55.7), (44.0, 67.7), (36.5, 76.2), (52.3, 76.2))
"""Where the five points lie in every photograph of `celeba-unlabelled-89x109.tar`."""


class EmbeddedFolder:
    """Photographs as the teacher sees them.

    Attributes:
        names: Of each photograph: its path below the folder.
        vectors: (N, D) of unit length.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], vectors: Tensor) -> None:
        """Keep what was seen of a folder."""
        self.names = [path.relative_to(folder).as_posix() for path in paths]
        self.vectors = vectors

    def of_people(self, wanted: set[str]) -> Tensor:
        """(n, D): the photographs of these people."""
        rows = [row for row, name in enumerate(self.names) if name.split("/")[0] in wanted]
        return self.vectors[rows]

    def means(self, wanted: set[str]) -> dict[str, Tensor]:
        """The mean embedding of each of these people, of unit length."""
        rows: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self.names):
            if (person := name.split("/")[0]) in wanted:
                rows[person].append(row)
        return {
            person: F.normalize(self.vectors[own].mean(0), dim=0) for person, own in rows.items()
        }


def look(folder: Path, teacher: LoadedBackbone, cache: Path) -> EmbeddedFolder:
    """Align and embed a folder's photographs, of its people a few each."""
    aligner, embedder = Aligner(cache), FaceEmbedder(teacher, mirror=False)
    landmarks = CELEBA if folder.name == "celeba" else None
    paths, vectors = [], []
    everything = _some_of_each(folder, find_images([folder]))
    for start in range(0, len(everything), CHUNK):
        part = everything[start : start + CHUNK]
        pixels, missed = aligner.load(part, landmarks=landmarks)
        gone = {item.path for item in missed}
        paths += [path for path in part if path not in gone]
        vectors.append(torch.from_numpy(embedder.embed(pixels.float() / 255)))
        print(f"{folder.name}: {start + len(part)} of {len(everything)}", flush=True)
    return EmbeddedFolder(folder, paths, torch.cat(vectors))


def _some_of_each(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """The first few photographs of each person; all where the folder has no people."""
    kept, seen = [], Counter[Path]()
    for path in paths:
        seen[path.parent] += 1
        if path.parent == folder or seen[path.parent] <= MOST_OF_EACH:
            kept.append(path)
    return kept


def near_people(seen: EmbeddedFolder, people: set[str], kept_out: Tensor) -> list[str]:
    """Those of some people whose mean embedding is near one of these (M, D)."""
    means = seen.means(people)
    return [name for name, mean in means.items() if float((kept_out @ mean).max()) > COSINE]


def near_photographs(seen: EmbeddedFolder, kept_out: Tensor) -> list[str]:
    """The photographs near any of these (M, D)."""
    chunks = torch.split(seen.vectors, 1024)
    nearest = torch.cat([(chunk @ kept_out.T).amax(1) for chunk in chunks])
    return [seen.names[row] for row in (nearest > COSINE).nonzero()[:, 0].tolist()]


def main() -> None:
    """Look at everything, compare, and write the lists."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lfw", type=Path, required=True, help="lfw-112: <name>/<photograph>")
    parser.add_argument("--cfp", type=Path, required=True, help="cfp: p001/p001_0001.jpg")
    parser.add_argument("--unlabelled", type=Path, action="append", default=[])
    parser.add_argument("--lists", type=Path, required=True, help="holds lfw/ and cfp/")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="of aligned faces, as the recipe's data.cache")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    teacher = load_backbone(None, weights=given.teacher)
    cache = given.cache or data_home() / "aligned"
    here = Path(__file__).parent
    kept_out = set()
    for use in ("tails", "test"):
        kept_out |= set((here / f"lfw-kept-out-{use}.txt").read_text().split())
    kept_out |= set((given.lists / "lfw" / "test-identities.txt").read_text().split())
    may_train = set((given.lists / "lfw" / "train-identities.txt").read_text().split()) - kept_out

    def write(name: str, lines: Sequence[str], among: int) -> None:
        text = "".join(f"{line}\n" for line in sorted(lines))
        (given.out / f"excluded-{name}.txt").write_text(text, encoding="utf-8")
        print(f"excluded-{name}.txt: {len(lines)} of {among}", flush=True)

    cfp = look(given.cfp, teacher, cache)
    tested = {f"p{number:03}" for number in range(101, 251)}
    trained = {f"p{number:03}" for number in range(1, 101)}
    cfp_means = torch.stack(list(cfp.means(tested).values()))
    lfw = look(given.lfw, teacher, cache)
    write(given.lfw.name, near_people(lfw, may_train, cfp_means), len(may_train))
    lfw_means = torch.stack(list(lfw.means(kept_out).values()))
    write(
        given.cfp.name, near_people(cfp, trained, torch.cat([lfw_means, cfp_means])), len(trained)
    )
    everybody = torch.cat([lfw.of_people(kept_out), cfp.of_people(tested)])
    for folder in given.unlabelled:
        seen = look(folder, teacher, cache)
        write(folder.name, near_photographs(seen, everybody), len(seen.names))


if __name__ == "__main__":
    main()
