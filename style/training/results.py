"""What a run reports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found at one checkpoint.

    Attributes:
        step: Steps done.
        steps: Length of the run.
        losses: Means since the checkpoint before, by name.
        held_out: Figures on photographs kept out of training; `distance` decides what is best.
        rate: The last learning rate.
        seconds: Since the checkpoint before.
        pictures_per_second: In the steps alone.
        best: Whether these weights are the best so far.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    held_out: Mapping[str, float]
    rate: float
    seconds: float
    pictures_per_second: float
    best: bool

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What came of a run.

    Attributes:
        out: Its folder.
        weights: The best weights.
        best_step: After which step.
        distance: Theirs on photographs kept out.
        missed: Photographs that could not be used, with the reason.
    """

    out: Path
    weights: Path
    best_step: int
    distance: float
    missed: tuple[tuple[Path, str], ...]
