"""The model card that a run writes about its best weights."""

from collections.abc import Sequence

from data.files import sha256_of, write_atomic
from data.tensors import read_metadata

from .config import Task, TrainingConfig
from .results import Report, TrainingResult

_TITLES = {Task.NETWORK: "a network for style", Task.DRAFT: "a decoder of drafts"}
_TEMPLATE = """# Model card: {title}

| | |
|---|---|
| file | `{file}`, {size:.1f} MB, SHA-256 `{digest}` |
| network | {architecture} |
{origin}
| trained on | {training_data}; {held_out} more kept out |
| crops | {crop}×{crop} px, {batch} a step |
| seed | {seed} |
| command | {command}, from random weights |
| steps | {done:,} of {steps:,}, the best after {best_step:,} |

## Figures on photographs kept out

0 is the target itself, 1 is as far away as the target varies. Every second batch is recoloured,
blurred, mixed or covered with noise, as in training.

| figure | value |
|---|---|
{figures}
"""


def write_card(config: TrainingConfig, result: TrainingResult, reports: Sequence[Report]) -> None:
    """Write `model-card.md` into the run's folder.

    Args:
        config: Of the run.
        result: With the weights on disk, whose header holds what the card says.
        reports: Of every checkpoint.
    """
    says = read_metadata(result.weights)
    [best] = [each for each in reports if each.step == result.best_step]
    text = _TEMPLATE.format(
        title=_TITLES[config.task],
        file=result.weights.name,
        size=result.weights.stat().st_size / 1e6,
        digest=sha256_of(result.weights),
        origin="\n".join(f"| {key} | {says[key]} |" for key in _ORIGINS if key in says),
        **{key: says.get(key, "not recorded") for key in ("architecture", "training_data", "seed")},
        command=f"`{says['command']}`" if says.get("command") else "not recorded",
        held_out=config.data.held_out,
        crop=config.data.crop,
        batch=config.data.batch,
        done=reports[-1].step,
        steps=config.steps,
        best_step=result.best_step,
        figures="\n".join(f"| {name} | {value:.4f} |" for name, value in best.held_out.items()),
    )
    write_atomic(config.out / "model-card.md", text.encode())


_ORIGINS = ("teacher", "encoder")
