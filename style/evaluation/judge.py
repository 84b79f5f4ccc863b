"""A picture beside its photograph and its style: Gram matrices, Wasserstein distances."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.places import find_weights
from backbones.registry import available
from data.errors import ArgumentError, WeightsError

from ..scales import fit, resize, shrink, size_of

# Numbers of feature maps by which pictures are compared.
#
# None of this is shared with the losses: a judge that computes by the code that was optimised
# repeats its mistakes. Everything is float64 and exact, by eigenvectors; nothing needs a
# gradient.


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDistribution:
    """How the channels of a feature map are distributed, wherever in the picture.

    Attributes:
        mean: (C,) float64.
        second: (C, C) float64, mean products of all pairs of channels: the Gram matrix over H·W.
    """

    mean: Tensor
    second: Tensor

    @classmethod
    def of(cls, activations: Tensor) -> Self:
        """The moments of activations (1, C, H, W)."""
        places = activations[0].flatten(1).double()  # (C, H*W)
        return cls(mean=places.mean(dim=1), second=places @ places.T / places.shape[1])

    @classmethod
    def mixed(cls, parts: "Sequence[FeatureDistribution]", shares: Sequence[float]) -> Self:
        """Those of several pictures in one, as large as `shares`, of which only ratios matter."""
        weights = torch.tensor(shares, dtype=torch.float64) / sum(shares)
        return cls(
            mean=sum_weighted([part.mean for part in parts], weights),
            second=sum_weighted([part.second for part in parts], weights),
        )

    @property
    def covariance(self) -> Tensor:
        """(C, C)."""
        return self.second - torch.outer(self.mean, self.mean)


def sum_weighted(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The sum of tensors of one shape, by `weights` (N,)."""
    return torch.einsum("n,n...->...", weights.to(tensors[0]), torch.stack(list(tensors)))


def gram_distance(one: FeatureDistribution, other: FeatureDistribution) -> float:
    """Squared Frobenius distance of the Gram matrices (Gatys et al. 2016, equation 4)."""
    return float((one.second - other.second).square().sum())


def wasserstein_distance(one: FeatureDistribution, other: FeatureDistribution) -> float:
    """Squared 2-Wasserstein distance of the normal distributions of these moments.

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₂^½ Σ₁ Σ₂^½)^½), Givens and Shortt 1984; at least 0.
    """
    first, second = one.covariance, other.covariance
    values, vectors = torch.linalg.eigh(second)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ first @ root).clamp_min(0).sqrt().sum()
    spread = first.trace() + second.trace() - 2 * crossed
    return max(0.0, float((one.mean - other.mean).square().sum() + spread))


def feature_distance(activations: Tensor, target: Tensor) -> float:
    """Squared distance of activations (1, C, H, W), over how far the target varies within itself.

    0 is the target; 1 is as far away as a picture whose every place holds the target's mean.
    """
    exact = target.double()
    varying = (exact - exact.mean(dim=(2, 3), keepdim=True)).square().sum()
    difference = (activations.double() - exact).square().sum()
    return float(difference / varying) if varying > 0 else float(difference > 0)


