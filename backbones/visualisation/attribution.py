"""Which pixels, or which regions, a number of the network hangs on.

| method | what it shows | whose |
|---|---|---|
| saliency | how much each pixel would move the number | Simonyan, Vedaldi, Zisserman 2014 |
| Grad-CAM | where the maps lie that raise the number | Selvaraju et al. 2017 |
| occlusion | how much less it is where a region is covered | Zeiler, Fergus 2014 |

The number is a unit's strongest activation; or, without a unit, the squared length of the
embedding. `occlusion` takes any function of images.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from data.progress import Progress

from ..network import Backbone
from .units import Unit, check_size, device_of

Score = Callable[[Tensor], Tensor]
"""(B, 3, H, W) → (B,)."""


def score_of(network: Backbone, unit: Unit | None) -> Score:
    """The number of a unit, or of the embedding.

    Args:
        network: With trained weights.
        unit: None: the embedding as a whole.
    """

    def score(images: Tensor) -> Tensor:
        images = images.to(device_of(network))
        if unit is None:
            return network.embedding(images).square().sum(dim=1)
        check_size(network.spec, unit.tap, images)
        return network.features(images, [unit.tap])[unit.tap][:, unit.channel].amax(dim=(1, 2))

    return score


def saliency(score: Score, image: Tensor) -> Tensor:
    """How steeply a number changes with each pixel.

    Args:
        score: The number, differentiable.
        image: (3, H, W) float32, 0 … 1.

    Returns:
        (H, W): of the slopes by red, green and blue the one of the largest size.
    """
    pixels = image[None].detach().clone().requires_grad_()
    with torch.enable_grad():
        total = score(pixels).sum()
    [slope] = torch.autograd.grad(total, pixels)
    return slope[0].abs().amax(dim=0)


def grad_cam(network: Backbone, image: Tensor, unit: Unit | None) -> Tensor:
    """Where the feature maps lie that raise a number.

    The maps are those of the tap before the unit's, or of the last tap for the embedding; each
    counts by the mean slope of the number over it, and only what raises it is kept.

    Args:
        network: With trained weights.
        image: (3, H, W) float32, 0 … 1; of the network's own size where there is no unit and it
            embeds one size alone.
        unit: None: the embedding as a whole.

    Returns:
        (H, W) of at least 0, interpolated from the size of the maps, on the CPU.
    """
    names = [tap.name for tap in network.spec.taps]
    image = image.to(device_of(network))
    seen: dict[str, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        seen["maps"] = x if x.requires_grad else x.detach().requires_grad_()
        return seen["maps"]

    with torch.enable_grad():
        if unit is None:
            total = network.embedding(image[None], {names[-1]: keep}).square().sum()
        else:
            check_size(network.spec, unit.tap, image)
            before = names[max(0, names.index(unit.tap) - 1)]
            x: Tensor = network.normalise(image[None])
            for name, layers in network.stages_through(unit.tap):
                for layer in layers:
                    # A copy: layers that work in place would change the maps that are kept.
                    x = layer(x.clone() if x is seen.get("maps") else x)
                if name == before:
                    x = keep(x)
            total = x[:, unit.channel].amax()
        [slope] = torch.autograd.grad(total, seen["maps"])
    weights = slope.mean(dim=(2, 3), keepdim=True)
    raised = (weights * seen["maps"]).sum(dim=1, keepdim=True).clamp_min(0)
    size = [int(side) for side in image.shape[-2:]]
    found = F.interpolate(raised, size, mode="bilinear", align_corners=False)
    return found[0, 0].detach().cpu()


@torch.no_grad()
def occlusion(
    score: Score,
    image: Tensor,
    *,
    side: int,
    stride: int,
    batch: int = 8,
    progress: Progress | None = None,
) -> Tensor:
    """How much less a number is where a square of the image is covered.

    The square has the image's mean colour, and its edge is soft: a sharp one would be seen itself.

    Args:
        score: The number.
        image: (3, H, W) float32, 0 … 1.
        side: Of the square, px.
        stride: From square to square, px.
        batch: Images at once.
        progress: Told how many squares of how many are done.

    Returns:
        (H, W): for each pixel the mean loss over the squares that cover it, weighted by how much
        they do; below 0 where covering it raises the number.
    """
    whole = score(image[None])[0]
    masks = list(cover_masks(image.shape[-2], image.shape[-1], side, stride))
    mean = image.mean(dim=(1, 2), keepdim=True)
    lost = torch.zeros(image.shape[-2:])
    weight = torch.zeros(image.shape[-2:])
    for first in range(0, len(masks), batch):
        some = torch.stack(masks[first : first + batch]).to(image)[:, None]  # (B, 1, H, W)
        losses = whole - score(image * (1 - some) + mean * some)
        for mask, loss in zip(some[:, 0].cpu(), losses.cpu(), strict=True):
            lost += mask * loss
            weight += mask
        if progress is not None:
            progress(min(first + batch, len(masks)), len(masks))
    return lost / weight.clamp_min(1e-6)


def cover_masks(height: int, width: int, side: int, stride: int) -> Iterator[Tensor]:
    """Soft squares that together cover an image, each (H, W), 1 inside and 0 outside.

    Args:
        height: H.
        width: W.
        side: Of a square, px, between the places where it covers half.
        stride: From square to square, px.
    """
    soft = max(1.0, side / 2)  # px from whole to nothing

    def profile(length: int, centre: float) -> Tensor:
        away = (torch.arange(length) + 0.5 - centre).abs()
        return ((side / 2 - away) / soft + 0.5).clamp(0, 1)

    for row in _centres(height, stride):
        for column in _centres(width, stride):
            yield profile(height, row)[:, None] * profile(width, column)[None]


def _centres(length: int, stride: int) -> list[float]:
    """Centres, `stride` apart, that lie evenly about the middle."""
    count = max(1, round(length / stride))
    return [length / 2 + (number - (count - 1) / 2) * stride for number in range(count)]
