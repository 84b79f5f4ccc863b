"""How the picture moves: Adam with clamp and averaging, L-BFGS, CUDA graphs."""

import math
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import StyleError

from .config import Optimizer, StyleConfig
from .scales import size_of

# L-BFGS on a picture that it cannot leave the range of.

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


# Work that is the same again and again, recorded once: CUDA graphs.

_WARM_UP = 3  # calls after which libraries have chosen their algorithms and memory is laid out

Result = TypeVar("Result")


class Replayed(Generic[Result]):
    """Calls a function; on a GPU the kernels of a call are recorded, and launched as one.

    A small network's step is hundreds of kernels, which take longer to launch than to run. The
    function must do the same to the same tensors in every call, and gives back the same ones.
    Numbers that change, such as a step length, live in tensors. If it cannot be recorded (because
    it waits for the GPU, say), it is called as it is for ever. Elsewhere than on a GPU this is a
    plain call.
    """

    def __init__(self, function: Callable[[], Result], device_of: Tensor) -> None:
        """Record nothing yet.

        Args:
            function: What is called.
            device_of: A tensor on the device that it works on.
        """
        self._function = function
        self._left = _WARM_UP if device_of.is_cuda else -1  # calls before it is recorded; -1: never
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Result

    def __call__(self) -> Result:
        """Do it once more."""
        if self._left == 0 and self._graph is None:
            self._record()
        if self._graph is not None:
            self._graph.replay()
            return self._result
        if self._left < 0:
            return self._function()
        self._left -= 1
        return self._aside()

    def _aside(self) -> Result:
        """A call on another stream than the main one, as warming up wants it."""
        main = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(main)
        with torch.cuda.stream(side):
            result = self._function()
        main.wait_stream(side)
        return result

    def _record(self) -> None:
        """Record a call, which does none of its work; or give up."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self._function()
        except RuntimeError:
            torch.cuda.synchronize()
            self._left = -1
        else:
            self._graph = graph


# How a picture moves towards lower loss, and stays a picture: every pixel in [0, 1].

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
