"""Attention over a person's photographs, trained on people of whom there are several."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import DatasetError
from data.progress import Progress

from ..template_attention import TemplateAttention

# One query weighs a person's templates (`TemplateAttention`). It is trained as it is used: of a
# person drawn by lot some photographs are enrolled and one is searched for among everybody drawn,
# each by the weighted mean of their templates. The loss is the cross-entropy of who it is, over
# similarities times a factor that is learnt beside the query. The query begins at 0, the mean; it
# is pulled towards it, by as much as serves people left out of the fit best. So where weighing
# gains nothing, the mean comes out.

FEWEST_PEOPLE = 40
"""With three photographs each: on fewer, what is learnt is of these people alone."""

_STEPS = 200
_PEOPLE = 128  # of a step, at most
_MOST_TEMPLATES = 8
_RATE = 0.05
_FACTOR = 30.0
_PULLS = (0.0, 1e-4, 1e-3, math.inf)  # the last leaves the mean as it is
_PARTS = 4  # the people are left out by
_TRIALS = 20  # draws by which those left out are judged

Vectors = npt.NDArray[np.float32]
Owners = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionFit:
    """What was trained, and what it gained.

    Attributes:
        attention: The query.
        pull: How strongly it was pulled towards the mean; infinite where that served best.
        loss: Mean cross-entropy on people left out, at that pull.
        loss_of_mean: The same by the mean over all photographs.
        people: How many people had three photographs.
        photographs: How many they had together.
    """

    attention: TemplateAttention
    pull: float
    loss: float
    loss_of_mean: float
    people: int
    photographs: int

    @property
    def is_mean(self) -> bool:
        """Whether all photographs weigh alike."""
        return math.isinf(self.pull)


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """Who is enrolled by which photographs, and by which one each is searched for.

    Attributes:
        templates: (P, M, D), zeros where a person has fewer.
        there: Which of them are there, (P, M).
        probes: (P, D).
    """

    templates: Tensor
    there: Tensor
    probes: Tensor


def fit_attention(
    vectors: Vectors,
    owners: Owners,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> AttentionFit:
    """Train the query.

    Args:
        vectors: Unit vectors, (n, D), of people whom the network was not trained on.
        owners: The number of each one's person, (n,).
        seed: Of the draws.
        progress: Called after each fit.

    Raises:
        DatasetError: Too few people have three photographs.
    """
    groups = _groups(owners)
    if len(groups) < FEWEST_PEOPLE:
        raise DatasetError(
            f"{len(groups)} people have three photographs or more, {FEWEST_PEOPLE} are needed to "
            "learn how much each photograph counts: name a folder of more people, or take "
            "--match mean"
        )
    faces = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    part_of = np.random.default_rng(seed).permutation(len(groups)) % _PARTS
    done = 0
    losses = dict.fromkeys(_PULLS, 0.0)
    for part in range(_PARTS):
        others, left_out = groups[part_of != part], groups[part_of == part]
        for pull in _PULLS:
            query, factor = _train(faces, others, pull, seed + part)
            losses[pull] += _judged(faces, left_out, query, factor, seed) / _PARTS
            done += 1
            if progress is not None:
                progress(done, _PARTS * len(_PULLS))
    pull = min(losses, key=lambda each: losses[each])
    query, _ = _train(faces, groups, pull, seed)
    return AttentionFit(
        attention=TemplateAttention(query.numpy()),
        pull=pull,
        loss=losses[pull],
        loss_of_mean=losses[math.inf],
        people=len(groups),
        photographs=int((groups >= 0).sum()),
    )


def _train(faces: Tensor, groups: Groups, pull: float, seed: int) -> tuple[Tensor, float]:
    """The query, (D,), and the factor beside it."""
    rng = np.random.default_rng(seed)
    query = torch.zeros(faces.shape[1], requires_grad=True)
    factor = torch.tensor(_FACTOR).log().requires_grad_()
    is_mean = math.isinf(pull)
    optimizer = torch.optim.Adam([factor] if is_mean else [query, factor], lr=_RATE)
    for _ in range(_STEPS):
        loss = _loss(_draw(faces, groups, rng), query, factor.exp())
        if not is_mean:
            loss = loss + pull * query.square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return query.detach(), float(factor.detach().exp())


def _judged(faces: Tensor, groups: Groups, query: Tensor, factor: float, seed: int) -> float:
    """The loss on people, over several draws that are the same for every query."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        losses = [
            float(_loss(_draw(faces, groups, rng), query, torch.tensor(factor)))
            for _ in range(_TRIALS)
        ]
    return float(np.mean(losses))


def _loss(draw: _Draw, query: Tensor, factor: Tensor) -> Tensor:
    """Cross-entropy of who each probe is: (P, M, D) templates → scalar."""
    likeness = (draw.templates @ query).masked_fill(~draw.there, -torch.inf)  # (P, M)
    weights = torch.softmax(likeness, dim=1)
    pooled = (weights[..., None] * draw.templates).sum(dim=1)  # (P, D)
    similarities = draw.probes @ pooled.T  # (P, P)
    return F.cross_entropy(factor * similarities, torch.arange(len(similarities)))


def _draw(faces: Tensor, groups: Groups, rng: np.random.Generator) -> _Draw:
    """Draw people, two photographs or more of each to be enrolled by, and another one."""
    chosen = groups[rng.permutation(len(groups))[:_PEOPLE]]  # (P, L)
    keys = np.where(chosen >= 0, rng.random(chosen.shape), np.inf)
    shuffled = np.take_along_axis(chosen, np.argsort(keys, axis=1), axis=1)
    most = np.minimum(_MOST_TEMPLATES, (chosen >= 0).sum(axis=1) - 1)
    counts = rng.integers(2, most + 1)  # (P,)
    width = min(_MOST_TEMPLATES, shuffled.shape[1])
    there = torch.from_numpy(np.arange(width) < counts[:, None])
    templates = faces[torch.from_numpy(shuffled[:, :width])] * there[..., None]
    probes = faces[torch.from_numpy(shuffled[np.arange(len(counts)), counts])]
    return _Draw(templates, there, probes)


def _groups(owners: Owners) -> Groups:
    """The rows of each person of three photographs, (people, most), filled up with -1."""
    rows = [np.flatnonzero(owners == one) for one in np.unique(owners)]
    rows = [own for own in rows if len(own) > 2]
    found = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for place, own in zip(found, rows, strict=True):
        place[: len(own)] = own
    return found
