"""The objective of a scale in as much memory as there is: in one piece, or in tiles."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from data.errors import StyleError

from .config import StyleConfig
from .memory import is_out_of_memory
from .network import StyleNetwork
from .objective import Objective
from .pyramid import size_of
from .regions import Area
from .tiled import Cutter, TiledObjective

Evaluation = tuple[Mapping[str, Tensor], Tensor]
"""The losses of a picture by name, and the gradient of "total" by the picture (1, 3, H, W)."""


class ElasticObjective:
    """As `Objective`; where memory runs out, it begins anew with smaller tiles.

    Losses and gradient come at once, so that nothing outside sees a failed attempt, and a step is
    done whole or not at all.

    Attributes:
        tile: Longest side of what is looked at, px; None for the picture in one piece.
    """

    def __init__(
        self,
        network: StyleNetwork,
        content: Tensor,
        areas: Sequence[Area],
        config: StyleConfig,
        *,
        cutter: Cutter,
        tile: int | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Remember what to compare with; targets are looked at with the first picture.

        Args:
            network: As of `Objective`, like the next three.
            content: (1, 3, H, W).
            areas: What is painted where.
            config: Weights and kinds of the losses.
            cutter: Cuts pictures up for this network.
            tile: Where to begin; smaller pictures are looked at in one piece.
            tell: Told each time that the tiles become smaller, in one line.
        """
        self._parts = (network, content, areas, config)
        self._cutter = cutter
        self._tell = tell
        self.tile = tile if tile is not None and max(size_of(content)) > tile else None
        self._evaluate: Callable[[Tensor], Evaluation] | None = None

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The losses of a picture (1, 3, H, W), as in `Objective`.

        Raises:
            StyleError: There is not memory enough even for the smallest tiles.
        """
        evaluation = self._attempt(image.detach())
        while evaluation is None:
            self._give_way()
            evaluation = self._attempt(image.detach())
        losses, gradient = evaluation
        total: Tensor = _Total.apply(image, losses["total"].detach(), gradient)
        return {name: loss.detach() for name, loss in losses.items()} | {"total": total}

    def _attempt(self, image: Tensor) -> Evaluation | None:
        """Losses and gradient, or None where the memory does not suffice."""
        try:
            if self._evaluate is None:
                self._evaluate = self._look()
            return self._evaluate(image)
        except (MemoryError, RuntimeError) as error:
            recorded = image.is_cuda and torch.cuda.is_current_stream_capturing()
            if recorded or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it all that its frames held on to.
        self._evaluate = None
        if image.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _look(self) -> Callable[[Tensor], Evaluation]:
        """Look at the targets."""
        network, content, areas, config = self._parts
        if self.tile is not None:
            tiling = self._cutter.tiling(self.tile)
            return TiledObjective(network, content, areas, config, tiling)
        objective = Objective(network, content, areas, config)

        def evaluate(image: Tensor) -> Evaluation:
            with torch.enable_grad():
                leaf = image.clone().requires_grad_(True)
                losses = objective(leaf)
                (gradient,) = torch.autograd.grad(losses["total"], leaf)
            return losses, gradient

        return evaluate

    def _give_way(self) -> None:
        """Make the tiles half as long, so that a look takes a quarter."""
        height, width = size_of(self._parts[1])
        least = self._cutter.overlap.least_tile
        now = self.tile or max(height, width)
        if now <= least:
            raise StyleError(
                f"there is not memory enough for a picture of {width}×{height} px, even in tiles "
                f"of {now} px: choose a smaller size, or end other programs"
            )
        self.tile = self._cutter.fitting(now // 2)
        self._tell(
            f"not memory enough to look at {now} px at once: painting in tiles of {self.tile} px"
        )


class _Total(torch.autograd.Function):
    """A number whose gradient by the picture is known already."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return total.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None
