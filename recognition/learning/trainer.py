"""One run, from a checked config to weights that know their threshold."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from backbones.binary_weights import pack_filters
from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.pair_unit import PairUnit
from backbones.spec import Alignment
from backbones.training.checkpoint import Position
from backbones.training.distributed import Team, join_team
from backbones.training.model_card import write_model_card
from backbones.training.run_folder import RunFolder, fingerprint
from backbones.weights import LoadedBackbone, load_backbone
from data.errors import ArgumentError, DatasetError
from data.files import data_home, sha256_of
from data.tensors import read_metadata

from .batches import BatchStream, build_sampler
from .choices import LossName, Sampling, Targets
from .config import BatchConfig, TrainingConfig
from .dataset import Aligner, TrainingData, alignment_for, load_data
from .distillation import (
    TARGETS,
    Lessons,
    Watching,
    class_centres,
    load_teacher,
    principal_axes,
    taps_of,
    teacher_targets,
)
from .epoch import EpochLoop, EpochLosses, Parts, ProgressCallback, build_network, build_parts
from .losses import PairClassifier
from .plots import Logbook, check_tensorboard, weights_figures
from .reports import EpochReport, TrainingProgress, TrainingResult, verdict
from .transfer import initial_weights
from .validation import (
    FAR,
    MOST_PER_PERSON,
    ValidationFigures,
    check_metric,
    compare,
    compare_people,
    fit_pair_unit,
    verify_people,
)

_MOST_FOR_AXES = 4_000
"""Photographs whose answers decide the axes: many more than a joined embedding has numbers."""
_BATCH = 64


def read_data(config: TrainingConfig, device: torch.device, tell: ProgressCallback) -> TrainingData:
    """Align, split, and check that the people kept out can measure what is asked for.

    Raises:
        DatasetError: The photographs cannot be used.
    """
    data = _aligned(config, alignment_for(config.backbone), device, tell)
    check_metric(config.metric, data.validation.some_of_each(MOST_PER_PERSON))
    return data


def _aligned(
    config: TrainingConfig, alignment: Alignment, device: torch.device, tell: ProgressCallback
) -> TrainingData:
    aligner = Aligner(
        config.data.cache or data_home() / "aligned",
        alignment=alignment,
        device=device.type,
        progress=lambda done, total: tell(TrainingProgress("photographs", done, total)),
    )
    return load_data(config.data, aligner, seed=config.seed)


def teaching(
    config: TrainingConfig,
    teachers: Sequence[LoadedBackbone],
    data: TrainingData,
    run: RunFolder[EpochReport],
    tell: ProgressCallback,
) -> Lessons:
    """Let the networks that teach answer beforehand, or prepare to watch every view.

    Args:
        config: Of the run.
        teachers: Of `config.taught_by`, in that order.
        data: What the student sees.
        run: Where answers are kept.
        tell: Told about photographs.

    Raises:
        ArgumentError: A teacher that shall watch wants faces aligned otherwise than the student,
            or the feature maps of several that watch shall be compared.
    """
    if not teachers:
        return Lessons()
    total = sum(each.weight for each in config.taught_by)
    roots = [math.sqrt(each.weight / total) for each in config.taught_by]
    before, watchers = list[Tensor](), list[tuple[LoadedBackbone, float]]()
    for number, (told, teacher) in enumerate(zip(config.taught_by, teachers, strict=True)):
        if told.targets is Targets.PHOTOGRAPHS:
            cache = run.path / _targets_file(number)
            before.append(_targets(config, teacher, data, cache, tell) * roots[number])
        else:
            _check_watcher(config, teacher)
            watchers.append((teacher, roots[number]))
    if taps_of(config) and len(watchers) > 1:
        raise ArgumentError("feature maps are those of one teacher: of these, two see the views")
    watching = None
    if watchers:
        watching = Watching(watchers, compile=config.compile, taps=taps_of(config))
    targets = torch.cat(before, dim=2) if before else None
    size = sum(teacher.backbone.spec.dimension for teacher in teachers)
    names = {term.name for term in config.losses}
    axes = centres = None
    if LossName.DISTILL in names and size > config.embedding_size:
        every = max(1, len(data.training) // _MOST_FOR_AXES)
        answers = _answers(watching, targets, data, torch.arange(0, len(data.training), every))
        axes = principal_axes(answers.flatten(0, 1), config.embedding_size)
    if LossName.SOFTENED in names:
        rows = (data.training.labels >= 0).nonzero()[:, 0]
        answers = _answers(watching, targets, data, rows)
        centres = class_centres(answers, data.training.labels[rows], len(data.training.people))
    watcher = watchers[0][0].backbone.spec if watchers and taps_of(config) else None
    return Lessons(watching, targets, axes, centres, size, watcher)


def _targets_file(number: int) -> str:
    """Where a teacher's answers are kept, counted from 0."""
    stem, _, suffix = TARGETS.partition(".")
    return TARGETS if number == 0 else f"{stem}-{number + 1}.{suffix}"


