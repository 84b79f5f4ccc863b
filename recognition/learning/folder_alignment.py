"""A folder of photographs → a folder of aligned faces, by several processes, taken up again."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from backbones.weights import resolve_device
from data.decoder_sandbox import usable_cores
from data.errors import AppError, ArgumentError, DatasetError, ImageError
from data.files import printable, private_folder, write_atomic
from data.folders import Account, sift_all
from data.images import load_image, save_image, to_image
from data.progress import Progress

from ..detection.detector import FaceDetector, central_faces, make_detector
from ..faces.alignment import CROP_SIZE, align_faces
from ..results import FailedImage
from .choices import FaceFormat

if sys.platform != "win32":
    import fcntl


MISSED = "missed.jsonl"
"""The report in the destination: a line for each photograph that has no aligned face there."""

MOST_WORKERS = 64
_USUAL_WORKERS = 8
_AT_ONCE = 8  # photographs a worker takes at a time
# By `atomic_output`, when killed.
_LEFT_BEHIND = re.compile(r"\.(likeness-)?[0-9a-f]{16}\.(png|jpg|jsonl)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentConfig:
    """Which photographs are aligned, and where to.

    Attributes:
        source: A folder of photographs, of any depth.
        destination: Gets the faces, in the same folders under the same names.
        format: Of the faces.
        workers: Processes; None: one a core, at most 8.
        device: auto, cpu or cuda.
    """

    source: Path
    destination: Path
    format: FaceFormat = FaceFormat.PNG
    workers: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise ArgumentError(f"workers is {self.workers}: give 1 to {MOST_WORKERS}")
        source, destination = self.source.resolve(), self.destination.resolve()
        if source in (destination, *destination.parents) or destination in source.parents:
            raise ArgumentError(
                f"{printable(self.source)} and {printable(self.destination)} lie in one another: "
                "give the faces a folder apart from the photographs"
            )


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What became of the photographs.

    Attributes:
        aligned: How many were aligned by this call.
        kept: How many had been aligned before.
        missed: The others, by their paths in the source, sorted.
        account: What was not taken from the source.
    """

    aligned: int
    kept: int
    missed: tuple[FailedImage, ...]
    account: Account


def align_folder(config: AlignmentConfig, progress: Progress | None = None) -> AlignmentReport:
    """Detect and align every photograph of a folder, and write the faces.

    Each face is written whole or not at all, so that a run that was killed is gone on with by the
    same call, and ends with the same bytes. Photographs that were missed are tried again, and so
    are those that are newer than their face.

    Args:
        config: From where to where.
        progress: Told how many photographs of how many are done.

    Raises:
        ArgumentError: A folder is missing or cannot be written; the destination holds faces of
            another format, or is being written by another process.
        DatasetError: The source holds no photographs.
        AppError: A worker process was killed.
    """
    sifted = sift_all([config.source])[0][1]
    photographs = [path for path in sifted.pictures if path != config.source]
    if not photographs:
        told = f" ({sifted.account.line()})" if sifted.account.left else ""
        raise DatasetError(
            f"{printable(config.source)} holds no photographs{told}: name another folder"
        )
    targets = _targets(config, photographs)
    _check_format(config, targets)
    device = str(resolve_device(config.device))
    waiting = [path for path in photographs if not _is_done(path, targets[path])]
    kept, done = len(photographs) - len(waiting), len(photographs) - len(waiting)
    tell = progress or (lambda done, total: None)
    tell(done, len(photographs))
    with _owned(config.destination):
        missed = dict[Path, str]()
        for paths, reasons in _work(config, waiting, targets, device):
            missed |= {p: r for p, r in zip(paths, reasons, strict=True) if r is not None}
            done += len(paths)
            tell(done, len(photographs))
        report = tuple(
            FailedImage(image=str(path.relative_to(config.source)), error=missed[path])
            for path in sorted(missed)
        )
        lines = [json.dumps({"image": one.image, "error": one.error}) + "\n" for one in report]
        write_atomic(config.destination / MISSED, "".join(lines).encode())
    return AlignmentReport(
        aligned=len(waiting) - len(missed), kept=kept, missed=report, account=sifted.account
    )


