"""Whether photographs that should be alike come from different sources, as far as pixels tell."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from .photographs import Photographs

_MOST_PEOPLE = 500
_MOST_EACH = 4
_DRAWS = 1999
_SMALL_EFFECT = 0.5  # Cohen's d of a medium effect; a smaller one is not worth a word
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class _Trait:
    """What is measured of a photograph, and how to say that there is more or less of it."""

    more: str
    less: str


_TRAITS = (
    _Trait("brighter", "darker"),
    _Trait("richer in contrast", "poorer in contrast"),
    _Trait("sharper", "more blurred"),
    _Trait("more colourful", "less colourful"),
)


def find_shifts(
    name: str, photographs: "Photographs", other: str, others: "Photographs"
) -> list[str]:
    """Return a line for each trait by which photographs differ from others.

    Brightness, contrast, sharpness and colour are averaged for each person, since one person's
    photographs resemble each other; a difference counts if it is at least half a standard deviation
    of people, and a permutation test over people finds it at a level of 1 % for all traits
    together. A few people alone are never enough for that.

    Args:
        name: What the first are called.
        photographs: These.
        other: What the second are called.
        others: Those.
    """
    if not len(photographs) or not len(others):
        return []
    first, second = _by_person(photographs), _by_person(others)  # (P, T), (Q, T)
    within = torch.cat([first - first.mean(0), second - second.mean(0)])
    deviation = within.square().mean(0).sqrt().clamp(min=1e-6)
    effects = (first.mean(0) - second.mean(0)) / deviation
    chances = _permuted(first, second)
    return [
        f"{name} photographs are {trait.more if effect > 0 else trait.less} than {other} "
        f"photographs, by {abs(effect):.1f} standard deviations: what holds for one kind may not "
        "hold for the other"
        for trait, effect, chance in zip(_TRAITS, effects.tolist(), chances.tolist(), strict=True)
        if abs(effect) >= _SMALL_EFFECT and chance <= _LEVEL / len(_TRAITS)
    ]


def _permuted(first: Tensor, second: Tensor) -> Tensor:
    """(T,): how often a random share-out of the people differs in its means by as much."""
    everyone = torch.cat([first, second])
    generator = torch.Generator().manual_seed(0)
    order = torch.rand((_DRAWS, len(everyone)), generator=generator).argsort(dim=1)
    member = torch.zeros(_DRAWS, len(everyone)).scatter_(1, order[:, : len(first)], 1.0)
    sums = member.double() @ everyone  # (draws, T)
    drawn = sums / len(first) - (everyone.sum(0) - sums) / len(second)
    measured = first.mean(0) - second.mean(0)
    as_far = (drawn.abs() >= measured.abs() * (1 - 1e-9)).sum(0)
    return (as_far + 1) / (_DRAWS + 1)


def _by_person(photographs: "Photographs") -> Tensor:
    """(P, T) float64: the traits' means of each person; who has no name counts alone."""
    if photographs.people:
        some = photographs.some_people(_MOST_PEOPLE).some_of_each(_MOST_EACH)
        traits, labels = _traits(some.pixels), some.labels
        sums = torch.zeros(len(some.people), traits.shape[1], dtype=traits.dtype)
        return sums.index_add(0, labels, traits) / labels.bincount().unsqueeze(1)
    step = max(1, len(photographs) // _MOST_PEOPLE)
    return _traits(photographs.pixels[::step][:_MOST_PEOPLE])


def _traits(pixels: Tensor) -> Tensor:
    """(N, T) float64, in the order of `_TRAITS`, of pixels (N, 3, S, S) uint8."""
    parts = []
    for start in range(0, len(pixels), 64):
        images = pixels[start : start + 64].float() / 255  # (n, 3, S, S)
        grey = images.mean(dim=1, keepdim=True)  # (n, 1, S, S)
        kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
        edges = F.conv2d(grey, kernel).flatten(1).var(dim=1)
        spread = grey.flatten(1).std(dim=1)
        colour = (images.amax(1) - images.amin(1)).mean(dim=(1, 2))
        # Sharpness regardless of contrast, which scales the edges too.
        sharpness = ((edges + 1e-8) / (spread**2 + 1e-6)).log()
        parts.append(torch.stack([grey.mean(dim=(1, 2, 3)), spread, sharpness, colour], dim=1))
    return torch.cat(parts).double()