def _check_watcher(config: TrainingConfig, teacher: LoadedBackbone) -> None:
    if alignment_for(config.backbone) is not teacher.alignment:
        raise ArgumentError(
            f"the teacher cannot watch {config.backbone}, which sees faces aligned otherwise: "
            f"set targets to {Targets.PHOTOGRAPHS}"
        )


def _answers(
    watching: Watching | None, targets: Tensor | None, data: TrainingData, rows: Tensor
) -> Tensor:
    """All teachers' joined answers to some photographs as they are, and mirrored: (n, 2, T)."""
    before = targets[rows] if targets is not None else None
    if watching is None:
        assert before is not None
        return before
    said = [before] if before is not None else []
    chunks = [part.float() / 255 for part in torch.split(data.training.pixels[rows], _BATCH)]
    as_is = torch.cat([watching(images)[0].cpu() for images in chunks])
    mirrored = torch.cat([watching(images.flip(3))[0].cpu() for images in chunks])
    return torch.cat([*said, torch.stack([as_is, mirrored], dim=1)], dim=2)


def _targets(
    config: TrainingConfig,
    teacher: LoadedBackbone,
    data: TrainingData,
    cache: Path,
    tell: ProgressCallback,
) -> Tensor:
    """A teacher's answers; it sees the faces aligned as it was taught, not as the student."""
    if alignment_for(config.backbone) is not teacher.alignment:
        device = teacher.backbone.normalise.mean.device
        data = _as_before(data, _aligned(config, teacher.alignment, device, tell))
    return teacher_targets(
        teacher,
        data.training.pixels,
        cache,
        progress=lambda done, total: tell(TrainingProgress("teacher", done, total)),
    )


def _as_before(before: TrainingData, again: TrainingData) -> TrainingData:
    """What was read again, once it is known to show the same photographs in the same order.

    Raises:
        DatasetError: The folders changed in between.
    """
    paths = [[item.path for item in data.missed] for data in (before, again)]
    labels = [data.training.labels for data in (before, again)]
    if paths[0] != paths[1] or not torch.equal(labels[0], labels[1]):
        raise DatasetError("the photographs changed while they were read: begin again")
    return again


# One training run, from a checked config to weights that know their threshold.

EpochCallback = Callable[[EpochReport], None]


def train(
    config: TrainingConfig,
    report: EpochCallback | None = None,
    *,
    progress: ProgressCallback | None = None,
    command: str = "",
    begin: Path | None = None,
) -> TrainingResult:
    """Train an embedding, or go on with a run that was interrupted.

    Started by `torchrun`, every process calls this with the same arguments, and every batch is
    dealt out to them. The first one writes and reports; all get the result.

    Args:
        config: All settings.
        report: Told about each epoch.
        progress: Told about photographs and steps as they are done.
        command: What the weights' metadata gives as the command that made them.
        begin: The folder of a run whose state a new run begins with; None: random weights.

    Raises:
        DatasetError: The photographs cannot be used.
        ArgumentError: A batch over the data set or not to be dealt out evenly, an unwritable
            folder, a missing device.
        WeightsError: The teacher's file is no usable weights file.
        TrainingError: The loss is no finite number, the last good weights are untouched; or the
            folder holds a run with other settings; or another process has ended.
    """
    if config.tensorboard:
        check_tensorboard()
    team, device = join_team(config.device)
    if not team.first:
        report = progress = None
    tell = progress or (lambda _: None)
    network = build_network(config, device, state=begin)
    teachers = [load_teacher(told.weights, device) for told in config.taught_by]
    with team.one_by_one():
        data = read_data(config, device, tell)
    sampler = build_sampler(data.training, config)
    check_batch(
        team, config.batch, people=len(data.training.people), photographs=len(data.training)
    )
    run = run_folder(config)  # nothing is written before everything has been checked
    with team.one_by_one():
        lessons = teaching(config, teachers, data, run, tell)
    parts = build_parts(config, network, lessons, people=len(data.training.people))
    batches = BatchStream(data.training, sampler, lessons.targets, config, device)
    watching = [
        teacher.weights.sha256
        for told, teacher in zip(config.taught_by, teachers, strict=True)
        if told.targets is Targets.VIEWS
    ]
    digest = digest_of(
        config, data.training.pixels, data.training.labels, lessons.targets, teachers=watching
    )
    if begin is not None:
        run.begin_as(begin, digest)
    trainer = Trainer(
        config,
        data,
        parts,
        EpochLoop(config, parts, batches, device, lessons.watching, team),
        run,
        team,
        prose=describe(config, data, command),
        digest=digest,
    )
    return trainer.fit(report or (lambda _: None), tell)


