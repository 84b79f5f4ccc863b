"""Runs side by side: in this process one after the other, or in processes of their own."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from .config import TrainingConfig
from .distillation import TARGETS
from .reports import EpochReport, Progress
from .trainer import train

ProgressCallback = Callable[[Progress], None]

_stop: Event | None = None
"""Of a worker: set when the parent wants no more of it."""


class StoppedError(Exception):
    """A worker's run was given up, since its parent ended or failed; its folder goes on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run among several.

    Attributes:
        config: Of the run.
        command: What the weights' metadata gives as the command that made them.
        begin: The folder of a run whose state this one begins with; None: random weights.
        targets: Folders of runs with the same photographs, whose teacher's answers will do.
    """

    config: TrainingConfig
    command: str
    begin: Path | None = None
    targets: tuple[Path, ...] = ()


class Workers:
    """Where jobs are done; leaving the block by an error stops those under way."""

    def __init__(self, parallel: int, progress: ProgressCallback | None = None) -> None:
        """Start nothing yet.

        Args:
            parallel: Jobs at a time; above 1 each is done in a process of its own.
            progress: Told about the steps of a job done in this process.
        """
        self.parallel = parallel
        self._progress = progress or (lambda _: None)
        self._pool: Executor | None = None
        if parallel > 1:
            context = multiprocessing.get_context("spawn")  # threads of torch survive no fork
            self._stop = context.Event()
            threads = max(1, torch.get_num_threads() // parallel)
            self._pool = ProcessPoolExecutor(
                parallel, mp_context=context, initializer=_begin, initargs=(self._stop, threads)
            )

    def submit(self, job: Job) -> Future[tuple[EpochReport, ...]]:
        """Do a job, at once or as soon as a process is free; its result is its epochs."""
        if self._pool is not None:
            return self._pool.submit(_work, job)
        future: Future[tuple[EpochReport, ...]] = Future()
        try:
            future.set_result(_do(job, self._progress))
        except Exception as error:
            future.set_exception(error)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the processes to end, which they do at their next step if there is an error."""
        if self._pool is not None:
            if kind is not None:
                self._stop.set()
            self._pool.shutdown(cancel_futures=True)


def _begin(stop: Event, threads: int) -> None:
    global _stop
    _stop = stop
    torch.set_num_threads(threads)


def _work(job: Job) -> tuple[EpochReport, ...]:
    return _do(job, _stop_if_alone)


def _stop_if_alone(_: Progress) -> None:
    """A worker whose parent was killed would go on, and meet the next one in the same folder."""
    parent = multiprocessing.parent_process()
    if (parent is not None and not parent.is_alive()) or (_stop is not None and _stop.is_set()):
        raise StoppedError


def _do(job: Job, progress: ProgressCallback) -> tuple[EpochReport, ...]:
    _lend_targets(job)
    return train(job.config, progress=progress, command=job.command, begin=job.begin).epochs


def _lend_targets(job: Job) -> None:
    """Give a run the teacher's answers of another by a link: to ask again takes long."""
    own = job.config.out / TARGETS
    if job.config.teacher is None or own.exists():
        return
    for folder in job.targets:
        if (folder / TARGETS).is_file():
            job.config.out.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(folder / TARGETS, own)
            return
