"""Portraits that stay the person: gentler style in the faces, and a loss that looks at who it is.

Nothing here can recognise a face. Who can, hands over a `Portrait`: where the faces of the
photograph are, a function that embeds them, and one that judges what was painted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL.Image import Image
from torch import Tensor

from .optimizers import Losses
from .regions import INVISIBLE, Area
from .results import Resemblance

# A face in multiples of the way from between the eyes to between the corners of the mouth. In
# ArcFace's template, where that way is 41 pixels, the ellipse reaches from 11 to 119 and from 13
# to 99: hairline to chin, ear to ear. The eyes are 0.87 of it apart, seen from the front.
_MIDDLE, _HALF_HEIGHT, _HALF_WIDTH, _EYES = 0.33, 1.33, 1.06, 0.87
_FEATHER = (0.8, 1.2)  # radii of the ellipse at which a face is wholly inside, and wholly outside

_LEFT_EYE, _RIGHT_EYE, _LEFT_MOUTH, _RIGHT_MOUTH = 0, 1, 3, 4

Landmarks = Sequence[tuple[float, float]]
"""Both eyes, the nose, both corners of the mouth: (x, y) in pixels, from a picture's corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """What is known of the faces of a photograph, by somebody who can recognise them.

    Attributes:
        size: (H, W) in pixels of the photograph that the landmarks belong to.
        faces: The landmarks of each face, one face or more.
        embed: A picture (1, 3, H, W) in [0, 1] of any size → (F, D), what tells each face from
            others', of unit length; differentiable.
        judge: A finished picture → for each face how much it resembles the photograph's. It is not
            to be made of `embed`: a picture learns to please what it is optimised for.
    """

    size: tuple[int, int]
    faces: Sequence[Landmarks]
    embed: Callable[[Tensor], Tensor]
    judge: Callable[[Image], Sequence[Resemblance]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """A term that is added to the objective.

    Attributes:
        name: What the losses call it.
        weight: What it counts, at least 0.
        of: The content (1, 3, H, W) of a scale → a function that scores a picture of that scale,
            a scalar; differentiable in the picture.
    """

    name: str
    weight: float
    of: Callable[[Tensor], Callable[[Tensor], Tensor]]


class Penalised:
    """An objective with a penalty."""

    def __init__(
        self, objective: Losses, penalty: Penalty, content: Tensor, stays: Tensor | None = None
    ) -> None:
        """Look at the content.

        Args:
            objective: The other losses.
            penalty: One more.
            content: (1, 3, H, W) of the objective's scale.
            stays: How far (1, 1, H, W) each pixel is the content's whatever is painted.
        """
        self._objective = objective
        self._content = content
        self._stays = stays
        self._penalty = penalty
        self._penalise = penalty.of(content)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The losses of a picture (1, 3, H, W); the penalty is one of them, and in their total."""
        losses = dict(self._objective(image))
        shown = image if self._stays is None else image.lerp(self._content, self._stays)
        losses[self._penalty.name] = penalty = self._penalise(shown)
        losses["total"] = losses["total"] + self._penalty.weight * penalty
        return losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """What holds parts of a picture to its photograph while it is painted.

    Attributes:
        relief: (1, 1, H, W) in [0, 1] at the size of the picture, the share of the strength that
            is taken away in each place.
        penalty: What else is asked.
    """

    relief: Tensor
    penalty: Penalty


def care_for(portrait: Portrait, weights: Sequence[float], reliefs: Sequence[float]) -> Care:
    """Hold the faces of a portrait.

    A face is worth as much as its area, so that each of its places is pulled as hard, whatever the
    size of the face.

    Args:
        portrait: The faces.
        weights: Weight of each face's loss, at least 0.
        reliefs: Share of the strength that is taken away inside of each face, 0 … 1.
    """
    masks = [face_mask(face, portrait.size) for face in portrait.faces]
    relief = torch.stack([mask * own for mask, own in zip(masks, reliefs, strict=True)])
    by_area = [float(mask.mean()) * own for mask, own in zip(masks, weights, strict=True)]

    def of(content: Tensor) -> Callable[[Tensor], Tensor]:
        shares = content.new_tensor(by_area)
        with torch.no_grad():
            wanted = portrait.embed(content)  # (F, D)

        def lost(picture: Tensor) -> Tensor:
            return shares @ (1 - (portrait.embed(picture) * wanted).sum(dim=1))

        return lost

    return Care(relief=relief.amax(dim=0), penalty=Penalty(name="identity", weight=1.0, of=of))


def face_mask(landmarks: Landmarks, size: tuple[int, int]) -> Tensor:
    """An ellipse around a face, upright as the face is, with a soft edge.

    Args:
        landmarks: Of the face.
        size: (H, W) of the picture, px.

    Returns:
        (1, 1, H, W), 1 inside to 0 outside.
    """
    points = torch.tensor(landmarks, dtype=torch.float32)
    eyes = (points[_LEFT_EYE] + points[_RIGHT_EYE]) / 2
    down = (points[_LEFT_MOUTH] + points[_RIGHT_MOUTH]) / 2 - eyes
    # Who looks up or down shows less of the way to the mouth, who looks aside of the other.
    apart = (points[_RIGHT_EYE] - points[_LEFT_EYE]).norm() / _EYES
    length = torch.maximum(down.norm(), apart).clamp_min(1.0)
    down = down / down.norm().clamp_min(1e-6)
    middle = eyes + down * length * _MIDDLE
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = x - middle[0], y - middle[1]
    along, across = x * down[0] + y * down[1], x * down[1] - y * down[0]
    radius = torch.hypot(along / (_HALF_HEIGHT * length), across / (_HALF_WIDTH * length))
    inside, outside = _FEATHER
    edge = ((outside - radius) / (outside - inside)).clamp(0, 1)
    return (edge * edge * (3 - 2 * edge))[None, None]  # no crease where the edge begins and ends


def gentler(areas: Sequence[Area], relief: Tensor) -> list[Area]:
    """Take a share of the strength away, place by place.

    What is asked of a place is linear in the strength, so a place of less strength is one that
    belongs in part to an area of strength 0. All areas give to the same one.

    Args:
        areas: What is painted where, at the size of the picture.
        relief: (1, 1, H, W) as in `Care`.

    Returns:
        The areas with what is left of their shares, and an area of strength 0.
    """
    painted = [area for area in areas if area.styles]
    whole = torch.ones_like(relief)
    shares = [whole if area.share is None else area.share for area in painted]
    taken = torch.stack([share * relief for share in shares]).sum(dim=0)
    if taken.max() < INVISIBLE:
        return list(areas)
    given = [replace(a, share=s * (1 - relief)) for a, s in zip(painted, shares, strict=True)]
    held = replace(painted[0], strength=0.0, share=taken)
    return [*(area for area in areas if not area.styles), *given, held]
