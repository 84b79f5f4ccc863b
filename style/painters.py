"""How a picture moves towards lower loss, and stays a picture: every pixel in [0, 1]."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from data.errors import StyleError

from .config import Optimizer, StyleConfig

_HALF_LEVEL = 1 / 512  # of an 8-bit channel: what rounding hides

Losses = Callable[[Tensor], Mapping[str, Tensor]]
"""A picture (1, 3, H, W) → scalars by name, of which "total" is the one to lower: an objective."""


class Painter(Protocol):
    """One picture on the easel, at one scale."""

    def step(self) -> dict[str, float]:
        """Move the picture once.

        Returns:
            The losses by name, as they were before the move.

        Raises:
            StyleError: A loss is not finite; the picture stays as it was.
        """

    def picture(self) -> Tensor:
        """The picture so far, (1, 3, H, W) in [0, 1], without gradient."""


def painter(image: Tensor, objective: Losses, config: StyleConfig) -> Painter:
    """The painter that `config` asks for, beginning from `image` (1, 3, H, W) in [0, 1]."""
    if config.optimizer is Optimizer.LBFGS:
        return LbfgsPainter(image, objective)
    return AdamPainter(image, objective, config)


class AdamPainter:
    """Adam (Kingma and Ba 2015) on the pixels, clamped after every step.

    The picture is not the last iterate, which trembles with the step length, but the moving
    average of all of them, corrected for its start as Adam corrects its own moments.
    """

    def __init__(self, image: Tensor, objective: Losses, config: StyleConfig) -> None:
        """Begin from `image` (1, 3, H, W) in [0, 1]."""
        self._iterate = image.detach().clone().requires_grad_(True)
        self._objective = objective
        self._adam = torch.optim.Adam(
            [self._iterate], lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self._decay = config.averaging
        self._average = torch.zeros_like(image)
        self._start = image.detach()
        self._remaining = 1.0  # weight that the zeros of the beginning still have in the average

    def step(self) -> dict[str, float]:
        """One step of Adam."""
        self._adam.zero_grad()
        losses = self._objective(self._iterate)
        values = _finite(losses)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            self._iterate.clamp_(0, 1)
            self._average.lerp_(self._iterate, 1 - self._decay)
        self._remaining *= self._decay
        return values

    def picture(self) -> Tensor:
        """The average of the iterates; before the first step, where it began."""
        if self._remaining == 1.0:
            return self._start
        return (self._average / (1 - self._remaining)).clamp_(0, 1)


class LbfgsPainter:
    """L-BFGS on z with picture = sigmoid(z), so that no pixel can leave [0, 1].

    Without such bounds it buys loss with colours that no picture can hold, and pays for them in
    the final clip. Without a line search it diverges on networks with large activations.
    """

    def __init__(self, image: Tensor, objective: Losses) -> None:
        """Begin from `image` (1, 3, H, W) in [0, 1]; 0 and 1 themselves are out of reach."""
        self._iterate = torch.logit(image.detach(), eps=_HALF_LEVEL).requires_grad_(True)
        self._painted = self._iterate.detach().clone()
        self._objective = objective
        self._evaluated: Tensor | None = None  # where `_losses` and the gradient belong
        self._losses: dict[str, float] = {}
        # The relative losses are so flat in any one pixel that the absolute tolerances of the
        # optimiser would see a minimum everywhere: the objective is scaled, the tolerances go.
        self._scale = float(image.numel())
        self._lbfgs = torch.optim.LBFGS(
            [self._iterate],
            max_iter=1,
            max_eval=20,  # the first line search begins far too short; later ones need one or two
            history_size=10,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

    def step(self) -> dict[str, float]:
        """One iteration of L-BFGS: one evaluation, and more where the line search wants them."""
        self._evaluate()  # the optimiser's own first evaluation finds it done
        before = self._losses
        self._lbfgs.step(self._evaluate)  # type: ignore[no-untyped-call]
        self._painted.copy_(self._iterate.detach())
        return before

    def picture(self) -> Tensor:
        """The last iterate that a line search has accepted."""
        return torch.sigmoid(self._painted)

    def _evaluate(self) -> float:
        """The scaled loss at the iterate, with its gradient."""
        # A step begins where the last line search ended: loss and gradient are still there.
        if self._evaluated is None or not torch.equal(self._iterate, self._evaluated):
            self._lbfgs.zero_grad()
            losses = self._objective(torch.sigmoid(self._iterate))
            self._losses = _finite(losses)
            (self._scale * losses["total"]).backward()  # type: ignore[no-untyped-call]
            self._evaluated = self._iterate.detach().clone()
        return self._scale * self._losses["total"]


def _finite(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """The losses as numbers, fetched from the device at once.

    Raises:
        StyleError: One of them is not finite.
    """
    numbers = torch.stack([loss.detach() for loss in losses.values()]).tolist()
    values = dict(zip(losses, numbers, strict=True))
    for name, value in values.items():
        if not math.isfinite(value):
            raise StyleError(
                f"the {name.replace('_', ' ')} loss became {value}, expected a finite number: "
                "lower the weights or the learning rate, or check the network's weights"
            )
    return values
