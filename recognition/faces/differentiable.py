"""Faces at known places of a picture that is being painted → embeddings, with their gradients.

Faces are looked for once. A picture that changes bit by bit keeps them where they are, so their
transforms stay, and from its pixels to the embeddings everything can be differentiated.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..results import Face
from .align import align_tensors, crop_size, transforms_to_crops
from .embed import FaceEmbedder


class FacesInPlace:
    """Embeds the faces of a picture of any size, where they were found in one size.

    Args:
        embedder: What embeds the aligned faces; it is frozen.
        faces: Where they were found.
        size: Width and height in pixels of the image they were found in.

    Raises:
        ImageError: A face's landmarks coincide.
    """

    def __init__(
        self, embedder: FaceEmbedder, faces: Sequence[Face], size: tuple[int, int]
    ) -> None:
        self._embedder = embedder
        self._size = size
        self._transforms = transforms_to_crops(faces, [size] * len(faces), embedder.alignment)

    def __call__(self, picture: Tensor) -> Tensor:
        """Embed the faces.

        Args:
            picture: (1, 3, H, W) floating point, 0 … 1, of the proportions of the image that the
                faces were found in.

        Returns:
            (F, D), each of unit length, in the order of the faces; differentiable in the picture.
        """
        height, width = picture.shape[2:]
        shares = self._transforms.new_tensor([self._size[0] / width, self._size[1] / height, 1])
        transforms = (self._transforms * shares).to(picture)
        owners = torch.zeros(len(transforms), dtype=torch.int64, device=picture.device)
        crops = align_tensors(picture, owners, transforms, crop_size(self._embedder.alignment))
        return self._embedder.differentiable(crops)
