"""The inner loop: batch by batch through one epoch."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from backbones.network import Alteration, Backbone
from backbones.registry import create
from backbones.training.averaging import WeightAverage
from backbones.training.checkpoint import TrainingState, names_in
from backbones.training.distributed import Team
from backbones.training.optimizers import build_optimizer, set_momentum
from backbones.training.schedule import momentum_at, rate_factor
from data.errors import ArgumentError, TrainingError

from ..faces.alignment import crop_size
from .auxiliary import AuxiliaryHead
from .batches import Batch, BatchStream, Mixer, Mixture, epoch_seed
from .choices import LossName, MixupPlace, Precision
from .config import TrainingConfig
from .dataset import alignment_for
from .distillation import FeatureMaps, Lessons, Tapped, Watching, check_taps, taps_of
from .fast_layers import compiled, quicken
from .losses import Objective, build_objective
from .reports import TrainingProgress
from .transfer import begin, freeze_stages, initial_weights

ProgressCallback = Callable[[TrainingProgress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What changes from step to step."""

    network: Backbone
    objective: Objective
    optimizer: Optimizer
    average: WeightAverage | None

    @property
    def state(self) -> TrainingState:
        """The same as a checkpoint keeps it."""
        modules = {"network": self.network, "objective": self.objective}
        return TrainingState(modules, self.optimizer, self.average)


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
    config: TrainingConfig, network: Backbone, lessons: Lessons, *, people: int
) -> Parts:
    """Build objective, optimiser and average around a network, seeded.

    Args:
        config: Of the run.
        network: As `build_network` gives it.
        lessons: Of the networks that teach, if any do.
        people: In training.

    Raises:
        ArgumentError: They do not lie over the student's.
    """
    channels = {}
    if (teacher := lessons.watcher) is not None:
        check_taps(network.spec, teacher, taps_of(config))
        channels = {
            tap: (network.spec.tap(tap).channels, teacher.tap(tap).channels)
            for tap in taps_of(config)
        }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        objective = build_objective(
            config.losses,
            embedding_size=config.embedding_size,
            people=people,
            target_size=lessons.size,
            channels=channels,
            axes=lessons.axes,
            centres=lessons.centres,
        )
        for tap in network.spec.auxiliary_taps:
            head = AuxiliaryHead(network.spec.tap(tap).channels, network.spec.dimension)
            objective.auxiliary[tap] = head
        objective.to(network.normalise.mean.device)
    return Parts(
        network,
        objective,
        build_optimizer(config.optimizer, [network, objective]),
        WeightAverage(network, config.averaging) if config.averaging else None,
    )