def similarity_matrix(activations: Tensor, most: int) -> Tensor:
    """How alike the places of a feature map are to one another: their cosine similarities.

    The matrix says what belongs together in a picture, and nothing about its colours or strokes
    (Kolkin et al. 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity").

    Args:
        activations: (1, C, H, W).
        most: Places a side beyond which the map is averaged down: the matrix is of places squared.

    Returns:
        (N, N) float64 in [-1, 1], N places.
    """
    height, width = activations.shape[-2:]
    shrink = min(1.0, most / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    places = F.adaptive_avg_pool2d(activations, size)[0].flatten(1).T.double()  # (N, C)
    unit = F.normalize(places, dim=1)
    return unit @ unit.T


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's correlation of two symmetric matrices' entries above the diagonal.

    Returns:
        -1 to 1; where neither varies 1, and where one alone does 0.
    """
    above = torch.triu_indices(one.shape[0], one.shape[1], offset=1)
    first, second = (matrix[above[0], above[1]] for matrix in (one, other))
    first, second = first - first.mean(), second - second.mean()
    norms = float(first.norm()), float(second.norm())
    flat = [norm < 1e-9 * max(1, len(first)) ** 0.5 for norm in norms]
    if any(flat):
        return float(all(flat))
    return float((first @ second) / (norms[0] * norms[1]))


# A painted picture beside its photograph and its style, seen by a network not optimised.

JUDGED_SIZE = 1024  # px on the longer side beyond which pictures are looked at smaller
_NOWHERE = 1e-6  # of a style's variation: a photograph as near as that is the style
_PLACES = 32  # a side, at which self-similarity is compared
_SHAPE_TOLERANCE = 0.01  # by which the proportions of picture and photograph may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says about one picture.

    The distances are squared ones, as the losses are.

    Attributes:
        style_distance: The mean of `gram_distance` and `moment_distance`.
        gram_distance: Of the Gram matrices from the style's, summed over the judge's style taps in
            units of what varies in the style there; over the same of the photograph. 0 is the
            style itself, 1 the untouched photograph; above 1, the picture went elsewhere.
        moment_distance: The same for Wasserstein distances of means and covariances.
        content_distance: Of the activations at the judge's content taps, over how far the
            photograph's vary within themselves: 0 the photograph itself, 1 as far from it as a
            picture of its mean activations; two unrelated pictures are near 2.
        self_similarity: Correlation of which places are alike, picture against photograph, at the
            content taps: 1 is the photograph's structure, 0 is none of it.
    """

    style_distance: float
    gram_distance: float
    moment_distance: float
    content_distance: float
    self_similarity: float

    def to_json(self) -> dict[str, float]:
        """Every number by its name."""
        return asdict(self)


class Judge:
    """Looks at pictures with a frozen network."""

    def __init__(
        self,
        extract: Callable[[Tensor], Mapping[str, Tensor]],
        *,
        content_taps: Sequence[str],
        style_taps: Sequence[str],
        stride: int,
        least: int = 0,
    ) -> None:
        """Remember the network.

        Args:
            extract: Picture (1, 3, H, W) in [0, 1] → activations (1, C, H', W') by tap name.
            content_taps: Taps at which the content is compared, each with the same say.
            style_taps: Taps at which the style is compared, each with the same say.
            stride: Stride of the deepest of these taps, px.
            least: Shorter side of a picture, px, from which on each has two cells each way; 0:
                twice the stride.
        """
        self._extract = extract
        self.content_taps = tuple(content_taps)
        self.style_taps = tuple(style_taps)
        self.stride = stride
        self.least_side = max(least, 2 * stride)

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """A judge that looks at the taps which the backbone's spec calls for."""
        spec = backbone.spec
        taps = tuple(dict.fromkeys((*spec.content_taps, *spec.style_taps)))
        return cls(
            FeatureExtractor(backbone, taps),
            content_taps=spec.content_taps,
            style_taps=spec.style_taps,
            stride=max(spec.tap(tap).stride for tap in taps),
            least=max(spec.tap(tap).least_side for tap in taps),
        )

    @torch.no_grad()
    def look(self, picture: Tensor) -> Mapping[str, Tensor]:
        """Activations by tap of a picture (1, 3, H, W) in [0, 1]."""
        return self._extract(picture)

    def case(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        *,
        size: int,
        style_scale: float = 1.0,
        mix: Sequence[float] = (),
    ) -> "Case":
        """Look at a photograph and its style, to judge any number of pictures made of them.

        Args:
            content: The photograph, (1, 3, H, W) in [0, 1], of any size.
            styles: One or more style pictures like it.
            size: Longer side of the pictures to be judged, px. At most `JUDGED_SIZE` is looked at.
            style_scale: As the pictures were painted, see `StyleConfig`.
            mix: One weight for each style, or empty for equal shares.

        Raises:
            ArgumentError: No style, a mix of another length, or a picture too small for the judge.
        """
        if not styles:
            raise ArgumentError("there is no style picture to judge by: give at least one")
        if mix and len(mix) != len(styles):
            raise ArgumentError(
                f"{len(mix)} weights of a mix for {len(styles)} style picture(s): give one for each"
            )
        longer = min(size, JUDGED_SIZE)
        least = self.least_side
        photograph = resize(content, fit(size_of(content), longer))
        scaled = [shrink(style, round(longer * style_scale), shorter=least) for style in styles]
        for name, picture in [("the picture", photograph), *(("a style", one) for one in scaled)]:
            height, width = size_of(picture)
            if min(height, width) < least:
                raise ArgumentError(
                    f"{name} of {width}×{height} px is too small for this judge, which needs "
                    f"{least} px on the shorter side: choose larger pictures"
                )
        return Case(self, photograph, scaled, mix or (1.0,) * len(styles))


class Case:
    """A photograph and its style, as a judge sees them; called with a picture, the verdict."""

    def __init__(
        self, judge: Judge, content: Tensor, styles: Sequence[Tensor], mix: Sequence[float]
    ) -> None:
        """Look at the pictures; `Judge.case` scales them first."""
        self._judge = judge
        self._size = size_of(content)
        seen = judge.look(content)
        looks = [judge.look(style) for style in styles]
        self._content = {tap: seen[tap] for tap in judge.content_taps}
        self._alike = {tap: similarity_matrix(seen[tap], _PLACES) for tap in judge.content_taps}
        self._style = {
            tap: FeatureDistribution.mixed(
                [FeatureDistribution.of(look[tap]) for look in looks], mix
            )
            for tap in judge.style_taps
        }
        self._whole = [max(way, _NOWHERE) for way in self._way(seen)]

    def __call__(self, picture: Tensor) -> Verdict:
        """Judge a picture (1, 3, H, W) in [0, 1], which is scaled to the size of the case.

        Raises:
            ArgumentError: It has other proportions than the photograph.
        """
        _check_proportions(size_of(picture), self._size)
        seen = self._judge.look(resize(picture, self._size))
        gram, moment = (
            way / whole for way, whole in zip(self._way(seen), self._whole, strict=True)
        )
        return Verdict(
            style_distance=(gram + moment) / 2,
            gram_distance=gram,
            moment_distance=moment,
            content_distance=_mean(
                [feature_distance(seen[tap], target) for tap, target in self._content.items()]
            ),
            self_similarity=_mean(
                [
                    correlation(similarity_matrix(seen[tap], _PLACES), alike)
                    for tap, alike in self._alike.items()
                ]
            ),
        )

    def _way(self, seen: Mapping[str, Tensor]) -> tuple[float, float]:
        """How far activations are from the style: by Gram matrices, and Wasserstein's way.

        Each tap's distance counts in units of what varies in the style there.
        """
        grams, wassersteins = 0.0, 0.0
        for tap, target in self._style.items():
            moments, spread = FeatureDistribution.of(seen[tap]), target.covariance
            grams += gram_distance(moments, target) / _unit(spread.square().sum())
            wassersteins += wasserstein_distance(moments, target) / _unit(spread.trace())
        return grams, wassersteins


def _unit(energy: Tensor) -> float:
    """What a tap's distances are divided by: 1 where the style shows it nothing that varies."""
    return float(energy) if energy > 0 else 1.0


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _check_proportions(picture: tuple[int, int], photograph: tuple[int, int]) -> None:
    """Refuse a picture whose (H, W) has other proportions than the photograph's."""
    (height, width), (tall, wide) = picture, photograph
    tolerance = _SHAPE_TOLERANCE + 1 / min(height, width) + 1 / min(tall, wide)
    if abs(math.log(width * tall / (height * wide))) > tolerance:
        raise ArgumentError(
            f"the picture has {width}×{height} px, and its photograph the proportions of "
            f"{wide}×{tall}: expected the photograph that it was painted from"
        )


# Which network judges, where nobody names one: one at hand that did not paint.

JUDGES = ("squeezenet1_0", "vgg19", "vgg16", "iresnet_se", "vgg19_quarter", "vgg_slim")
"""Networks that judge, the first one at hand before the others: unlike those that paint.

What is bundled besides the painter is iresnet_se, a recogniser of faces. It orders paintings much
as SqueezeNet does (`benchmarks/style_judges.py`), and shares neither shape nor teacher with the
painter, as the networks after it do.
"""


def choose_judge(painters: Collection[str], home: Path | None = None) -> str:
    """The network that judges pictures of these painters.

    Args:
        painters: Names of the networks that the pictures were painted with.
        home: The application's data folder; None takes the user's.

    Raises:
        WeightsError: No network is at hand but those that painted.
    """
    known = available()
    for name in JUDGES:
        if name in known and name not in painters and find_weights(name, home=home):
            return name
    raise WeightsError(
        "no network that could judge is at hand, for what painted must not judge itself: "
        "run `likeness models download squeezenet1_0` (5 MB), or name one with --judge"
    )