def run_folder(config: TrainingConfig) -> RunFolder[EpochReport]:
    """The folder of a run, which is made.

    Raises:
        ArgumentError: It cannot be made.
    """
    return RunFolder(config.out, EpochReport, unit="epoch")


def check_batch(team: Team, batch: BatchConfig, *, people: int, photographs: int) -> None:
    """Refuse a batch that cannot be dealt out evenly to the processes of a run.

    Args:
        team: The processes.
        batch: What a step sees, all processes together.
        people: In training.
        photographs: In training.

    Raises:
        ArgumentError: Its people (or photographs, where it is not drawn by person) are no
            multiple of the processes, or a process is left with one photograph.
    """
    if batch.sampling is Sampling.PEOPLE:
        count = batch.people_of(people)
        team.check_batch(count, "people", each=batch.photographs, key="batch.people")
    else:
        team.check_batch(batch.size_of(photographs), "photographs", key="batch.people")


_OUTWARD = {"out", "device", "folder", "cache", "identities", "unlabelled", "teacher", "init"}
_OUTWARD |= {"validation", "test", "tensorboard", "excluded", "validation_identities"}
_OUTWARD |= {"originals", "weights"}
"""Settings that only say where something is, or what is shown."""


def digest_of(config: TrainingConfig, *tensors: Tensor | None, teachers: Sequence[str] = ()) -> str:
    """Digest of what decides a run's result.

    Args:
        config: The settings.
        *tensors: Photographs, names, and what teachers answered beforehand.
        teachers: Digests of the weights of those who watch.
    """
    contents = [b"" if tensor is None else tensor.numpy().tobytes() for tensor in tensors]
    if (weights := initial_weights(config)) is not None:
        contents.append(sha256_of(weights).encode())
    return fingerprint(config, _OUTWARD, [*contents, *(each.encode() for each in teachers)])