def build_network(
    config: TrainingConfig, device: torch.device, *, state: Path | None = None
) -> Backbone:
    """Build what is trained, with random weights from the run's seed, or those to begin with.

    Args:
        config: Of the run.
        device: Where the network goes.
        state: The folder of a run whose state this one will take if it has none of its own. The
            network gets its attention where the state has it; numbers are not read here.

    Raises:
        ArgumentError: No backbone of that name, or none that takes these sizes or this norm; no
            file to begin with.
        WeightsError: That file is damaged or of another network.
    """
    side = crop_size(alignment_for(config.backbone))
    network = create(
        config.backbone,
        embedding_size=config.embedding_size,
        seed=config.seed,
        input_size=(side, side),
        norm=config.norm,
        attention=config.attention,
        activation=config.activation,
        head_pooling=config.head_pooling,
        conv=config.conv,
        stn=config.stn,
        width=config.width,
        resolution=config.resolution,
        cardinality=config.cardinality,
        weight_init=config.weight_init,
    )
    begin(network, initial_weights(config))
    trained = names_in(config.out, "network")
    if not trained and state is not None:
        trained = names_in(state, "network")
    network.attend_as(trained)
    network = network.to(device)
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
        watching: Watching | None = None,
        team: Team | None = None,
    ) -> None:
        """Put the loop together.

        Args:
            config: Of the run.
            parts: What is trained.
            batches: Of each epoch, of all processes together.
            device: Of this process.
            watching: Gives each view its target, after those that come with the batch.
            team: The processes; None: this one alone.

        Raises:
            ArgumentError: Feature maps shall be mixed, and they are in several processes; or there
                is no C++ compiler.
        """
        self._config = config
        self._parts = parts
        self._batches = batches
        self._device = device
        self._watching = watching
        self._team = team or Team()
        if self._team.size > 1 and config.mixup.where is MixupPlace.HIDDEN:
            raise ArgumentError("mixup at a hidden place needs the batch in one process")
        self._taps = parts.network.spec.taps
        self._trained = [p for group in parts.optimizer.param_groups for p in group["params"]]
        self._auxiliary = parts.network.spec.auxiliary_taps
        if self._team.size > 1 and self._auxiliary:
            raise ArgumentError(
                f"{parts.network.spec.name} has auxiliary losses, which need the batch in one "
                "process: take one process, or another backbone"
            )
        taps = dict.fromkeys((*taps_of(config), *self._auxiliary))
        tapped = Tapped(parts.network, tuple(taps))
        if self._team.size > 1 and taps_of(config):
            raise ArgumentError(
                f"the loss {LossName.FEATURES} needs the batch in one process: leave it out, or "
                "take one process"
            )
        self._embed = compiled(tapped) if config.compile else tapped

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
        seed = epoch_seed(self._config.seed, epoch)
        mixer = Mixer(self._config.mixup, [tap.name for tap in self._taps], seed=seed)
        self._parts.network.train()
        freeze_stages(self._parts.network, epoch, every=self._config.freeze)
        with torch.random.fork_rng(devices=[]):
            # For dropout. Alike in all processes: another draw may be one that they must share.
            torch.manual_seed(seed)
            for number, batch in enumerate(self._batches.epoch(epoch), start=1):
                self._set_rate((epoch - 1) * steps + number - 1)
                mixture = mixer.draw(len(batch.labels), self._device)
                losses = self._step(batch, mixture, f"epoch {epoch}, step {number}")
                for name, value in losses.items():
                    totals[name] = totals.get(name, 0.0) + value
                images += len(batch.labels)
                elapsed = time.perf_counter() - started
                left = (self._config.epochs - epoch + 1) * steps - number
                progress(
                    TrainingProgress(
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
        momentum = momentum_at(self._config.schedule, factor)
        for group in self._parts.optimizer.param_groups:
            group["lr"] = self._config.optimizer.peak_rate * factor
            if momentum is not None:
                set_momentum(group, momentum)

    def _step(self, batch: Batch, mixture: Mixture | None, where: str) -> dict[str, float]:
        """One step; the losses, the weighted sum as `total`."""
        images = batch.images
        if mixture is not None and mixture.tap is None:
            images = mixture(images)
        images = self._team.own(images)
        if self._config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            own, maps = self._embed(images, self._alterations(mixture))
            wanted: dict[str, Tensor] = {}
            if self._watching is not None:
                answers, wanted = self._watching(images)
                answers = self._team.gather(answers)
                before = batch.targets
                joined = answers if before is None else torch.cat([before, answers], dim=1)
                batch = replace(batch, targets=joined)
        # The losses are computed in float32: small differences of distances decide them.
        embeddings = self._team.gather(own.float())
        seen = FeatureMaps({tap: each.float() for tap, each in maps.items()}, wanted)
        total, parts = self._compare(embeddings, batch, mixture, seen)
        losses = {"total": float(total.detach())} | {n: float(v) for n, v in parts.items()}
        if not math.isfinite(losses["total"]):
            raise _diverged(f"the loss is {losses['total']} in {where}")
        self._parts.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._team.sum_gradients(self._parts.network, self._parts.objective)
        if self._config.optimizer.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, self._config.optimizer.clip)
        self._parts.optimizer.step()
        if self._parts.average is not None:
            self._parts.average.update(self._parts.network)
        return losses

    def _alterations(self, mixture: Mixture | None) -> dict[str, Alteration]:
        """What is done to feature maps on their way, by tap."""
        found: dict[str, Alteration] = {}
        if mixture is not None and mixture.tap is not None:
            found[mixture.tap] = mixture
        if self._config.dropout:
            last = self._taps[-1].name
            mixed = found.get(last)
            found[last] = self._drop if mixed is None else lambda x: self._drop(mixed(x))
        return found

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self._config.dropout, training=True)

    def _compare(
        self, embeddings: Tensor, batch: Batch, mixture: Mixture | None, maps: FeatureMaps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective: of the photographs, and of those mixed into them.

        A teacher that watched a mixture of images has answered it, and that holds for both.
        """
        total, parts = self._parts.objective(embeddings, batch.labels, batch.targets, maps)
        if mixture is None:
            return total, parts
        partner = mixture.partner
        targets = batch.targets
        if targets is not None and (self._watching is None or mixture.tap is not None):
            targets = targets[partner]
        other, others = self._parts.objective(embeddings, batch.labels[partner], targets, maps)
        share, rest = mixture.share, 1 - mixture.share
        mixed = {name: share * parts[name] + rest * others[name] for name in parts}
        return share * total + rest * other, mixed

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
