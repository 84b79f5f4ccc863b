"""Share people out among groups that a network confuses: a list for each, to train specialists on.

    python recipes/clusters.py --photographs var/lfw-112 --weights generalist.safetensors \
        --identities ../shared/datasets/lfw/train-identities.txt --groups 3 --out var/clusters

Each list, `cluster-1.txt` and so on, is what `data.identities` of recipes/specialist.toml names.
People of fewer photographs than `--fewest`, and those of the lists beside this file who are kept
out of every training, are in none.
"""

import argparse
from pathlib import Path

import torch

from backbones.weights import load_backbone
from data.datasets import listed_names, read_identities
from data.errors import AppError
from data.files import write_atomic
from recognition.learning.confusable import confusable_groups
from recognition.learning.dataset import Aligner
from recognition.learning.validation import embed


def main() -> None:
    """Embed, share out, and write the lists."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=Path, required=True, help="<name>/<photograph>")
    parser.add_argument("--weights", type=Path, required=True, help="the generalist's")
    parser.add_argument("--identities", type=Path, required=True, help="who may be learnt from")
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--fewest", type=int, default=5, help="photographs of a person")
    parser.add_argument("--most", type=int, default=10, help="that are looked at of each person")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the lists")
    given = parser.parse_args()
    here = Path(__file__).resolve().parent
    kept_out = listed_names([*here.glob("lfw-kept-out-*.txt"), here / "excluded-lfw-112.txt"])
    allowed = listed_names([given.identities]) - kept_out
    people = [
        person
        for person in read_identities(given.photographs)
        if person.name in allowed and len(person.photographs) >= given.fewest
    ]
    if not people:
        parser.error("nobody has so many photographs: lower --fewest")
    loaded = load_backbone(None, weights=given.weights)
    aligner = Aligner(given.out / "aligned", alignment=loaded.alignment)
    pixels, labels = [], []
    for label, person in enumerate(people):
        own, missed = aligner.load(person.photographs[: given.most])
        if len(own) == 0:
            raise AppError(f"{person.name}: {missed[0].reason}")
        pixels.append(own)
        labels += [label] * len(own)
    faces, width = torch.cat(pixels), loaded.input_size[1]
    margin = (faces.shape[3] - width) // 2  # some networks see the middle columns alone
    seen = faces[..., margin : margin + width]
    vectors = embed(loaded.backbone, seen, mirror=loaded.mirror)
    groups = confusable_groups(vectors, torch.tensor(labels), given.groups, seed=given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    for number, group in enumerate(groups, start=1):
        names = "".join(f"{people[label].name}\n" for label in group)
        write_atomic(given.out / f"cluster-{number}.txt", names.encode())
        print(f"cluster-{number}.txt: {len(group)} people")


if __name__ == "__main__":
    main()
