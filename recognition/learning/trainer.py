"""One training run, from a checked config to weights that know their threshold."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import create
from backbones.spec import Alignment
from backbones.weights import load_backbone, resolve_device
from data.errors import TrainingError
from data.files import data_home

from .aligned import SIDE, Aligner
from .averaging import WeightAverage
from .batches import Batch, BatchStream
from .checkpoint import Parts, Position, load_state, save_state
from .choices import Metric, Precision
from .config import TrainingConfig
from .distillation import load_teacher, teacher_targets
from .losses import Objective, build_objective
from .optimizers import build_optimizer
from .photographs import TrainingData, load_data
from .prelu import quicken
from .provenance import describe
from .reports import EpochReport, Progress, TrainingResult
from .runs import RunFolder, fingerprint
from .schedule import rate_factor
from .validation import Verification, verify_people
from .verdict import verdict

MOST_PER_PERSON = 4
"""Photographs a person in validation, so that the most photographed do not decide alone."""

EpochCallback = Callable[[EpochReport], None]
ProgressCallback = Callable[[Progress], None]


def train(
    config: TrainingConfig,
    report: EpochCallback | None = None,
    *,
    progress: ProgressCallback | None = None,
    command: str = "",
) -> TrainingResult:
    """Train an embedding, or go on with a run that was interrupted.

    Args:
        config: All settings.
        report: Told about each epoch.
        progress: Told about photographs and steps as they are done.
        command: What the weights' metadata gives as the command that made them.

    Raises:
        DatasetError: The photographs cannot be used.
        ArgumentError: A batch over the data set, an unwritable folder, a missing device.
        WeightsError: The teacher's file is no usable weights file.
        TrainingError: The loss is no finite number; the last good weights are untouched.
    """
    tell = progress or (lambda _: None)
    device = resolve_device(config.device)
    aligner = Aligner(
        config.data.cache or data_home() / "aligned",
        device=device.type,
        progress=lambda done, total: tell(Progress("photographs", done, total)),
    )
    data = load_data(config.data, aligner, seed=config.seed)
    run = RunFolder(config)
    targets = None
    if config.teacher is not None:
        targets = teacher_targets(
            load_teacher(config.teacher, device),
            data.training.pixels,
            config.out / "teacher-targets.safetensors",
            progress=lambda done, total: tell(Progress("teacher", done, total)),
        )
    trainer = Trainer(config, data, targets, run, device, describe(config, data, command))
    return trainer.fit(report or (lambda _: None), tell)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One time through the data."""

    loss: float
    losses: dict[str, float]
    images: int
    seconds: float


