"""The inner loop: batch by batch through one epoch."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from backbones.network import Backbone
from backbones.registry import create
from data.errors import TrainingError

from .aligned import SIDE
from .averaging import WeightAverage
from .batches import Batch, BatchStream, epoch_seed
from .checkpoint import Parts
from .choices import Precision
from .config import TrainingConfig
from .distributed import Team
from .losses import build_objective
from .optimizers import build_optimizer
from .quick import compiled, quicken
from .reports import Progress
from .schedule import rate_factor

ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class EpochLosses:
    """What one time through the data came to.

    Attributes:
        total: Mean of the weighted sum over the steps.
        parts: Mean of each term before its weight.
        images: Photographs seen.
        seconds: They took.
    """

    total: float
    parts: dict[str, float]
    images: int
    seconds: float


def build_parts(
    config: TrainingConfig, network: Backbone, *, people: int, target_size: int | None
) -> Parts:
    """Build objective, optimiser and average around a network, seeded.

    Args:
        config: Of the run.
        network: As `build_network` gives it.
        people: In training.
        target_size: T of the teacher; None without one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        objective = build_objective(
            config.losses,
            embedding_size=config.embedding_size,
            people=people,
            target_size=target_size,
        ).to(network.normalise.mean.device)
    return Parts(
        network,
        objective,
        build_optimizer(config.optimizer, [network, objective]),
        WeightAverage(network, config.averaging) if config.averaging else None,
    )


def build_network(config: TrainingConfig, device: torch.device) -> Backbone:
    """Build what is trained, with random weights from the run's seed.

    Raises:
        ArgumentError: No backbone of that name, or none that takes these sizes or this norm.
    """
    network = create(
        config.backbone,
        embedding_size=config.embedding_size,
        seed=config.seed,
        input_size=(SIDE, SIDE),
        norm=config.norm,
    ).to(device)
    if device.type == "cpu":
        quicken(network)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network.requires_grad_(True)


class EpochLoop:
    """Steps through epochs, changing the parts in place."""

    def __init__(
        self,
        config: TrainingConfig,
        parts: Parts,
        batches: BatchStream,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        """Put the loop together.

        Args:
            config: Of the run.
            parts: What is trained.
            batches: Of all processes together.
            device: Of this process.
            team: The processes; None: this one alone.
        """
        self._config = config
        self._parts = parts
        self._batches = batches
        self._device = device
        self._team = team or Team()
        self._trained = [p for group in parts.optimizer.param_groups for p in group["params"]]
        self._embed = compiled(parts.network) if config.compile else parts.network

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._parts.optimizer.param_groups[0]["lr"])

    def run(self, epoch: int, progress: ProgressCallback) -> EpochLosses:
        """Go through the data once.

        Args:
            epoch: Counted from 1.
            progress: Told after every step.

        Raises:
            TrainingError: The loss or a weight is no finite number.
        """
        steps = len(self._batches)
        totals: dict[str, float] = {}
        images, started = 0, time.perf_counter()
        self._parts.network.train()
        with torch.random.fork_rng(devices=[]):
            # For dropout. Alike in all processes: another draw may be one that they must share.
            torch.manual_seed(epoch_seed(self._config.seed, epoch))
            for number, batch in enumerate(self._batches.epoch(epoch), start=1):
                self._set_rate((epoch - 1) * steps + number - 1)
                losses = self._step(batch, f"epoch {epoch}, step {number}")
                for name, value in losses.items():
                    totals[name] = totals.get(name, 0.0) + value
                images += len(batch.labels)
                elapsed = time.perf_counter() - started
                left = (self._config.epochs - epoch + 1) * steps - number
                progress(
                    Progress(
                        stage=f"epoch {epoch} of {self._config.epochs}",
                        done=number,
                        total=steps,
                        loss=losses["total"],
                        images_per_second=images / elapsed,
                        seconds_left=left * elapsed / number,
                    )
                )
        self._check_weights(f"after epoch {epoch}")
        means = {name: value / steps for name, value in totals.items()}
        return EpochLosses(means.pop("total"), means, images, time.perf_counter() - started)

    def _set_rate(self, step: int) -> None:
        factor = rate_factor(
            self._config.schedule,
            step,
            epochs=self._config.epochs,
            steps_per_epoch=len(self._batches),
        )
        for group in self._parts.optimizer.param_groups:
            group["lr"] = self._config.optimizer.rate * factor

    def _step(self, batch: Batch, where: str) -> dict[str, float]:
        """One step; the losses, the weighted sum as `total`."""
        images = self._team.own(batch.images)
        if self._config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            own = self._embed(images)
        # The losses are computed in float32: small differences of distances decide them.
        embeddings = self._team.gather(own.float())
        total, parts = self._parts.objective(embeddings, batch.labels, batch.targets)
        losses = {"total": float(total.detach())} | {n: float(v) for n, v in parts.items()}
        if not math.isfinite(losses["total"]):
            raise _diverged(f"the loss is {losses['total']} in {where}")
        self._parts.optimizer.zero_grad()
        total.backward()
        self._team.sum_gradients(self._parts)
        if self._config.optimizer.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, self._config.optimizer.clip)
        self._parts.optimizer.step()
        if self._parts.average is not None:
            self._parts.average.update(self._parts.network)
        return losses

    def _check_weights(self, when: str) -> None:
        """The last step's loss came before its weights: they may be what is no number."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self._trained):
            raise _diverged(f"a weight is no finite number {when}")

    def _autocast(self) -> AbstractContextManager[None]:
        enabled = self._config.precision is Precision.BF16
        return torch.autocast(self._device.type, torch.bfloat16, enabled=enabled)


def _diverged(what: str) -> TrainingError:
    return TrainingError(
        f"{what}: lower the learning rate; the weights of the last whole epoch are kept"
    )
