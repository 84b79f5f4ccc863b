"""Share people out among groups that a network confuses: a list for each, to train specialists on.

    python recipes/clusters.py --photographs var/lfw-112 --weights generalist.safetensors \
        --identities ../shared/datasets/lfw/train-identities.txt --groups 3 --out var/clusters

Each list, `cluster-1.txt` and so on, is what `data.identities` of recipes/specialist.toml names.
People of fewer photographs than `--fewest`, and those of the lists beside this file who are kept
out of every training, are in none.

G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network, 2015, section 5.2:
k-means over the columns of the covariance matrix of the generalist's predictions, so that people
who are taken for one another fall into one group. A face recogniser has no classifier left; the
means of its embeddings of each person stand in for one, as they do for `SoftenedClasses`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from backbones.weights import load_backbone
from data.datasets import listed_names, read_identities
from data.errors import AppError, ArgumentError
from data.files import write_atomic
from recognition.learning.dataset import Aligner
from recognition.learning.validation import embed

SCALE = 30.0
"""What cosines are multiplied by to become logits, as in the loss `softened`."""
TEMPERATURE = 4.0
"""What these are divided by; else a good generalist confuses nobody of its own training."""
_RESTARTS = 10


def confusable_groups(
    embeddings: Tensor, labels: Tensor, groups: int, *, seed: int = 0
) -> list[list[int]]:
    """Share people out among groups in which they are taken for one another.

    Args:
        embeddings: (N, D) the generalist's, of unit length.
        labels: (N,) whose they are: 0 … P - 1, each there at least once.
        groups: How many, 1 … P.
        seed: Of the k-means.

    Returns:
        The labels of each group, sorted; the largest group first, none empty.

    Raises:
        ArgumentError: There are more groups than people.
    """
    people = int(labels.max()) + 1
    if not 1 <= groups <= people:
        raise ArgumentError(f"{groups} groups of {people} people: give 1 to {people}")
    sums = embeddings.new_zeros(people, embeddings.shape[1]).index_add(0, labels, embeddings)
    logits = SCALE / TEMPERATURE * embeddings @ F.normalize(sums).T  # (N, P)
    predicted = torch.softmax(logits.double(), dim=1)
    # Each person counts once, however many photographs there are.
    weights = (1.0 / torch.bincount(labels, minlength=people).double())[labels] / people  # (N,)
    centred = predicted - weights @ predicted
    covariance = (centred * weights[:, None]).T @ centred  # (P, P)
    # Only with whom somebody is confused is to count, not how often.
    deviations = covariance.diagonal().clamp(min=1e-24).sqrt()
    correlation = covariance / deviations[:, None] / deviations
    found = KMeans(groups, n_init=_RESTARTS, random_state=seed).fit_predict(correlation.numpy())
    members = [np.flatnonzero(found == group).tolist() for group in range(groups)]
    return sorted((one for one in members if one), key=lambda one: (-len(one), one))


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
