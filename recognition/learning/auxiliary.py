"""Auxiliary heads: losses half-way through a deep network, in training alone.

C. Szegedy et al.: Going Deeper with Convolutions, 2015, section 5. Each head makes an embedding of
its own from a feature map, which the same objective judges; its loss counts 0.3 of the last one's.
So early layers have a gradient that has not come through all later ones. The heads belong to the
run, as the classes' weights do: a weights file holds none of them.
"""

from typing import cast

from torch import Tensor, nn

WEIGHT = 0.3
"""Of an auxiliary loss."""

_CELLS = 4
_CHANNELS = 128
_HIDDEN = 1024
_DROPOUT = 0.7


class AuxiliaryHead(nn.Module):
    """The paper's: an average, a 1×1 convolution, a linear layer, dropout, the embedding.

    The average is adaptive, as torchvision's, so every size of the map is taken.

    Args:
        channels: C of the feature map.
        embedding_size: D.
    """

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(_CELLS),
            nn.Conv2d(channels, _CHANNELS, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(_CHANNELS * _CELLS * _CELLS, _HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(_DROPOUT),
            nn.Linear(_HIDDEN, embedding_size),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) → (B, D)."""
        return cast(Tensor, self.layers(features))
