"""What its weights say about their making."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from backbones.training.model_card import write_model_card
from data.tensors import read_metadata

from .config import TrainingConfig
from .dataset import TrainingData
from .reports import TrainingResult
from .validation import FAR, ValidationFigures

# What a run's weights say about their making.


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