class Trainer:
    """The loop: steps, validation, checkpoints."""

    def __init__(
        self,
        config: TrainingConfig,
        data: TrainingData,
        targets: Tensor | None,
        run: RunFolder,
        device: torch.device,
        prose: dict[str, str],
    ) -> None:
        """Build network, objective and optimiser, seeded.

        Args:
            config: All settings.
            data: Photographs.
            targets: (N, 2, T) the teacher's embeddings; None without a teacher.
            run: Where results go.
            device: Where to train.
            prose: What the weights' metadata says about their making.
        """
        self._config, self._data, self._run, self._device = config, data, run, device
        self._prose = prose
        self._batches = BatchStream(data.training, targets, config, device)
        self._network = self._build_network()
        self._objective = self._build_objective(targets)
        self._optimizer = build_optimizer(config.optimizer, [self._network, self._objective])
        average = WeightAverage(self._network, config.averaging) if config.averaging else None
        self._parts = Parts(self._network, self._objective, self._optimizer, average)
        self._fingerprint = fingerprint(config, data.training.pixels, data.training.labels, targets)
        self._held_out = data.validation.first_of_each(MOST_PER_PERSON)

    def fit(self, report: EpochCallback, progress: ProgressCallback) -> TrainingResult:
        """Run the epochs that are left."""
        config = self._config
        position = load_state(self._run.path, self._parts, self._fingerprint)
        while position.epoch < config.epochs and not self._is_idle(position):
            started = time.perf_counter()
            done = self._train_epoch(position.epoch + 1, progress)
            position, epoch_report = self._complete(position, done, started)
            report(epoch_report)
        return self._result(position)

    def _build_network(self) -> Backbone:
        config = self._config
        network = create(
            config.backbone,
            embedding_size=config.embedding_size,
            seed=config.seed,
            input_size=(SIDE, SIDE),
        ).to(self._device)
        if self._device.type == "cpu":
            quicken(network)
        if config.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return network.requires_grad_(True)

    def _build_objective(self, targets: Tensor | None) -> Objective:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._config.seed)
            return build_objective(
                self._config.losses,
                embedding_size=self._config.embedding_size,
                people=len(self._data.training.people),
                target_size=None if targets is None else targets.shape[2],
            ).to(self._device)

    def _is_idle(self, position: Position) -> bool:
        """Whether the metric has not risen for as long as the run would wait."""
        patience = self._config.patience
        return patience is not None and position.epoch - position.best_epoch >= patience

    def _train_epoch(self, epoch: int, progress: ProgressCallback) -> _Pass:
        config, steps = self._config, len(self._batches)
        self._network.train()
        totals: dict[str, float] = {}
        images, started = 0, time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed * 1_000_003 + epoch)  # for dropout
            for number, batch in enumerate(self._batches.epoch(epoch), start=1):
                self._set_rate((epoch - 1) * steps + number - 1)
                parts = self._step(batch, epoch, number)
                for name, value in parts.items():
                    totals[name] = totals.get(name, 0.0) + value
                images += len(batch.labels)
                rate = images / (time.perf_counter() - started)
                left = ((config.epochs - epoch + 1) * steps - number) * len(batch.labels) / rate
                stage = f"epoch {epoch} of {config.epochs}"
                progress(Progress(stage, number, steps, parts["total"], rate, left))
        means = {name: value / steps for name, value in totals.items()}
        return _Pass(means.pop("total"), means, images, time.perf_counter() - started)

    def _set_rate(self, step: int) -> None:
        factor = rate_factor(
            self._config.schedule,
            step,
            epochs=self._config.epochs,
            steps_per_epoch=len(self._batches),
        )
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.optimizer.rate * factor

    def _step(self, batch: Batch, epoch: int, number: int) -> dict[str, float]:
        """One step; the losses, the weighted sum under `total`."""
        images = batch.images
        if self._config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            embeddings = self._network(images)
        total, parts = self._objective(embeddings.float(), batch.labels, batch.targets)
        loss = float(total.detach())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch}, step {number}: lower the learning rate; "
                f"{self._run.path} keeps the weights of the last whole epoch"
            )
        self._optimizer.zero_grad()
        total.backward()
        if self._config.optimizer.clip is not None:
            trained = [p for group in self._optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self._config.optimizer.clip)
        self._optimizer.step()
        if self._parts.average is not None:
            self._parts.average.update(self._network)
        return {"total": loss, **{name: float(value) for name, value in parts.items()}}

    def _autocast(self) -> AbstractContextManager[None]:
        enabled = self._config.precision is Precision.BF16
        return torch.autocast(self._device.type, torch.bfloat16, enabled=enabled)

    def _complete(
        self, before: Position, done: _Pass, started: float
    ) -> tuple[Position, EpochReport]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        network = self._averaged()
        measured = verify_people(network, self._held_out, mirror=self._config.mirror)
        epoch = before.epoch + 1
        value = self._metric(measured)
        best = before.best is None or value > before.best
        self._run.write_weights(
            network.state_dict(), self._metadata(network, measured, epoch), best=best
        )
        position = Position(epoch, value, epoch) if best else replace(before, epoch=epoch)
        report = EpochReport(
            epoch=epoch,
            epochs=self._config.epochs,
            train_loss=done.loss,
            losses=done.losses,
            val_auc=measured.auc,
            val_tar=measured.tar,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            seconds=time.perf_counter() - started,
            images_per_second=done.images / done.seconds,
            best=best,
        )
        self._run.append(report)
        save_state(self._run.path, self._parts, position, self._fingerprint)
        return position, report

    def _averaged(self) -> Backbone:
        """The network as it is validated and saved: its own copy, in eval mode."""
        network = deepcopy(self._network).eval()
        if self._parts.average is not None:
            network.load_state_dict(self._parts.average.averaged(self._network))
        return network

    def _metric(self, measured: Verification) -> float:
        if self._config.metric is Metric.TAR and measured.tar is not None:
            return measured.tar
        return measured.auc

    def _metadata(self, network: Backbone, measured: Verification, epoch: int) -> dict[str, str]:
        """What the weights file says about itself."""
        spec = replace(network.spec, alignment=Alignment.FIVE_POINT)
        people = len(self._held_out.people)
        return weights_metadata(
            spec,
            mirror=self._config.mirror,
            threshold=measured.threshold,
            threshold_provenance=(
                f"cosine similarity at FAR 1 % over {measured.impostor:,} impostor pairs of "
                f"{people} people kept out of training, who also chose the epoch"
            ),
            epoch=str(epoch),
            **self._prose,
        )

    def _result(self, position: Position) -> TrainingResult:
        best = load_backbone(None, weights=self._run.best, device=self._device).backbone
        few = self._data.training.some_people(len(self._held_out.people))
        few = few.first_of_each(MOST_PER_PERSON)
        judged = verdict(
            verify_people(best, few, mirror=self._config.mirror),
            verify_people(best, self._held_out, mirror=self._config.mirror),
        )
        return TrainingResult(
            out=self._run.path,
            weights=self._run.best,
            best_epoch=position.best_epoch,
            epochs=tuple(self._run.reports(position.epoch)),
            verdict=judged,
            missed=self._data.missed,
        )
