"""Work that is the same again and again, recorded once: CUDA graphs."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

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
