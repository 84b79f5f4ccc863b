"""How much memory there is, and how much some work takes."""

import resource
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_GROUPS, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_SIGNS = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
    "alloc_cpu",
    "could not create a primitive",  # oneDNN's, when it cannot have its scratch space
    "could not create a memory object",
)


def memory_at_hand(device: torch.device) -> int:
    """Bytes that this process may still take on a device without pushing anything out.

    On a CPU: what the machine has available, what the control groups of the process (a container,
    a service) leave, and what its own limit on addresses leaves; the least counts.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    limits: list[int] = [psutil.virtual_memory().available, *left_in_groups()]
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        limits.append(addresses - psutil.Process().memory_info().vms)
    return max(0, min(limits))


def left_in_groups(root: Path = _GROUPS, own: Path = _OWN_GROUP) -> Iterator[int]:
    """Bytes that each control group of this process leaves; nothing where there is no limit.

    Args:
        root: Where the groups are mounted, of version 1 or 2.
        own: The file that names the groups of this process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # In a container the path may be the host's: the mount itself is then the own group.
        place = mount / path.lstrip("/")
        for group in (place, *place.parents):
            if group.is_relative_to(mount):
                yield from _left(group, limit, usage)


def _left(group: Path, limit: str, usage: str) -> Iterator[int]:
    """What one group leaves: files that it could drop do not count as used."""
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or "max"
        return
    yield most - used + int(statistics.get("inactive_file", 0))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes of tensors that some work holds at a time, beyond those before it.

    What libraries take for themselves within one operation is not seen.
    """
    with _Watch() as watch:
        work()
    peak: int = watch.peak
    return peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory of tensors as they come and go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._held = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {id(it.untyped_storage()) for it in tree_leaves((args, kwargs)) if _real(it)}
        result = func(*args, **(kwargs or {}))
        for tensor in filter(_real, tree_leaves(result)):
            storage = tensor.untyped_storage()
            if id(storage) not in given and storage not in self._known:
                self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        self._known.add(storage)
        size: int = storage.nbytes()
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self._held -= size


def _real(value: object) -> bool:
    """Whether it is a tensor that has memory."""
    return isinstance(value, Tensor) and value.device.type != "meta"
