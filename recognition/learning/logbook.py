"""What a run shows of itself beside its figures: `plots/`, and TensorBoard's event files.

Both are made from `metrics.jsonl` and the best weights, and hold nothing that is nowhere else. A
run that goes on writes its event file anew, so that no step is there twice and none is missing.
"""

import io
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from data.distribution import install_command
from data.errors import ArgumentError
from data.files import private_folder, write_atomic

from . import plots
from .config import TrainingConfig
from .reports import EpochReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SECONDS_BETWEEN_DRAWINGS = 5.0
"""Drawing takes a third of a second, an epoch perhaps less."""


def check_tensorboard() -> None:
    """Refuse to go on without the library that writes event files.

    Raises:
        ArgumentError: It is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ArgumentError(
            "the run shall write TensorBoard's event files, and that package is not installed: "
            f"{install_command('tensorboard')}, or set tensorboard to false"
        )


class Logbook:
    """Draws a run as it goes on; closed at its end, or when it fails."""

    def __init__(self, config: TrainingConfig, reports: Sequence[EpochReport]) -> None:
        """Begin, or go on.

        Args:
            config: Of the run, whose folder is there.
            reports: Of the epochs done before.
        """
        self._plots = private_folder(config.out / "plots")
        self._metric = config.metric
        self._reports = list(reports)
        self._drawn = -_SECONDS_BETWEEN_DRAWINGS
        events = config.out / "tensorboard"
        self._events = EventFile(events, reports) if config.tensorboard else None

    def __enter__(self) -> Self:
        return self

    def add(self, report: EpochReport) -> None:
        """Add an epoch; the curves are drawn anew at most every few seconds."""
        self._reports.append(report)
        if self._events is not None:
            self._events.add(report)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw_curves()
            self._drawn = time.monotonic()

    def finish(self, figures: Mapping[str, "Figure"]) -> None:
        """Draw the curves a last time, and keep the figures of the best weights, by file name."""
        self._draw_curves()
        for name, figure in figures.items():
            picture = plots.png(figure)
            write_atomic(self._plots / f"{name}.png", picture)
            if self._events is not None:
                self._events.add_picture(name, picture, len(self._reports))

    def _draw_curves(self) -> None:
        if self._reports:
            figure = plots.curves(self._reports, self._metric)
            write_atomic(self._plots / "curves.png", plots.png(figure))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()


class EventFile:
    """TensorBoard's view of a run, begun anew each time."""

    def __init__(self, folder: Path, reports: Sequence[EpochReport]) -> None:
        """Write the epochs done before, at the times that they took."""
        from torch.utils.tensorboard import SummaryWriter

        if folder.is_dir():
            shutil.rmtree(folder)
        self._writer = SummaryWriter(str(private_folder(folder)))
        moment = time.time() - sum(report.seconds for report in reports)
        for report in reports:
            moment += report.seconds
            self.add(report, moment)

    def add(self, report: EpochReport, moment: float | None = None) -> None:
        """Add an epoch's figures; those that the data cannot support are left out."""
        names = ("train_loss", "val_auc", "val_tar", "learning_rate", "images_per_second")
        scalars = {name: getattr(report, name) for name in names}
        scalars |= {f"losses/{name}": value for name, value in report.losses.items()}
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, report.epoch, walltime=moment)
        self._writer.flush()

    def add_picture(self, name: str, png: bytes, epoch: int) -> None:
        """Add a picture."""
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))  # (H, W, 3)
        self._writer.add_image(name, pixels, epoch, dataformats="HWC")

    def close(self) -> None:
        """Write what is left, and end."""
        self._writer.close()
