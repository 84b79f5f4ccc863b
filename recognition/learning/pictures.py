"""Pictures without names, as a network wants them: what a compressed network is taught by."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment, BackboneSpec
from data.errors import AppError
from data.images import load_image, to_tensor
from data.progress import Progress

from .dataset import Aligner, Missed

MOST_PICTURES = 2000
"""Of a folder with more, so many evenly out of it: the rest would add hours and little else."""


def pictures_for(
    spec: BackboneSpec,
    paths: Sequence[Path],
    cache: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Tensor, list[Missed]]:
    """Read pictures for a network, faces aligned as it wants them.

    Args:
        spec: Of the network.
        paths: Photographs, of which the face nearest the centre counts, or faces aligned at
            112×112; any pictures for a network that was not trained on faces.
        cache: A folder where aligned faces are kept; made when needed.
        device: Where faces are looked for.
        progress: Told how many pictures of how many are done.

    Returns:
        (n, 3, H, W) uint8 of those that could be used, and the others.
    """
    chosen = _spread(paths)
    height, width = spec.input_size
    if spec.alignment is not Alignment.NONE:
        aligner = Aligner(cache, alignment=spec.alignment, device=device, progress=progress)
        faces, missed = aligner.load(chosen)
        return _as_bytes(_middle(_scaled(faces, height), width)), missed
    pictures, missed = list[Tensor](), list[Missed]()
    for done, path in enumerate(chosen, start=1):
        try:
            pictures.append(_as_bytes(_cut(load_image(path), height, width)[None]))
        except AppError as error:
            missed.append(Missed(path, str(error), corrupt=True))
        if progress is not None:
            progress(done, len(chosen))
    empty = torch.empty((0, 3, height, width), dtype=torch.uint8)
    return torch.cat([empty, *pictures]), missed


def _spread(paths: Sequence[Path]) -> list[Path]:
    """Those that are taken of too many: evenly from the first to the last."""
    if len(paths) <= MOST_PICTURES:
        return list(paths)
    return [paths[i * len(paths) // MOST_PICTURES] for i in range(MOST_PICTURES)]


def _scaled(faces: Tensor, height: int) -> Tensor:
    """(n, 3, S, S) uint8 → (n, 3, height, height), bytes or 0 … 255."""
    if faces.shape[2] == height:
        return faces
    parts = [
        F.interpolate(part.float(), (height, height), mode="bilinear", antialias=True)
        for part in torch.split(faces, 256)
    ]
    return torch.cat(parts) if parts else faces.new_zeros((0, 3, height, height))


def _middle(faces: Tensor, width: int) -> Tensor:
    """The middle columns."""
    first = (faces.shape[3] - width) // 2
    return faces[:, :, :, first : first + width]


def _cut(image: Image.Image, height: int, width: int) -> Tensor:
    """A picture's middle, as large as it can be: (3, height, width), 0 … 255."""
    scale = max(height / image.height, width / image.width)
    size = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    pixels = to_tensor(image)[None] * 255
    pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels[:, top : top + height, left : left + width]


def _as_bytes(pixels: Tensor) -> Tensor:
    return pixels.float().clamp(0, 255).round().to(torch.uint8).contiguous()
