"""How many threads compute, and how they wait for each other.

PyTorch and FAISS compute with OpenMP threads (libgomp on Linux). Between two pieces of work such a
thread spins for some milliseconds before it sleeps, which pays on an idle machine. Where several
programs share the cores, they spin each other down to a small part of their speed
(`benchmarks/contention.py` measures it). libgomp reads its settings once, when it is loaded, so all
this has to happen before torch or faiss is imported; nothing here imports them.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

SPIN_COUNT = 10_000
"""Rounds that a waiting thread spins before it sleeps: some 30 µs, against some ms by default."""

LONG_WORK_NICENESS = 10
"""The niceness of work that takes minutes, so that whoever waits for an answer comes first."""

# A user who has set one of these has decided how threads wait.
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_LOAD = Path("/proc/loadavg")


def bound_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon, unless the user has decided how they wait.

    Args:
        environment: What libgomp will read.
    """
    if not any(name in environment for name in _WAITING):
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)


def share_processors(environment: MutableMapping[str, str] = os.environ) -> None:
    """Start only as many threads as there are processors without work, unless the user chose.

    It is meant for a process that ends with its answer. A server lives longer than the load that it
    was started under, and training and painting promise the same result for the same number of
    threads: these keep a thread a processor.

    Args:
        environment: What libgomp will read.
    """
    if "OMP_NUM_THREADS" not in environment:
        environment["OMP_NUM_THREADS"] = str(max(1, processors() - busy_processors()))


def give_way() -> None:
    """Lower this process's priority to that of long work; one that is lower already stays so."""
    if hasattr(os, "nice"):
        missing = LONG_WORK_NICENESS - os.nice(0)
        if missing > 0:
            os.nice(missing)


def processors(limit: Path = _CPU_LIMIT) -> int:
    """How many processors this process may use at once, 1 or more.

    Args:
        limit: The file in which a container's limit stands (cgroup v2): `QUOTA PERIOD`.
    """
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = map(int, limit.read_text(encoding="ascii").split())
        allowed = min(allowed, -(-quota // period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no container, or one without a limit (`max`)
    return max(1, allowed)


def busy_processors(load: Path = _LOAD) -> int:
    """How many processors other work takes, 0 or more; 0 where the system does not tell.

    The mean of the last minute and this moment must agree: work that has just ended is no longer in
    the way, and one process that woke for a moment is none.

    Args:
        load: The file with the mean load and `RUNNING/TOTAL` (Linux).
    """
    try:
        minute, _, _, now, _ = load.read_text(encoding="ascii").split()
        others = int(now.partition("/")[0]) - 1  # this process is running, too
        return max(0, min(round(float(minute)), others))
    except (OSError, ValueError):
        return 0
