"""Whether a picture that is killed while it is painted, and gone on with, ends as if undisturbed.

A small picture is painted once without interruption, in each of several ways: by Adam and by
L-BFGS, in one piece and in tiles. Then, again and again, the same painting begins, is killed
(SIGKILL) at a random moment between its first step and its end, and is begun again, which goes on
from its half-painted picture. The finished PNG must have the same SHA-256.

    python benchmarks/style_kills.py [--kills 20] [--seed 0]
"""

import argparse
import contextlib
import json
import multiprocessing
import random
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from backbones.registry import create
from data.files import sha256_of
from data.images import save_image
from style.checkpoint import Unfinished
from style.config import Optimizer, StyleConfig
from style.network import StyleNetwork
from style.planning import Room, TileChoice
from style.stylize import stylize

WAYS: dict[str, tuple[Optimizer, int | TileChoice]] = {
    "adam": (Optimizer.ADAM, TileChoice.NONE),
    "adam in tiles": (Optimizer.ADAM, 64),
    "lbfgs": (Optimizer.LBFGS, TileChoice.NONE),
    "lbfgs in tiles": (Optimizer.LBFGS, 64),
}
EVERY = 0.05  # seconds between two states
PROCESSES = multiprocessing.get_context("forkserver")
"""Each begins as it would from a shell, but for the libraries, which are imported once."""


def paint(way: str, out: Path, sender: Connection) -> None:
    """What each process does; it says when its first step is done, and after which one."""
    torch.set_num_threads(1)
    optimizer, tile = WAYS[way]
    config = StyleConfig(
        size=96,
        steps=24,
        first_scale=48,
        scale_factor=2,
        optimizer=optimizer,
        style_taps=("relu1_1", "relu2_1", "relu3_1"),  # which see little, so that tiles are small
        content_taps=("relu3_1",),
    )
    source = torch.Generator().manual_seed(0)
    content, style = torch.rand(2, 1, 3, 52, 40, generator=source)
    network = StyleNetwork.of(create("vgg19_quarter", seed=0), config)
    unfinished = Unfinished(out.with_suffix(".part"), every=EVERY)
    painting = stylize(
        content, [style], config, network, room=Room(tile=tile), unfinished=unfinished
    )
    for number, progress in enumerate(painting):
        if number == 0:
            sender.send(progress.step)
    save_image(progress.render(), out)
    unfinished.remove()


def start(way: str, out: Path) -> tuple[BaseProcess, Connection]:
    """The painting in a process of its own, and what tells of its first step."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=paint, args=(way, out, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    return process, receiver


def finish(way: str, out: Path) -> tuple[float, int]:
    """Let it come to its end: the seconds from its first step on, and which step that was."""
    process, receiver = start(way, out)
    first = 0
    with contextlib.suppress(EOFError):
        first = receiver.recv()
    began = time.monotonic()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"painting {out} failed with exit code {process.exitcode}")
    return time.monotonic() - began, first


def kill(way: str, out: Path, seconds: float) -> bool:
    """Kill a painting so long after its first step; whether it was still going on."""
    process, receiver = start(way, out)
    receiver.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL and not out.exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    PROCESSES.set_forkserver_preload(["style.stylize", "backbones.networks.vgg_quarter"])
    moments = random.Random(given.seed)
    kills = equal = gone_on = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole = {}
        for way in list(WAYS)[: given.kills]:
            out = root / f"{way}.png"
            whole[way] = finish(way, out)[0], sha256_of(out)
        for attempt in range(1000):
            if kills == given.kills:
                break
            way = list(whole)[kills % len(whole)]
            length, expected = whole[way]
            out, moment = root / f"{attempt}.png", moments.uniform(0, length)
            if not kill(way, out, moment):
                continue  # it had ended before
            kills += 1
            first = finish(way, out)[1]
            gone_on += first > 1
            equal += sha256_of(out) == expected
            print(
                f"{way}, killed after {moment:.2f} s, gone on with step {first}: "
                f"{equal}/{kills} equal",
                flush=True,
            )
    print(json.dumps({"kills": kills, "gone_on": gone_on, "equal": equal}))


if __name__ == "__main__":
    main()
