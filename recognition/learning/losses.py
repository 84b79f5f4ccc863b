"""The terms of the objective: from a batch's embeddings to one number each.

Every term is a module `(embeddings, labels, targets) → loss`. The metric losses are those of
pytorch-metric-learning; they compare embeddings scaled to unit length.
"""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, miners
from torch import Tensor, nn

from .auxiliary import WEIGHT
from .choices import LossName, Mining
from .config import LossConfig
from .distillation import (
    CosineDistillation,
    FeatureDistillation,
    FeatureMaps,
    RelationalDistillation,
    SoftenedClasses,
)

_SCALE = 30.0
"""Before the cosines of `softened`: the factor that margin losses of so many people have."""


class MetricTerm(nn.Module):
    """A loss of pytorch-metric-learning, with its miner if it has one, on the named photographs."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """(B, D), (B,) → scalar; a defined zero where the batch offers nothing to compare."""
        named = labels >= 0
        embeddings, labels = embeddings[named], labels[named]
        if len(labels) < 2:
            return embeddings.sum() * 0
        mined = self.miner(embeddings, labels) if self.miner is not None else None
        return cast(Tensor, self.loss(embeddings, labels, mined))


class PairClassifier(nn.Module):
    """Verification as binary classification: logistic over |f(a) − f(b)|.

    Taigman et al. 2014, DeepFace, section 5.3. Both answers weigh the same, however many pairs of
    the batch have them.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_size, 1)

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """(B, D), (B,) → scalar over all pairs of named photographs."""
        named = labels >= 0
        vectors, labels = F.normalize(embeddings[named]), labels[named]
        first, second = torch.triu_indices(len(labels), len(labels), offset=1)
        differences = (vectors[first] - vectors[second]).abs()  # (pairs, D)
        logits = self.classifier(differences)[:, 0]
        same = (labels[first] == labels[second]).to(logits.dtype)
        terms = F.binary_cross_entropy_with_logits(logits, same, reduction="none")
        groups = [terms[same == answer] for answer in (0, 1)]
        return torch.stack([g.mean() if len(g) else terms.sum() * 0 for g in groups]).mean()


