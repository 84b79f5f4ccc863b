"""The same run in one process and in several: the loss of every step, side by side.

Batch, losses, seed and photographs are the same; the network has group norm, which does not depend
on how a batch is dealt out (`--norm batch` shows what does). A third run, of one process that keeps
its feature maps in another memory order, shows how far rounding alone leads: the rules that divide
by a gradient's size (AdamW) make much of it, since a gradient of nearly zero may take either sign.

    python benchmarks/ddp.py --data PEOPLE [--processes 2] [--steps 6] [--people 16]
                             [--loss triplet] [--optimizer momentum] [--rate 0.01] [--norm group]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.utils.benchmark

from backbones.spec import Norm
from backbones.training.distributed import leads
from backbones.training.optimizers import OptimizerConfig, OptimizerName
from data.augmentation import training_augmentation
from data.config import to_toml
from data.datasets import read_identities
from recognition.learning.choices import LossName
from recognition.learning.config import (
    BatchConfig,
    DataConfig,
    LossConfig,
    TrainingConfig,
    configure,
)
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train

PHOTOGRAPHS = 4
"""Of each person in a batch."""


def run(recipe: Path) -> None:
    """One process's part; the first one leaves the losses beside the recipe."""
    steps: list[TrainingProgress] = []
    result = train(configure(recipe), progress=steps.append)
    if leads():
        losses = [step.loss for step in steps if step.loss is not None]
        speed = result.epochs[-1].images_per_second
        recipe.with_suffix(".json").write_text(
            json.dumps({"losses": losses, "images_per_second": round(speed, 1)})
        )


def measure(config: TrainingConfig, out: Path, processes: int) -> dict[str, Any]:
    """Train in so many new processes."""
    recipe = out.with_suffix(".toml")
    recipe.write_text(to_toml(replace(config, out=out)))
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [
        sys.executable,
        *(starter if processes > 1 else []),
        __file__,
        "--child",
        str(recipe),
    ]
    subprocess.run(command, check=True)
    measured: dict[str, Any] = json.loads(recipe.with_suffix(".json").read_text())
    return measured


def write_list(data: Path, file: Path, photographs: int) -> None:
    """Name as many people with four photographs or more as leave so many for training."""
    wanted, names = photographs / 0.75, list[str]()
    for person in read_identities(data):
        if wanted > 0 and len(person.photographs) >= PHOTOGRAPHS:
            names.append(person.name)
            wanted -= len(person.photographs)
    file.write_text("\n".join(names) + "\n")


def largest_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Of the losses of any step."""
    pairs = zip(first["losses"], second["losses"], strict=True)
    return max(abs(one - other) for one, other in pairs)


def augmentation_seconds(batch: int) -> float:
    """Of one batch: what every process spends on the rows of the others too."""
    augment = training_augmentation((112, 112), generator=torch.Generator())
    images = torch.rand(batch, 3, 112, 112)
    timer = torch.utils.benchmark.Timer("augment(images)", globals=locals())
    return float(timer.blocked_autorange(min_run_time=1).median)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--people", type=int, default=16, help="of a batch")
    parser.add_argument("--loss", type=LossName, choices=LossName, default=LossName.TRIPLET)
    parser.add_argument(
        "--optimizer", type=OptimizerName, choices=OptimizerName, default=OptimizerName.MOMENTUM
    )
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--norm", type=Norm, choices=Norm, default=Norm.GROUP)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        run(given.child)
        return
    if given.data is None:
        parser.error("give --data")
    size = given.people * PHOTOGRAPHS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_list(given.data, folder / "people.txt", given.steps * size)
        config = TrainingConfig(
            data=DataConfig(
                folder=given.data.absolute(),
                identities=folder / "people.txt",
                split=(3, 1, 0),
                cache=folder / "aligned",
            ),
            out=folder / "run",
            norm=given.norm,
            losses=(LossConfig(name=given.loss),),
            batch=BatchConfig(people=given.people, photographs=PHOTOGRAPHS),
            optimizer=OptimizerConfig(name=given.optimizer, rate=given.rate),
            epochs=1,
            device=given.device,
        )
        alone = measure(config, folder / "one", 1)
        together = measure(config, folder / "several", given.processes)
        rounded = measure(replace(config, channels_last=False), folder / "rounded", 1)
    print(
        json.dumps(
            {
                "norm": given.norm,
                "processes": given.processes,
                "batch": size,
                "losses_of_one": alone["losses"],
                "losses": together["losses"],
                "largest_difference": largest_difference(alone, together),
                "largest_difference_by_rounding": largest_difference(alone, rounded),
                "images_per_second_of_one": alone["images_per_second"],
                "images_per_second": together["images_per_second"],
                "augmentation_seconds_a_batch": round(augmentation_seconds(size), 4),
            }
        )
    )


if __name__ == "__main__":
    main()