def align_photograph(detector: FaceDetector, source: Path, target: Path) -> str | None:
    """Write the aligned face of one photograph; one of 112×112 pixels counts as aligned.

    Each photograph is searched alone: in a batch the last digits would depend on its neighbours.

    Args:
        detector: Finds faces.
        source: The photograph.
        target: The face's file; removed where the photograph has none.

    Returns:
        None, or in one line why there is no face.

    Raises:
        ArgumentError: The face cannot be written.
    """
    try:
        image = load_image(source)
        if image.size != (CROP_SIZE, CROP_SIZE):
            (central,) = central_faces(detector, [image])
            if central is None:
                raise ImageError("no face found")
            image = to_image(align_faces([central[0]], [[central[1]]]))
    except AppError as error:
        target.unlink(missing_ok=True)
        return str(error)
    private_folder(target.parent)
    save_image(image, target)
    return None


def _targets(config: AlignmentConfig, photographs: list[Path]) -> dict[Path, Path]:
    """Where each photograph's face goes: of 1.jpg and 1.png to 1.png and 1.png.png."""
    targets: dict[Path, Path] = {}
    taken = set[str]()
    for path in photographs:
        wanted = config.destination / path.relative_to(config.source)
        suffix = f".{config.format}"
        target = wanted.with_suffix(suffix)
        while str(target).casefold() in taken:
            wanted = target = wanted.with_name(wanted.name + suffix)
        taken.add(str(target).casefold())
        targets[path] = target
    return targets


def _check_format(config: AlignmentConfig, targets: dict[Path, Path]) -> None:
    """Refuse to write every face a second time beside itself."""
    for other in set(FaceFormat) - {config.format}:
        found = next((t for t in targets.values() if t.with_suffix(f".{other}").exists()), None)
        if found is not None:
            raise ArgumentError(
                f"{printable(config.destination)} holds faces as {other}: "
                f"go on with --format {other}, or name another folder"
            )


def _is_done(source: Path, target: Path) -> bool:
    try:
        return source.stat().st_mtime_ns <= target.stat().st_mtime_ns
    except OSError:
        return False


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Make a folder, keep other processes out, and clear away what a killed one left behind."""
    private_folder(folder)
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ArgumentError(
                    f"{printable(folder)} is being written by another process: wait for it"
                ) from error
        for path in folder.rglob(".*"):
            if _LEFT_BEHIND.fullmatch(path.name):
                path.unlink()
        yield


def _work(
    config: AlignmentConfig, waiting: list[Path], targets: dict[Path, Path], device: str
) -> Iterator[tuple[list[Path], list[str | None]]]:
    """Share the photographs out, and yield them with their results as they are done."""
    parts = [waiting[start : start + _AT_ONCE] for start in range(0, len(waiting), _AT_ONCE)]
    workers = config.workers or min(usable_cores(), _USUAL_WORKERS)
    if not parts:
        return
    pool = ProcessPoolExecutor(
        min(workers, len(parts)),
        mp_context=multiprocessing.get_context("spawn"),  # a fork of torch's threads may hang
        initializer=_begin,
        initargs=(device,),
    )
    try:
        futures: dict[Future[list[str | None]], list[Path]] = {
            pool.submit(_align_some, [(path, targets[path]) for path in part]): part
            for part in parts
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise AppError(
            "a worker process was killed, perhaps for want of memory: the same command goes on, "
            "best with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_detectors: list[FaceDetector] = []  # of this worker process: one


def _begin(device: str) -> None:
    """Prepare a worker process: one thread, deaf to Ctrl-C, and no longer alive than its parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _detectors.append(make_detector(device))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _align_some(tasks: list[tuple[Path, Path]]) -> list[str | None]:
    return [align_photograph(_detectors[0], source, target) for source, target in tasks]