class Trainer:
    """Epoch after epoch: steps, validation, checkpoint."""

    def __init__(
        self,
        config: TrainingConfig,
        data: TrainingData,
        parts: Parts,
        loop: EpochLoop,
        run: RunFolder[EpochReport],
        team: Team,
        *,
        prose: dict[str, str],
        digest: str,
    ) -> None:
        """Put a run together.

        Args:
            config: All settings.
            data: Photographs.
            parts: What is trained.
            loop: Takes them through an epoch.
            run: Where results go.
            team: The processes that take part.
            prose: What the weights' metadata says about their making.
            digest: Of what decides the result; a state with another one is not gone on with.
        """
        self._config, self._data, self._parts, self._loop = config, data, parts, loop
        self._run, self._team, self._prose, self._digest = run, team, prose, digest
        self._checkpoint = run.checkpoint(digest)
        self._held_out = data.validation.some_of_each(MOST_PER_PERSON)

    def fit(self, report: EpochCallback, progress: ProgressCallback) -> TrainingResult:
        """Run the epochs that are left."""
        position = self._checkpoint.load(self._parts.state)
        self._team.check_alike(self._digest, position)
        with self._logbook(position) as logbook:
            while position.done < self._config.epochs and not self._is_idle(position):
                started = time.perf_counter()
                losses = self._loop.run(position.done + 1, progress)
                if logbook is not None:
                    position, done = self._complete(position, losses, started)
                    logbook.add(done)
                    report(done)
                position = self._team.share(position)
            return self._result(position, logbook)

    def _logbook(self, position: Position) -> AbstractContextManager[Logbook | None]:
        """What the first process writes, besides weights and state; None for the others."""
        if not self._team.first:
            return nullcontext()
        optimizer, schedule = self._config.optimizer, self._config.schedule
        spelled = replace(
            self._config,
            optimizer=replace(optimizer, rate=optimizer.peak_rate),
            schedule=replace(schedule, decay=schedule.factor or None),
        )
        self._run.write_config(spelled)
        return Logbook(self._config, self._run.reports(position.done))

    def _is_idle(self, position: Position) -> bool:
        """Whether the metric has not risen for as long as the run would wait."""
        patience = self._config.patience
        return patience is not None and position.done - position.best_at >= patience

    def _complete(
        self, before: Position, losses: EpochLosses, started: float
    ) -> tuple[Position, EpochReport]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        network = self._averaged()
        measured = verify_people(network, self._held_out, mirror=self._config.mirror)
        epoch, value = before.done + 1, measured.value(self._config.metric)
        # Without a figure, later is better.
        best = before.best is None or value is None or value > before.best
        metadata = self._metadata(network, measured, epoch)
        state = network.state_dict()
        if (unit := self._pair_unit(network)) is not None:
            state, metadata = state | unit.tensors(), metadata | unit.metadata()
        state, metadata = pack_filters(network, state, metadata)
        self._run.write_weights(state, metadata, best=best)
        done = EpochReport(
            epoch=epoch,
            epochs=self._config.epochs,
            train_loss=losses.total,
            losses=losses.parts,
            val_auc=measured.auc,
            val_tar=measured.tar,
            learning_rate=self._loop.rate,
            seconds=time.perf_counter() - started,
            images_per_second=losses.images / losses.seconds,
            best=best,
        )
        self._run.append(done, after=before.done)
        position = Position(epoch, value, epoch) if best else replace(before, done=epoch)
        self._checkpoint.save(self._parts.state, position)
        return position, done

    def _pair_unit(self, network: Backbone) -> PairUnit | None:
        """What the loss `pair` has learnt beside the network, fitted to the people kept out."""
        term = self._parts.objective.terms._modules.get(LossName.PAIR)
        if not isinstance(term, PairClassifier):
            return None
        return fit_pair_unit(network, term, self._held_out, mirror=self._config.mirror)

    def _averaged(self) -> Backbone:
        """The network as it is validated and saved: its own copy, in eval mode."""
        network = deepcopy(self._parts.network).eval()
        if self._parts.average is not None:
            network.load_state_dict(self._parts.average.averaged(self._parts.network))
        return network

    def _metadata(
        self, network: Backbone, measured: ValidationFigures, epoch: int
    ) -> dict[str, str]:
        """What the weights file says about itself."""
        return weights_metadata(
            replace(network.spec, alignment=alignment_for(self._config.backbone)),
            mirror=self._config.mirror,
            threshold=measured.threshold,
            threshold_provenance=(
                f"cosine similarity at FAR 1 % over {measured.impostor:,} impostor pairs of "
                f"{len(self._held_out.people)} people kept out of training, who also chose the "
                "epoch"
            ),
            epoch=str(epoch),
            **self._prose,
        )

    def _result(self, position: Position, logbook: Logbook | None) -> TrainingResult:
        """Judge the best weights, draw them and write the model card."""
        device = self._parts.network.normalise.mean.device
        backbone = load_backbone(None, weights=self._run.best, device=device).backbone
        trained = self._data.training.some_people(len(self._held_out.people))
        groups = {
            "training": trained.some_of_each(MOST_PER_PERSON),
            "validation": self._held_out,
            "test": self._data.test.some_of_each(MOST_PER_PERSON),
        }
        pairs = {
            name: compare_people(backbone, people, mirror=self._config.mirror)
            for name, people in groups.items()
            if len(people) > 1
        }
        measured = {name: compare(each.genuine, each.impostor) for name, each in pairs.items()}
        result = TrainingResult(
            out=self._run.path,
            weights=self._run.best,
            best_epoch=position.best_at,
            epochs=tuple(self._run.reports(position.done)),
            measured=measured,
            verdict=verdict(
                measured["training"],
                measured["validation"],
                people=(groups["training"].compared, groups["validation"].compared),
            ),
            missed=self._data.missed,
            doubts=self._data.doubts,
            accounts=self._data.accounts,
        )
        if logbook is not None:
            held_out, mirror = self._data.validation, self._config.mirror
            logbook.finish(weights_figures(backbone, pairs, held_out, mirror=mirror))
            write_card(self._config, result)
        return result


