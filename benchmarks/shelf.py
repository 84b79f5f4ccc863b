"""What every network of the shelf costs, measured; and that each trains and paints.

    python benchmarks/shelf.py [--networks NAME ...] [--size 128] [--rows DIR] [--json]

For each member, with random weights: parameters, multiply-accumulates and the peak memory of
feature maps as `likeness models info` counts them; milliseconds an image, one at a time, of its own
input size; one epoch of `train` on twelve made-up people, of one batch of four photographs; and
twenty steps of `stylize`. Times are those of the processor on one thread, which other work on the
machine disturbs less than the clock. A row is printed as soon as it is there. With --rows each is
kept as NAME.json too, and one that is there already is not measured again: so the table can be made
in pieces, and goes on where it was stopped.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from backbones.profile import profile
from backbones.registry import available, create
from data.files import write_atomic
from recognition.learning.choices import LossName
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from recognition.learning.trainer import train
from style.config import PaintingPrecision, StyleConfig
from style.network import StyleNetwork
from style.stylize import stylize

PEOPLE, PHOTOGRAPHS, SIDE = 12, 3, 112
STEPS = 20
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """One network.

    Attributes:
        network: Its name.
        parameters: Without a classifier.
        millions: Multiply-accumulates of an image, in millions.
        peak_mb: Of feature maps at any one time in inference, in MB.
        image_ms: Median of an image's embedding, after one that is not counted.
        epoch_s: One epoch with validation, from reading the photographs to the weights file.
        train_loss: Of that epoch.
        style_step_s: Median of a step of painting, but for the first five.
        style_fell: By what factor the loss of painting fell in twenty steps.
    """

    network: str
    parameters: int
    millions: float
    peak_mb: float
    image_ms: float
    epoch_s: float
    train_loss: float
    style_step_s: float
    style_fell: float


def made_up_people(root: Path) -> Path:
    """Folders of photographs: each person a smooth pattern of their own, with noise."""
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        folder = root / f"person_{person:02}"
        folder.mkdir(parents=True)
        pattern = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        base = np.array(pattern.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
        for number in range(PHOTOGRAPHS):
            noisy = base + rng.normal(0, 30, base.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return root


def picture(size: int, seed: int) -> Tensor:
    """A smooth random picture (1, 3, 3/4 size, size) in [0, 1]."""
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (size * 3 // 4, size), mode="bilinear")


@torch.inference_mode()
def image_ms(name: str) -> float:
    """Median time of one image's embedding."""
    network = create(name, seed=0).to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, *network.spec.input_size)
    network(image)
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        network(image)
        seconds.append(time.process_time() - began)
    return 1000 * statistics.median(seconds)


def epoch(name: str, people: Path, out: Path) -> tuple[float, float]:
    """Seconds and loss of one epoch."""
    config = TrainingConfig(
        data=DataConfig(folder=people, cache=out / "aligned"),
        out=out / "run",
        backbone=name,
        embedding_size=32,
        epochs=1,
        losses=(LossConfig(name=LossName.SOFTMAX),),
        batch=BatchConfig(people=2, photographs=2, steps=1),
        mirror=False,
        device="cpu",
    )
    losses: list[float] = []
    began = time.process_time()
    train(config, lambda report: losses.append(report.train_loss))
    return time.process_time() - began, losses[0]


def painting(name: str, size: int) -> tuple[float, float]:
    """Seconds a step, and by what factor the loss fell."""
    config = StyleConfig(
        size=size, first_scale=size, steps=STEPS, precision=PaintingPrecision.FLOAT32
    )
    network = StyleNetwork.of(create(name, seed=0), config)
    losses, moments = [], [time.process_time()]
    for progress in stylize(picture(size, 0), [picture(size, 1)], config, network):
        losses.append(progress.losses["total"])
        moments.append(time.process_time())
    steps = [after - before for before, after in pairwise(moments)]
    return statistics.median(steps[5:]), losses[0] / losses[-1]


def cost(name: str, people: Path, size: int) -> Cost:
    """Everything about one network."""
    counted = profile(name)
    with tempfile.TemporaryDirectory() as out:
        epoch_s, loss = epoch(name, people, Path(out))
    step, fell = painting(name, size)
    return Cost(
        network=name,
        parameters=counted.parameters,
        millions=counted.multiply_accumulates / 1e6,
        peak_mb=counted.peak_bytes / 1e6,
        image_ms=image_ms(name),
        epoch_s=epoch_s,
        train_loss=loss,
        style_step_s=step,
        style_fell=fell,
    )


def kept(place: Path | None, size: int, measure: Callable[[], Cost]) -> Cost:
    """A network's costs from the file of its row, or measured now and written there.

    Args:
        place: The file; None: there is none.
        size: Of the painting: a row of another size is measured anew.
        measure: What measures it.
    """
    if place is not None and place.is_file():
        row = json.loads(place.read_text())
        if row.pop("size") == size:
            return Cost(**row)
    found = measure()
    if place is not None:
        write_atomic(place, json.dumps(asdict(found) | {"size": size}).encode())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=available(), metavar="NAME")
    parser.add_argument("--size", type=int, default=128, help="of the painting, longer side in px")
    parser.add_argument("--rows", type=Path, metavar="DIR", help="where each row is kept")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each network")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.rows is not None:
        options.rows.mkdir(parents=True, exist_ok=True)
    if not options.json:
        print(
            "| network | parameters | MACs | memory | an image | an epoch | a style step | fell |"
        )
        print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        people = made_up_people(Path(folder) / "people")
        for name in options.networks:
            place = None if options.rows is None else options.rows / f"{name}.json"
            found = kept(place, options.size, partial(cost, name, people, options.size))
            if options.json:
                print(json.dumps(asdict(found)), flush=True)
                continue
            print(
                f"| `{found.network}` | {found.parameters:,} | {found.millions:,.0f} M "
                f"| {found.peak_mb:.1f} MB | {found.image_ms:.0f} ms | {found.epoch_s:.1f} s "
                f"| {found.style_step_s:.2f} s | {found.style_fell:.1f}× |",
                flush=True,
            )


if __name__ == "__main__":
    main()
