"""What a run's weights say about their making."""

from collections.abc import Sequence
from pathlib import Path

import torch

from .config import TrainingConfig
from .photographs import TrainingData


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
