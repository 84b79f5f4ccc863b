"""The model card that a run writes about its best weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.training.model_card import write_model_card
from data.files import printable
from data.tensors import read_metadata, read_tensors

from ..methods.method import DetectorFamily
from .config import DetectorTrainingConfig, MosaicSourceConfig
from .mosaics import Mosaics
from .teacher import Yunet

if TYPE_CHECKING:  # the trainer itself needs this module
    from .trainer import DetectorReport

_TEMPLATE = """# Model card: the detector {name}

| | |
|---|---|
| file | `{file}`, {size:.2f} MB, SHA-256 `{digest}` |
| network | {network}; {parameters:,} numbers |
| input | {input} |
| teacher | YuNet-n, SHA-256 `{teacher}`; and people's boxes where it overlooks a face |
| trained on | {sources} |
| mosaics | {count:,} of {side}×{side} px, {batch} a step |
| seed | {seed} |
| command | {command}, from random weights |
| steps | {done:,} of {steps:,}, the best after {best:,} |
| licence | {licence} |

## Figures on boxed photographs kept out

{validation}: average precision {precision:.3f} at an overlap of 0.4,
recall {recall:.3f} at a precision of 0.82. The checkpoint was chosen by the former, so both
flatter: quote another set.
"""


def write_card(
    config: DetectorTrainingConfig,
    method: DetectorFamily,
    mosaics: Mosaics,
    teacher: Yunet,
    weights: Path,
    reports: Sequence["DetectorReport"],
    best: int,
) -> None:
    """Write `model-card.md` into the run's folder.

    Args:
        config: Of the run.
        method: Which family of detectors.
        mosaics: That it has seen.
        teacher: Who labelled them.
        weights: The best ones, on disk.
        reports: Of every checkpoint that was completed.
        best: After which step they were saved.
    """
    says = read_metadata(weights)
    [figures] = [each for each in reports if each.step == best]
    write_model_card(
        config.out,
        weights,
        _TEMPLATE,
        header=("input", "licence"),
        name=method.name,
        network=method.summary,
        parameters=sum(tensor.numel() for tensor in read_tensors(weights).tensors.values()),
        teacher=teacher.sha256,
        sources="; ".join(
            f"{count:,} photographs ({_named(source)})"
            for source, count in zip(config.sources, mosaics.photographs, strict=True)
        ),
        count=config.mosaics.count,
        side=config.mosaics.side,
        batch=config.batch,
        seed=config.seed,
        command=f"`{says['command']}`" if says["command"] else "not recorded",
        done=reports[-1].step,
        steps=config.steps,
        best=best,
        validation=_named(config.validation),
        precision=figures.average_precision,
        recall=figures.recall,
    )


def _named(source: MosaicSourceConfig) -> str:
    """A source's folder, and which of its photographs."""
    folder = source.photographs
    name = printable(folder.parent.name if folder.name == "images" else folder.name)
    if source.count or source.skip:
        name += f" from number {source.skip + 1}" + (f", {source.count}" if source.count else "")
    return name + (", boxed" if source.annotations is not None else "")