def describe(config: TrainingConfig, data: TrainingData, command: str) -> dict[str, str]:
    """Text fields for the header of a weights file; folders by their names, never their paths.

    Args:
        config: Of the run.
        data: What it trains on.
        command: That started it; left out if empty.
    """
    named = int((data.training.labels >= 0).sum())
    unnamed = len(data.training) - named
    people = [config.data.folder, *(s.folder for s in config.data.more if s.named)]
    others = [s.folder for s in config.data.more if not s.named]
    if config.data.unlabelled is not None:
        others.append(config.data.unlabelled)
    sources = f"{_names(people)}: {len(data.training.people):,} people in {named:,} photographs"
    if others:
        sources += f"; {_names(others)}: {unnamed:,} photographs without names"
    if config.taught_by:
        sources += f"; taught by {' and '.join(each.weights.name for each in config.taught_by)}"
    losses = " + ".join(f"{term.weight:g} {term.name}" for term in config.losses)
    first = "random weights" if config.init is None else config.init.name
    fields = {
        "training_data": sources,
        "objective": losses,
        "seed": str(config.seed),
        "source": f"likeness train, from {first}",
        "torch": torch.__version__,
    }
    return fields | ({"command": command} if command else {})


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


# The model card that a run writes about its best weights.

_TEMPLATE = """# Model card: {name}

| | |
|---|---|
| file | `{file}`, {size:.1f} MB, SHA-256 `{digest}` |
| network | {architecture}: {input_size} RGB, aligned `{alignment}`, to {embedding} numbers |
| mirrored image's embedding appended | {mirror} |
| threshold | {threshold} |
| trained on | {training_data} |
| objective | {objective} |
| seed | {seed} |
| command | {command} |
| epochs | {epochs} done, the best was number {best_epoch} |

## Figures

People never trained on are those of validation, who chose the epoch and the threshold, and of test,
if any were kept. At most four photographs of a person count.

| people | genuine pairs | impostor pairs | AUC | TAR at FAR {far:.0%} |
|---|---|---|---|---|
{figures}

{verdict}

## What it is for, and what it is poor at

It tells whether two aligned photographs show one person, and holds for people who look like those
of its training data: age, origin, camera and pose that are rare there are recognised less well, and
none of that is measured here. It does not tell a face from a picture of a face. Photographs smaller
than the input, turned away or covered give unreliable embeddings. The licence of the training
photographs binds the use of these weights.
"""


def write_card(config: TrainingConfig, result: TrainingResult) -> None:
    """Write `model-card.md` into the run's folder.

    Args:
        config: Of the run.
        result: With the weights on disk, whose header holds what the card says.
    """
    write_model_card(
        config.out,
        result.weights,
        _TEMPLATE,
        header=_FROM_HEADER,
        name=config.out.name,
        threshold=_threshold(read_metadata(result.weights)),
        epochs=len(result.epochs),
        best_epoch=result.best_epoch,
        far=FAR,
        figures="\n".join(_row(name, figures) for name, figures in result.measured.items()),
        verdict=result.verdict,
    )


_FROM_HEADER = (
    "architecture",
    "input_size",
    "alignment",
    "embedding",
    "mirror",
    "training_data",
    "objective",
    "seed",
    "command",
)


def _threshold(says: Mapping[str, str]) -> str:
    if "threshold" not in says:
        return "none: too few impostor pairs to measure one; give your own"
    return f"{float(says['threshold']):.3f}: {says['threshold_provenance']}"


def _row(name: str, figures: ValidationFigures) -> str:
    numbers = ["–" if value is None else f"{value:.4f}" for value in (figures.auc, figures.tar)]
    return f"| {name} | {figures.genuine:,} | {figures.impostor:,} | {' | '.join(numbers)} |"
