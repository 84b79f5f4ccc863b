"""A run's folder: its config, one line of metrics an epoch, its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from data.config import to_toml
from data.errors import ArgumentError, TrainingError
from data.files import private_folder, sha256_of, write_atomic
from data.tensors import write_tensors

from .checkpoint import STATE, copy_state
from .config import TrainingConfig
from .optimizers import initial_weights
from .reports import EpochReport


class RunFolder:
    """Where a run keeps what it makes.

    Attributes:
        path: The folder.
        best: The weights of the best epoch.
        last: The weights of the last one.
    """

    def __init__(self, config: TrainingConfig) -> None:
        """Make the folder.

        Raises:
            ArgumentError: The folder cannot be made or written.
        """
        self.path = config.out
        self.best = config.out / "best.safetensors"
        self.last = config.out / "last.safetensors"
        self._metrics = config.out / "metrics.jsonl"
        try:
            private_folder(config.out)
        except OSError as error:
            raise ArgumentError(
                f"cannot write the run's folder {config.out}: {error.strerror}"
            ) from error

    def write_config(self, config: TrainingConfig) -> None:
        """Write `config.toml`, every value spelled out, from which the run can be repeated."""
        spelled = replace(
            config,
            optimizer=replace(config.optimizer, rate=config.optimizer.peak_rate),
            schedule=replace(config.schedule, decay=config.schedule.factor or None),
        )
        write_atomic(self.path / "config.toml", to_toml(spelled).encode())

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
        copy_state(other, self.path, digest)

    def append(self, report: EpochReport) -> None:
        """Add an epoch's line to `metrics.jsonl`."""
        reports = [*self.reports(report.epoch - 1), report]
        lines = "".join(json.dumps(each.as_json(), sort_keys=True) + "\n" for each in reports)
        write_atomic(self._metrics, lines.encode())

    def reports(self, epochs: int) -> list[EpochReport]:
        """The first so many epochs' reports; a line past them was never completed.

        Raises:
            TrainingError: Lines are missing or damaged.
        """
        if epochs == 0:
            return []
        try:
            lines = self._metrics.read_text(encoding="utf-8").splitlines()[:epochs]
            reports = [EpochReport(**json.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                f"{self._metrics} is damaged: begin the run again in another folder"
            ) from error
        if len(reports) < epochs:
            raise TrainingError(
                f"{self._metrics} lacks epochs: begin the run again in another folder"
            )
        return reports


def fingerprint(
    config: TrainingConfig, *tensors: Tensor | None, teachers: Sequence[str] = ()
) -> str:
    """Digest of what decides a run's result: settings that matter, and what lies at its places.

    Args:
        config: The settings.
        *tensors: Photographs, names, and what teachers answered beforehand.
        teachers: Digests of the weights of those who watch.
    """
    settings = "".join(line for line in to_toml(config).splitlines() if not _is_outward(line))
    contents = [b"" if tensor is None else tensor.numpy().tobytes() for tensor in tensors]
    if (weights := initial_weights(config)) is not None:
        contents.append(sha256_of(weights).encode())
    contents += [digest.encode() for digest in teachers]
    return sha256_of("/".join(map(sha256_of, [settings.encode(), *contents])).encode())


def _is_outward(line: str) -> bool:
    """Whether a line of the config only says where something is, or what is shown."""
    places = {"out", "device", "folder", "cache", "identities", "unlabelled", "teacher", "init"}
    places |= {"validation", "test", "tensorboard", "excluded", "validation_identities"}
    places |= {"originals", "weights"}
    return line.partition(" = ")[0] in places
