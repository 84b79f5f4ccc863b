"""Groups of people whom a network confuses, for each of which a specialist is trained.

G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network, 2015, section 5.2:
k-means over the columns of the covariance matrix of the generalist's predictions, so that people
who are taken for one another fall into one group. A face recogniser has no classifier left; the
means of its embeddings of each person stand in for one, as they do for `SoftenedClasses`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from data.errors import ArgumentError

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
