"""A run's folder: its config, a line of metrics for each checkpoint, its weights."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from data.config import Configuration, to_toml
from data.errors import TrainingError
from data.files import private_folder, sha256_of, write_atomic
from data.tensors import write_tensors

from .checkpoint import STATE, Checkpoint


class CheckpointReport(Protocol):
    """What a run tells of a checkpoint: a dataclass of plain values."""

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON, by the names of its fields."""
        ...


AnyReport = TypeVar("AnyReport", bound=CheckpointReport)


class RunFolder(Generic[AnyReport]):
    """Where a run keeps what it makes.

    Attributes:
        path: The folder.
        best: The best weights.
        last: Those of the last checkpoint.
    """

    def __init__(self, path: Path, kind: type[AnyReport], *, unit: str) -> None:
        """Make the folder.

        Args:
            path: Where.
            kind: Of the reports.
            unit: The field of a report that counts: `epoch` or `step`.

        Raises:
            ArgumentError: It cannot be made.
        """
        self.path, self._kind, self._unit = path, kind, unit
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self._metrics = path / "metrics.jsonl"
        private_folder(path)

    def checkpoint(self, digest: str) -> Checkpoint:
        """Where the state of this run lies."""
        return Checkpoint(folder=self.path, digest=digest, unit=self._unit)

    def write_config(self, config: Configuration) -> None:
        """Write `config.toml`, every value spelled out, from which the run can be repeated."""
        write_atomic(self.path / "config.toml", to_toml(config).encode())

    def write_weights(
        self, state: Mapping[str, Tensor], metadata: Mapping[str, str], *, best: bool
    ) -> None:
        """Write `last.safetensors`, and `best.safetensors` if these are the best so far."""
        write_tensors(self.last, state, metadata)
        if best:
            write_tensors(self.best, state, metadata)

    def begin_as(self, other: Path, digest: str) -> None:
        """Take another run's weights, metrics and state, unless this run has its own state.

        Args:
            other: The other run's folder.
            digest: What the state shall say of its settings from now on.
        """
        if (self.path / STATE).is_file():
            return
        for mine in (self.best, self.last, self._metrics):
            write_atomic(mine, (other / mine.name).read_bytes())
        self.checkpoint(digest).copy(other)

    def append(self, report: AnyReport, *, after: int) -> None:
        """Add a line to `metrics.jsonl`.

        Args:
            report: Of this checkpoint.
            after: What was done at the checkpoint before.
        """
        reports = [*self.reports(after), report]
        lines = "".join(json.dumps(each.as_json(), sort_keys=True) + "\n" for each in reports)
        write_atomic(self._metrics, lines.encode())

    def reports(self, done: int) -> list[AnyReport]:
        """The reports of the checkpoints up to one; a line past it was never completed.

        Raises:
            TrainingError: Lines are missing or damaged.
        """
        if done == 0:
            return []
        try:
            lines = self._metrics.read_text(encoding="utf-8").splitlines()
            told = [json.loads(line) for line in lines]
            reports = [self._kind(**each) for each in told if each[self._unit] <= done]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise TrainingError(
                f"{self._metrics} is damaged: begin the run again in another folder"
            ) from error
        if not reports or getattr(reports[-1], self._unit) != done:
            raise TrainingError(
                f"{self._metrics} lacks {self._unit}s: begin the run again in another folder"
            )
        return reports


def fingerprint(config: Configuration, outward: Collection[str], contents: Iterable[bytes]) -> str:
    """Digest of what decides a run's result: settings that matter, and what lies at its places.

    Args:
        config: The settings.
        outward: Keys that only say where something is, or what is shown.
        contents: Of photographs, names, teachers, and whatever else is learnt from.
    """
    lines = to_toml(config).splitlines()
    settings = "".join(line for line in lines if line.partition(" = ")[0] not in outward)
    return sha256_of("/".join(map(sha256_of, [settings.encode(), *contents])).encode())
