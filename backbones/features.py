"""Feature maps by tap, from a network cut off behind the last one."""

from collections.abc import Sequence

from torch import Tensor, nn

from .network import Backbone, run_stages


class FeatureExtractor(nn.Module):
    """A frozen network as far as the last tap asked for, in eval mode.

    What lies behind that tap is not held: once the backbone itself is let go, its memory is free.
    The layers are shared with the backbone, not copied, and are frozen with it. Gradients flow to
    the images, never to the weights.

    Attributes:
        taps: The names of the taps, in the order asked for.
    """

    def __init__(self, backbone: Backbone, taps: Sequence[str]) -> None:
        """Cut a network off.

        Args:
            backbone: Where the layers come from.
            taps: Names of its taps.

        Raises:
            ArgumentError: `taps` is empty, or names a tap that is not there.
        """
        super().__init__()
        self.taps = tuple(taps)
        self._stages = tuple(backbone.stages_through(backbone.last_of(taps)))
        self.normalise = backbone.normalise
        self.layers = nn.ModuleList(layer for _, layers in self._stages for layer in layers)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode: a frozen network's statistics must not move, whoever contains it."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap.

        Args:
            images: (B, 3, H, W) RGB float32, 0 … 1.

        Returns:
            For each tap, in the order asked for, its feature map (B, C, H/stride, W/stride).

        Raises:
            ValueError: The images are not (B, 3, H, W) floating point.
        """
        found = run_stages(self.normalise(images), self._stages, self.taps)
        return {tap: found[tap] for tap in self.taps}
