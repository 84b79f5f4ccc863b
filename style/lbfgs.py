"""L-BFGS on a picture that it cannot leave the range of."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from data.errors import StyleError

_HALF_LEVEL = 1 / 512  # of an 8-bit channel: what rounding hides
_HISTORY = 10  # does as well as 100 in a tenth of the memory
_LISTS = ("old_dirs", "old_stps", "ro")  # of tensors, in the optimiser's own state


class LbfgsPainter:
    """L-BFGS on z with picture = sigmoid(z), so that no pixel can leave [0, 1].

    Without such bounds it buys loss with colours that no picture can hold, and pays for them in
    the final clip. Without a line search it diverges on networks with large activations.
    """

    def __init__(self, image: Tensor, objective: Callable[[Tensor], Mapping[str, Tensor]]) -> None:
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
            history_size=_HISTORY,
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

    def state(self) -> dict[str, Tensor]:
        """The iterate, and the optimiser's state as tensors alone."""
        tensors = {"iterate": self._painted.clone()}
        for name, value in self._lbfgs.state[self._iterate].items():
            if name in _LISTS:
                tensors |= {f"{name}.{i}": item.clone() for i, item in enumerate(value)}
            elif isinstance(value, Tensor):
                tensors[name] = value.clone()
            elif isinstance(value, int | float):
                tensors[name] = torch.tensor(value, dtype=torch.float64)
        return tensors

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        with torch.no_grad():
            self._iterate.copy_(state["iterate"])
        self._painted.copy_(self._iterate.detach())
        self._evaluated = None
        values: dict[str, object] = {name: [] for name in _LISTS} if "d" in state else {}
        for name, tensor in state.items():
            kind, _, _ = name.partition(".")
            if kind in _LISTS:
                values[kind].append(tensor.to(self._iterate))  # type: ignore[attr-defined]
            elif name in ("n_iter", "func_evals"):
                values[name] = int(tensor)
            elif tensor.dtype == torch.float64 and tensor.ndim == 0:
                values[name] = float(tensor)
            elif name != "iterate":
                values[name] = tensor.to(self._iterate)
        self._lbfgs.state[self._iterate].update(values)

    def _evaluate(self) -> float:
        """The scaled loss at the iterate, with its gradient."""
        # A step begins where the last line search ended: loss and gradient are still there.
        if self._evaluated is None or not torch.equal(self._iterate, self._evaluated):
            self._lbfgs.zero_grad()
            losses = self._objective(torch.sigmoid(self._iterate))
            self._losses = finite(losses)
            (self._scale * losses["total"]).backward()  # type: ignore[no-untyped-call]
            self._evaluated = self._iterate.detach().clone()
        return self._scale * self._losses["total"]


def finite(losses: Mapping[str, Tensor]) -> dict[str, float]:
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
