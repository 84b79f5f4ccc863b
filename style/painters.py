"""How a picture moves towards lower loss, and stays a picture: every pixel in [0, 1]."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import Optimizer, StyleConfig
from .lbfgs import LbfgsPainter, finite
from .pyramid import size_of
from .replay import Replayed

_BETAS = (0.9, 0.95)
_LAST = 0.05  # of the step length is left in the last step of a scale

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

    def state(self) -> dict[str, Tensor]:
        """Copies of all that the next steps depend on, by name."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where a painter of the same kind and size was when its `state` was taken."""


def painter(
    image: Tensor,
    objective: Losses,
    config: StyleConfig,
    *,
    steps: int,
    before: Mapping[str, Tensor] | None = None,
) -> Painter:
    """The painter that `config` asks for, beginning from `image`.

    Args:
        image: (1, 3, H, W) in [0, 1], at the size of the objective's scale.
        objective: What to lower.
        config: Optimiser, learning rate, averaging.
        steps: How many there will be in this scale, over which the step length falls.
        before: The last state of the painter of the scale before.
    """
    if config.optimizer is Optimizer.LBFGS:
        return LbfgsPainter(image, objective)
    return AdamPainter(image, objective, config, steps=steps, before=before)


class AdamPainter:
    """Adam (Kingma and Ba 2015) on the pixels, clamped after every step.

    The step length falls in a line: long steps first find the strokes, in a quarter of the steps
    that one length for all needs, and short ones then settle them. The picture is not the last
    iterate but the moving average of all of them, corrected for its start as Adam corrects its
    own moments. A larger scale goes on with the moments of the one before, enlarged.
    """

    def __init__(
        self,
        image: Tensor,
        objective: Losses,
        config: StyleConfig,
        *,
        steps: int,
        before: Mapping[str, Tensor] | None = None,
    ) -> None:
        """See `painter`."""
        self._start = image.detach()
        self._iterate = image.detach().clone().requires_grad_(True)
        self._objective = objective
        self._longest, self._steps, self._taken = config.learning_rate, steps, 0
        self._decay = config.averaging
        self._average = torch.zeros_like(image)
        self._remaining = 1.0  # weight that the zeros of the beginning still have in the average
        # Losses are means over places, so a pixel's gradient shrinks as pictures grow, towards the
        # constant that Adam adds to its roots, and the moments of one scale would not do for the
        # next. Times the number of places it is the same at every size.
        self._places = float(image.numel())
        self._look, self._move = Replayed(self._losses, image), Replayed(self._moved, image)
        self._adam = torch.optim.Adam(
            [self._iterate],
            lr=torch.tensor(self._longest, device=image.device),  # a tensor: see `Replayed`
            betas=_BETAS,
            fused=True,
            capturable=image.is_cuda,
        )
        if before is not None:
            self._inherit(before)

    def step(self) -> dict[str, float]:
        """One step of Adam."""
        values = finite(self._look())
        left = max(0.0, 1 - self._taken / self._steps)
        self._adam.param_groups[0]["lr"].fill_(self._longest * (_LAST + (1 - _LAST) * left))
        self._move()
        self._taken += 1
        self._remaining *= self._decay
        return values

    def picture(self) -> Tensor:
        """The average of the iterates; before the first step, where it began."""
        if self._remaining == 1.0:
            return self._start
        return (self._average / (1 - self._remaining)).clamp_(0, 1)

    def state(self) -> dict[str, Tensor]:
        """Iterate, average and Adam's moments; before the first step there are none of these."""
        adam = self._adam.state.get(self._iterate, {})
        numbers = [float(self._taken), self._remaining]
        state = {"iterate": self._iterate.detach(), "average": self._average, **adam}
        state = {name: tensor.clone() for name, tensor in state.items()}
        return state | {"progress": torch.tensor(numbers, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        with torch.no_grad():
            self._iterate.copy_(state["iterate"])
            self._average.copy_(state["average"])
        taken, self._remaining = state["progress"].tolist()
        self._taken = int(taken)
        if "exp_avg" in state:
            self._inherit(state)

    def _inherit(self, state: Mapping[str, Tensor]) -> None:
        """Take over Adam's moments, enlarged where the picture is larger."""
        size = size_of(self._iterate)
        first, second = state["exp_avg"], state["exp_avg_sq"]
        if size_of(first) != size:
            first = F.interpolate(first, size, mode="bicubic")
            second = F.interpolate(second, size, mode="bilinear")  # which stays above 0
        self._adam.state[self._iterate] = {
            "step": state["step"].clone(),
            "exp_avg": first.to(self._iterate).clone(),
            "exp_avg_sq": second.to(self._iterate).clone(),
        }

    def _losses(self) -> dict[str, Tensor]:
        """The losses of the iterate, whose gradient is where Adam looks for it."""
        losses = self._objective(self._iterate)
        (gradient,) = torch.autograd.grad(losses["total"] * self._places, self._iterate)
        self._iterate.grad = gradient
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _moved(self) -> None:
        """One step of Adam along that gradient."""
        self._adam.step()
        self._iterate.clamp_(0, 1)
        self._average.lerp_(self._iterate, 1 - self._decay)
