"""One run in several processes, as `torchrun` starts them: each computes a part of every batch.

A batch is that of all processes together, so a recipe describes the same run on one or on eight.
Every process draws and augments the whole batch, puts its own rows through the network, and gathers
the embeddings of all. The objective is then computed on the whole batch everywhere, so that every
process's photographs are each other's positives and negatives, and what the losses learn beside the
network (a classifier's weights) stays alike.

How the gradient comes to be that of one process: the derivative by all embeddings is known
everywhere, each process follows it back through its own rows, and the parts are summed. Plain sums
serve better than `DistributedDataParallel`, which averages, knows the network alone, and stands
between it and `torch.compile`.

Batch norm sees a process's own rows; its running statistics are averaged after every step. Other
norms make the run that of one process but for rounding.
"""

import atexit
import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from data.errors import ArgumentError, TrainingError

from ..blocks.normalisation import SwitchableNorm
from ..weights import resolve_device
from .checkpoint import Position

_PATIENCE = timedelta(days=1)
"""How long a process waits for another: the first one may align photographs for hours, and one
that is dead is noticed by its closed connection, at once."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a run; alone, every method gives back what it is given.

    Attributes:
        rank: Which one this is, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes, validates and reports."""
        return self.rank == 0

    def check_batch(self, count: int, what: str, *, each: int = 1, key: str) -> None:
        """Refuse a batch that cannot be dealt out evenly.

        Args:
            count: How many people, or photographs, a step sees, all processes together.
            what: What they are called.
            each: Photographs of one of them.
            key: Of the recipe, that changes it.

        Raises:
            ArgumentError: They are no multiple of the processes, or a process is left with one
                photograph.
        """
        if count % self.size:
            raise ArgumentError(
                f"a batch of {count} {what} cannot be dealt out to {self.size} processes: set "
                f"{key} so that it is a multiple of them"
            )
        if self.size > 1 and count * each == self.size:
            raise ArgumentError(
                f"{self.size} processes leave each 1 photograph of a batch, which cannot be "
                "normalised: take fewer processes or a larger batch"
            )

    def own(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch, (B, …) → (B / size, …); people stay together."""
        return rows.chunk(self.size)[self.rank]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes in the batch's order, (B / size, D) → (B, D), with gradient."""
        if self.size == 1:
            return rows
        joined: Tensor = _Gather.apply(rows, self)
        return joined

    def sum_gradients(self, network: nn.Module, objective: nn.Module) -> None:
        """Make gradients and running statistics those of the whole batch; after `backward`.

        Args:
            network: Of which every process has seen its own rows.
            objective: What is learnt beside it, from all rows, in every process alike.
        """
        if self.size == 1:
            return
        shared = [p.grad for p in network.parameters() if p.grad is not None]
        # These are the same everywhere (on a GPU but for rounding): their mean, not their sum.
        alike = [p.grad for p in objective.parameters() if p.grad is not None]
        alike += _running_statistics(network)
        flat = torch.cat([t.detach().flatten() for t in shared + alike])
        start = sum(t.numel() for t in shared)
        flat[start:] /= self.size
        self._all_reduce(flat)
        sizes = [t.numel() for t in shared + alike]
        with torch.no_grad():
            for tensor, summed in zip(shared + alike, torch.split(flat, sizes), strict=True):
                tensor.copy_(summed.view(tensor.shape))

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """The first process runs the block, then the others, who find its files there.

        Where the first one fails, the others try as well, and fail with the same words.
        """
        if not self.first:
            self.wait()
        try:
            yield
        finally:
            if self.first:
                self.wait()

    def wait(self) -> None:
        """Return when every process has called this."""
        if self.size > 1:
            self._all_reduce(torch.zeros(1))

    def share(self, position: Position) -> Position:
        """The first process's position; what the others give does not matter."""
        if self.size == 1:
            return position
        best = math.nan if position.best is None else position.best
        numbers = torch.tensor([position.done, best, position.best_at], dtype=torch.float64)
        if not self.first:
            numbers.zero_()
        self._all_reduce(numbers)
        done, best, best_at = numbers.tolist()
        return Position(int(done), None if math.isnan(best) else best, int(best_at))

    def check_alike(self, *facts: object) -> None:
        """Make sure that all processes begin from the same.

        Args:
            *facts: Whatever must be equal, with a `repr` that tells.

        Raises:
            TrainingError: It differs somewhere.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256(repr(facts).encode()).digest()
        theirs = torch.tensor(list(digest), dtype=torch.float64)
        mean = theirs / self.size
        self._all_reduce(mean)
        differs = (mean - theirs).abs().max().reshape(1)
        self._all_reduce(differs)  # so that all of them stop
        if float(differs) > 1e-6:
            raise TrainingError(
                "the processes of this run see different settings, photographs or checkpoints: "
                "give all of them the same folders"
            )

    def _all_reduce(self, tensor: Tensor) -> None:
        from torch import distributed

        with _others_may_end():
            distributed.all_reduce(tensor)


class _Gather(torch.autograd.Function):
    """All rows forward; backward, the part of the gradient that belongs to this process's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, team: Team) -> Tensor:
        from torch import distributed

        ctx.team = team
        parts = [torch.empty_like(rows) for _ in range(team.size)]
        with _others_may_end():
            distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.team.own(gradients[0]), None


def join_team(device: str) -> tuple[Team, torch.device]:
    """Join the processes that `torchrun` started with this one; without it, there is one.

    They stay together until they exit: another run of the same processes joins the same team.

    Args:
        device: As `resolve_device` understands it; of several GPUs each process takes its own.

    Returns:
        The team, and this process's device.

    Raises:
        ArgumentError: The device is not there, or a machine has more processes than GPUs; or
            torchrun's environment is not whole.
    """
    place = resolve_device(device)
    rank, size = _from_environment("RANK", 0), _from_environment("WORLD_SIZE", 1)
    if size <= 1:
        return Team(), place
    if place.type == "cuda":
        place = _own_gpu()
    _connect("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo", size)
    return Team(rank, size), place


def leads() -> bool:
    """Whether this process is the first of its run, the one that speaks to the user."""
    return _from_environment("WORLD_SIZE", 1) <= 1 or _from_environment("RANK", 0) == 0


def _running_statistics(network: nn.Module) -> list[Tensor]:
    """Mean and variance of every batch norm that is being trained."""
    return [
        statistic
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | SwitchableNorm) and module.training
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]


def _own_gpu() -> torch.device:
    index, count = _from_environment("LOCAL_RANK", 0), torch.cuda.device_count()
    wanted = max(_from_environment("LOCAL_WORLD_SIZE", 1), index + 1)
    if wanted > count:
        raise ArgumentError(
            f"{wanted} processes on a machine with {count} GPUs: start one a GPU, or take "
            "--device cpu"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _connect(backend: str, size: int) -> None:
    from torch import distributed

    if distributed.is_initialized():
        return
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"the {size} processes of this run do not find each other: start them with torchrun"
        ) from error
    # Not after each run: those who leave cannot meet again under the same address.
    atexit.register(distributed.destroy_process_group)


def _from_environment(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name, default))
    except ValueError as error:
        raise ArgumentError(f"{name} is {os.environ[name]!r}: torchrun sets a number") from error


@contextmanager
def _others_may_end() -> Iterator[None]:
    """A connection that breaks, in a user's words."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this run has ended: mend what it says, then start the run again, "
            "which goes on after its last checkpoint"
        ) from error
