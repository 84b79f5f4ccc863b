"""Images a second of `train`'s own loop against a bare loop of forward, backward, step.

Both train the same network with the same loss, precision and optimiser, in turns, in one process.
The bare loop finds its batches as tensors in memory; the other draws, mirrors and augments them,
reports each step, and averages the weights.

    python benchmarks/training_throughput.py [--steps 10] [--rounds 5] [--threads 2]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from recognition.learning.batches import Batch, BatchStream, build_sampler
from recognition.learning.choices import Precision
from recognition.learning.config import BatchConfig, DataConfig, TrainingConfig
from recognition.learning.dataset import Photographs
from recognition.learning.distillation import Lessons
from recognition.learning.epoch import EpochLoop, build_network, build_parts

CPU = torch.device("cpu")
BATCH = 64


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and seconds of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def bare_loop(config: TrainingConfig, batches: list[Batch]) -> Callable[[], None]:
    parts = build_parts(config, build_network(config, CPU), Lessons(), people=64)
    parts.network.train()

    def work() -> None:
        for batch in batches:
            images = batch.images
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision is Precision.BF16):
                embeddings = parts.network(images)
            loss, _ = parts.objective(embeddings.float(), batch.labels, None)
            parts.optimizer.zero_grad()
            loss.backward()
            parts.optimizer.step()

    return work


def synthetic(count: int) -> Photographs:
    """Noise with the names of 64 people."""
    return Photographs(
        torch.randint(0, 256, (count, 3, 112, 112), dtype=torch.uint8),
        torch.arange(64).repeat(count // 64 + 1)[:count],
        tuple(map(str, range(64))),
    )


def measure(config: TrainingConfig, steps: int, rounds: int) -> dict[str, float]:
    """Run both in turns; the first turn of each warms up and is not counted."""
    photographs = synthetic(steps * BATCH)
    stream = BatchStream(photographs, build_sampler(photographs, config), None, config, CPU)
    ready = [
        Batch(batch.images.contiguous(memory_format=torch.channels_last), batch.labels, None)
        for batch in stream.epoch(1)
    ]
    parts = build_parts(config, build_network(config, CPU), Lessons(), people=64)
    loop = EpochLoop(config, parts, stream, CPU)
    bare = bare_loop(config, ready)
    theirs, ours = [], []
    for _ in range(rounds + 1):
        theirs.append(timed(bare))
        ours.append(timed(lambda: loop.run(1, lambda _: None)))
    clock, processor = (
        [statistics.median(times[which] for times in side[1:]) for side in (theirs, ours)]
        for which in (0, 1)
    )
    return {
        "bare_images_per_second": round(len(photographs) / clock[0], 1),
        "train_images_per_second": round(len(photographs) / clock[1], 1),
        "ratio_by_clock": round(clock[0] / clock[1], 3),
        "ratio_by_processor": round(processor[0] / processor[1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=list(Precision), default=Precision.BF16)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = TrainingConfig(
        data=DataConfig(folder=Path("photographs")),
        out=Path("run"),
        batch=BatchConfig(people=16, photographs=4),
        precision=Precision(given.precision),
        averaging=0.99,
        device="cpu",
    )
    figures = measure(config, given.steps, given.rounds)
    print(json.dumps({**figures, "threads": given.threads, "precision": given.precision}))


if __name__ == "__main__":
    main()
