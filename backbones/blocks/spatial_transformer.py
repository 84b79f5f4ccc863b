"""A learned alignment: images are turned, scaled, sheared and cut before a network sees them.

M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu: Spatial Transformer Networks, 2015. A small
localisation network looks at the image and gives six numbers, an affine map from places of the
output to places of the input; the output is sampled there. It begins as the identity, and learns by
the network's own loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SIDE = 32
"""Of what the localisation network looks at, px: where a face lies is seen in a small image."""


class SpatialTransformer(nn.Module):
    """Images (B, 3, H, W), once normalised, to aligned ones of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.localise = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (_SIDE // 8) ** 2, 64),
            nn.ReLU(),
        )
        self.places = nn.Linear(64, 6)
        self.begin_as_identity()

    def begin_as_identity(self) -> None:
        """Let every image pass as it is."""
        with torch.no_grad():
            self.places.weight.zero_()
            self.places.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def affine(self, images: Tensor) -> Tensor:
        """Where the output looks: (B, 2, 3), from its coordinates in -1 … 1 to the input's."""
        small = F.interpolate(images, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        places: Tensor = self.places(self.localise(small))
        return places.view(-1, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → the same shape; beyond the border the outermost pixels go on."""
        size = [int(side) for side in images.shape]
        grid = F.affine_grid(self.affine(images), size, align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