class SoftmaxTerm(nn.Module):
    """Cross-entropy of a linear classifier over the people in training."""

    def __init__(self, embedding_size: int, people: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_size, people)

    def forward(self, embeddings: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """(B, D), (B,) → scalar over the named photographs."""
        named = labels >= 0
        if not named.any():
            return embeddings.sum() * 0
        return F.cross_entropy(self.classifier(embeddings[named]), labels[named])


class Objective(nn.Module):
    """A weighted sum of terms, and what each of them says."""

    def __init__(self, terms: dict[str, nn.Module], weights: dict[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self._weights = weights
        self.auxiliary = nn.ModuleDict()  # by tap; `epoch.build_parts` puts them there

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        maps: FeatureMaps | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare a batch.

        Args:
            embeddings: (B, D) float32, as the network gives them.
            labels: (B,) int64, below 0 where there is no name.
            targets: (B, T) the teacher's unit embeddings, or None.
            maps: Of student and teacher, for the term that compares them.

        Returns:
            The weighted sum, and the terms before their weights, detached.
        """
        parts = {
            name: term(maps)
            if isinstance(term, FeatureDistillation)
            else term(embeddings, labels, targets)
            for name, term in self.terms.items()
        }
        total = torch.stack([self._weights[name] * part for name, part in parts.items()]).sum()
        for tap, head in self.auxiliary.items():
            if maps is None or tap not in maps.own:
                raise ValueError(f"the auxiliary loss needs the feature map {tap}")
            early = head(maps.own[tap])
            for name, term in self.terms.items():
                if not isinstance(term, FeatureDistillation):
                    total = total + WEIGHT * self._weights[name] * term(early, labels, targets)
        return total, {name: part.detach() for name, part in parts.items()}


def build_objective(
    terms: tuple[LossConfig, ...],
    *,
    embedding_size: int,
    people: int,
    target_size: int | None,
    channels: Mapping[str, tuple[int, int]] | None = None,
    axes: Tensor | None = None,
    centres: Tensor | None = None,
) -> Objective:
    """Build the objective.

    Args:
        terms: What is asked for.
        embedding_size: D.
        people: In training, for the losses that keep a weight for each.
        target_size: T of the teacher; None without a teacher.
        channels: By tap, of the student's feature map and of the teacher's, for `features`.
        axes: (T, D), for `distill` where T is above D.
        centres: (P, T), for `softened`.
    """
    modules: dict[str, nn.Module] = {}
    for term in terms:
        match term.name:
            case LossName.DISTILL:
                assert target_size is not None
                built: nn.Module = CosineDistillation(embedding_size, target_size, axes)
            case LossName.RELATIONAL:
                built = RelationalDistillation()
            case LossName.FEATURES:
                built = FeatureDistillation({tap: (channels or {})[tap] for tap in term.taps})
            case LossName.SOFTENED:
                assert centres is not None
                scale = _SCALE if term.scale is None else term.scale
                built = SoftenedClasses(
                    embedding_size, centres, scale=scale, temperature=term.temperature
                )
            case _:
                built = _build(term, embedding_size, people)
        modules[str(term.name)] = built
    return Objective(modules, {str(term.name): term.weight for term in terms})


def _build(term: LossConfig, embedding_size: int, people: int) -> nn.Module:
    """A term without a teacher."""
    match term.name:
        case LossName.TRIPLET:
            return _triplet(term)
        case LossName.CONTRASTIVE:
            return _contrastive(term)
        case LossName.PAIR:
            return PairClassifier(embedding_size)
        case LossName.SOFTMAX:
            return SoftmaxTerm(embedding_size, people)
        case LossName.ARCFACE | LossName.COSFACE | LossName.SUBCENTER:
            return _margin_softmax(term, embedding_size, people)
    raise ValueError(f"the loss {term.name} has a teacher")


def _triplet(term: LossConfig) -> nn.Module:
    """max(‖a − p‖² − ‖a − n‖² + α, 0) on unit vectors (Schroff et al. 2015), α = 0.2."""
    margin = 0.2 if term.margin is None else term.margin
    squared = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
    loss = losses.TripletMarginLoss(margin=margin, distance=squared)
    match term.mining:
        case Mining.ALL:
            return MetricTerm(loss)
        case Mining.HARD:
            return MetricTerm(loss, miners.BatchHardMiner(distance=squared))
        case Mining.SEMI_HARD:
            miner = miners.TripletMarginMiner(
                margin=margin, type_of_triplets="semihard", distance=squared
            )
            return MetricTerm(loss, miner)


def _contrastive(term: LossConfig) -> nn.Module:
    """Distance of equals, and what strangers lack to a margin (Hadsell et al. 2006).

    The library sums the distances themselves; the paper squares both parts.
    """
    margin = 1.0 if term.margin is None else term.margin
    return MetricTerm(losses.ContrastiveLoss(pos_margin=0.0, neg_margin=margin))


def _margin_softmax(term: LossConfig, embedding_size: int, people: int) -> nn.Module:
    """ArcFace (Deng et al. 2019), CosFace (Wang et al. 2018), sub-center (Deng et al. 2020)."""
    options: dict[str, float] = {}
    if term.margin is not None:
        options["margin"] = term.margin
    if term.scale is not None:
        options["scale"] = term.scale
    kinds = {
        LossName.ARCFACE: losses.ArcFaceLoss,
        LossName.COSFACE: losses.CosFaceLoss,
        LossName.SUBCENTER: losses.SubCenterArcFaceLoss,
    }
    return MetricTerm(
        kinds[term.name](num_classes=people, embedding_size=embedding_size, **options)
    )
