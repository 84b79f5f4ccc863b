"""Which network for what: members of the shelf trained alike, and one network's options.

    python benchmarks/choosing.py --data lfw-112 --identities train-identities.txt
        --pairs pairs.txt --people test-identities.txt --teacher mobilefacenet-casia.safetensors
        --out var/choosing [--rows 'images/resnet18;time/resnet18'] [--images DIR] [--table]

Each network below 500 million multiply-accumulates an image learns from the same photographs of
LFW, with the same teacher, loss and batches. In the column `images` all see the same number of
photographs; in `time` each takes as many steps as fit into the same processor time, which its row
of `images` has measured. `options` changes one thing at a time of one network.

A row is a folder of its own below `--out`: its training goes on where it was interrupted, and a
finished row is not repeated. So the whole may run in pieces; `--table` prints what is there, with
95 % intervals of the differences, paired by person. Whoever learns has two photographs at least;
nobody of fold 9 or of the lists `recipes/lfw-kept-out-*.txt` does. Fold 9, which has been looked
at often, is validation; choices that are made by this table need another test.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbones.profile import profile
from backbones.spec import Activation, Attention, HeadPooling, Norm, WeightInit
from backbones.training.optimizers import OptimizerConfig
from backbones.weights import LoadedBackbone, load_backbone
from data.augmentation import Augmentation
from data.datasets import listed_names, read_identities
from data.errors import AppError
from data.files import printable, write_atomic
from data.images import load_image, to_tensor
from data.lfw import LfwProtocol, photograph_path, read_lfw_pairs
from data.tensors import read_tensors, write_tensors
from recognition.evaluation.identification import IdentificationResult, evaluate_identification
from recognition.evaluation.pairs import Difference
from recognition.evaluation.verification import LfwResult, evaluate_lfw
from recognition.learning.choices import LossName, Sampling
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from recognition.learning.dataset import Aligner
from recognition.learning.distillation import TARGETS
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train
from recognition.learning.validation import embed
from style.config import StyleConfig
from style.evaluation.judge import Judge
from style.network import StyleNetwork
from style.stylize import stylize

SIDE = 112
MOST_MILLIONS = 500
NETWORKS: dict[str, float] = {
    "mobilefacenet": 1,
    "mobilenet_v1": 1,
    "mobilenet_v2": 1,
    "mobilenet_v3_large": 1,
    "shufflenet_v1_g3": 1,
    "shufflenet_v2_x1_0": 1,
    "squeezenet1_1": 1,
    "resnet18": 1,
    "resnext50_32x4d": 0.6,
    "vgg11_bn": 0.5,
    "bwn_resnet18": 1,
    "efficientnet_b0": 1,
}
"""Members of the shelf, and the share of each side by which they stay below the limit."""

BASE = "shufflenet_v2_x1_0"
"""The network whose options are compared: of these the one that learns in the least time."""
OPTIONS: dict[str, dict[str, object]] = {
    "attention: se": {"attention": Attention.SE},
    "normalisation: group": {"norm": Norm.GROUP},
    "activation: prelu": {"activation": Activation.PRELU},
    "initialisation: xavier": {"weight_init": WeightInit.XAVIER},
    "pooling: generalised mean": {"head_pooling": HeadPooling.GENERALISED_MEAN},
    "dropout: 0.2": {"dropout": 0.2},
}

FPIR = 0.1
EPOCH = 50
"""Steps between two states that a run goes on from."""
STYLE_PAIR = ("tubingen", "starry_night")
_TIMED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A network, how long it learns, and what is changed about it.

    Attributes:
        column: `images`, `time` or `options`.
        label: The network's name, or the option's.
        network: Of the shelf.
        changes: Settings of the training that differ.
    """

    column: str
    label: str
    network: str
    changes: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """How it is named on the command line."""
        return f"{self.column}/{self.label}"

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        name = "".join(c if c.isalnum() or c in "._" else "-" for c in self.label)
        return out / self.column / name.replace("--", "-")


def rows() -> Iterator[Row]:
    """Every row: those whose measurements others need come first."""
    for network, share in NETWORKS.items():
        changes = {"resolution": share} if share < 1 else {}
        yield Row(column="images", label=network, network=network, changes=changes)
    for option, changes in OPTIONS.items():
        yield Row(column="options", label=option, network=BASE, changes=changes)
    for network, share in NETWORKS.items():
        changes = {"resolution": share} if share < 1 else {}
        yield Row(column="time", label=network, network=network, changes=changes)


class StepClock:
    """Processor time a step, as a training tells of its steps."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._steps = 0
        self._last: float | None = None

    def __call__(self, progress: TrainingProgress) -> None:
        """Hear of a step; what lies between two epochs is no step."""
        if not progress.stage.startswith("epoch"):
            return
        now = time.process_time()
        if progress.done > 1 and self._last is not None:
            self._seconds += now - self._last
            self._steps += 1
        self._last = now

    @property
    def seconds(self) -> float | None:
        """A step's; None where no two were made here."""
        return self._seconds / self._steps if self._steps else None


def steps_within(seconds: float, a_step: float) -> int:
    """As many steps as fit into a processor time, in whole epochs, at least one."""
    return max(1, round(seconds / a_step / EPOCH)) * EPOCH


class Bench:
    """What all rows share."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._out: Path = given.out
        self._out.mkdir(parents=True, exist_ok=True)
        self._protocol: LfwProtocol = read_lfw_pairs(given.pairs).select([given.fold])
        names = given.people.read_text(encoding="utf-8").split()
        folders = [given.data / name for name in dict.fromkeys(names)]
        self._people = {one.name: sorted(one.glob("*.jpg")) for one in folders if one.is_dir()}
        pairs = [photograph_path(given.data, *key) for key in self._protocol.photographs()]
        own = [path for paths in self._people.values() for path in paths]
        self._paths = sorted({*pairs, *own})
        self._pixels: Tensor | None = None

    def made(self, row: Row) -> dict[str, Any] | None:
        """A row's figures, trained and measured where they are not kept; None: it cannot be yet."""
        folder = row.folder(self._out)
        kept = folder / "row.json"
        if not kept.is_file():
            if (steps := self._steps(row)) is None:
                return None
            folder.mkdir(parents=True, exist_ok=True)
            figures = self._trained(row, folder, steps)
            write_atomic(kept, json.dumps(figures, indent=1).encode())
        figures = json.loads(kept.read_text())
        style = folder / "style.json"
        if self._given.images is not None and row.column == "images" and not style.is_file():
            write_atomic(style, json.dumps(self._painted(folder)).encode())
        return figures | (json.loads(style.read_text()) if style.is_file() else {})

    def kept(self, row: Row) -> dict[str, Any] | None:
        """A row's figures if it is finished."""
        folder = row.folder(self._out)
        if not (folder / "row.json").is_file():
            return None
        figures: dict[str, Any] = json.loads((folder / "row.json").read_text())
        style = folder / "style.json"
        return figures | (json.loads(style.read_text()) if style.is_file() else {})

    def _steps(self, row: Row) -> int | None:
        if row.column != "time":
            return int(self._given.steps)
        measured = self.kept(replace(row, column="images"))
        if measured is None or measured["step_seconds"] is None:
            return None
        return steps_within(60 * self._given.minutes, measured["step_seconds"])

    def _trained(self, row: Row, folder: Path, steps: int) -> dict[str, Any]:
        """Train and measure."""
        clock, noted = StepClock(), folder / "step.json"

        def tell(progress: TrainingProgress) -> None:
            clock(progress)
            if clock.seconds is not None and progress.done == progress.total:
                write_atomic(noted, json.dumps(clock.seconds).encode())

        config = self._config(row, folder / "run", steps)
        answers = self._out / TARGETS
        if answers.is_file() and not (config.out / TARGETS).exists():
            config.out.mkdir(parents=True, exist_ok=True)
            (config.out / TARGETS).write_bytes(answers.read_bytes())
        began = time.process_time()
        result = train(config, progress=tell)
        if not answers.is_file():
            answers.write_bytes((config.out / TARGETS).read_bytes())
        cost = time.process_time() - began
        loaded = load_backbone(None, weights=result.weights)
        vectors = self._embedded(loaded)
        write_tensors(folder / "embeddings.safetensors", {"embeddings": vectors}, {})
        return {
            "network": row.network,
            "steps": steps,
            "photographs": steps * self._given.batch,
            "step_seconds": json.loads(noted.read_text()) if noted.is_file() else None,
            "processor_seconds": cost,
            "best_epoch": result.best_epoch,
            **_costs(row, loaded),
        }

    def _config(self, row: Row, out: Path, steps: int) -> TrainingConfig:
        given = self._given
        batch = BatchConfig(
            sampling=Sampling.PHOTOGRAPHS, people=given.batch // 2, photographs=2, steps=EPOCH
        )
        common = TrainingConfig(
            data=DataConfig(
                folder=given.data.absolute(), identities=self._learners(), split=(12, 1, 0)
            ),
            out=out.absolute(),
            backbone=row.network,
            teacher=given.teacher.absolute(),
            losses=(LossConfig(name=LossName.DISTILL),),
            batch=batch,
            augment=Augmentation(warp=0, pca_colour=0, blur=0, low_resolution=0, jpeg=0),
            optimizer=OptimizerConfig(rate=given.rate, clip=5),
            epochs=max(1, steps // EPOCH),
            mirror=False,
            device="cpu",
        )
        return replace(common, **row.changes)  # type: ignore[arg-type]

    def _learners(self) -> Path:
        """The list of whom the networks learn from, written once."""
        listing = self._out.absolute() / "people.txt"
        if not listing.is_file():
            recipes = Path(__file__).resolve().parent.parent / "recipes"
            lists = [*recipes.glob("lfw-kept-out-*.txt"), recipes / "excluded-lfw-112.txt"]
            out = listed_names(lists) | self._people.keys()
            allowed = listed_names([self._given.identities])
            names = [
                person.name
                for person in read_identities(self._given.data)
                if person.name in allowed and person.name not in out and len(person.photographs) > 1
            ]
            write_atomic(listing, "".join(f"{name}\n" for name in names).encode())
        return listing

    def _embedded(self, loaded: LoadedBackbone) -> Tensor:
        if self._pixels is None:
            self._pixels, missed = Aligner(self._out / "aligned").load(self._paths)
            if missed:
                raise AppError(f"{printable(missed[0].path)}: {missed[0].reason}")
        return embed(loaded.backbone, self._pixels, mirror=False)

    def judged(self, row: Row) -> tuple[LfwResult, IdentificationResult]:
        """Verification and identification by a finished row's embeddings."""
        file = read_tensors(row.folder(self._out) / "embeddings.safetensors")
        vectors = dict(zip(self._paths, file.tensors["embeddings"].numpy(), strict=True))
        found = {
            key: vectors[photograph_path(self._given.data, *key)]
            for key in self._protocol.photographs()
        }
        people = {name: [vectors[path] for path in own] for name, own in self._people.items()}
        return evaluate_lfw(self._protocol, found), evaluate_identification(people)

    def _painted(self, folder: Path) -> dict[str, Any]:
        """A judge's distances of a picture that the trained network has painted."""
        given = self._given
        content, style = (
            to_tensor(load_image(given.images / kind / f"{name}.jpg")).unsqueeze(0)
            for kind, name in zip(("content", "style"), STYLE_PAIR, strict=True)
        )
        backbone = load_backbone(None, weights=folder / "run" / "best.safetensors").backbone
        config = StyleConfig(size=given.style_size, steps=given.style_steps)
        judge = Judge.of(load_backbone("squeezenet1_0", weights=given.judge_weights).backbone)
        try:
            *_, last = stylize(content, [style], config, StyleNetwork.of(backbone, config))
            case = judge.case(content, [style], size=given.style_size)
        except AppError as error:  # a network that cannot paint, or not so small
            return {"style": None, "style_refusal": str(error)}
        return {"style": case(last.render_tensor()).to_json()}


def _costs(row: Row, loaded: LoadedBackbone) -> dict[str, Any]:
    """What one image costs."""
    side = round(SIDE * NETWORKS.get(row.label, 1))
    counted = profile(row.network, (side, side))
    return {
        "parameters": sum(p.numel() for p in loaded.backbone.parameters()),
        "millions": counted.multiply_accumulates / 1e6,
        "memory_mb": counted.peak_bytes / 1e6,
        "image_ms": 1000 * _image_seconds(loaded),
        "process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


@torch.inference_mode()
def _image_seconds(loaded: LoadedBackbone) -> float:
    """Median processor time of one face's embedding."""
    image = torch.rand(1, 3, *loaded.input_size, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(_TIMED + 1):
        began = time.process_time()
        loaded.backbone.embedding(image)
        seconds.append(time.process_time() - began)
    return statistics.median(seconds[1:])


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def spread(difference: Difference) -> str:
    low, high = (100 * end for end in difference.interval)
    return f"{100 * difference.value:+.1f} [{low:+.1f}, {high:+.1f}]"


def table(bench: Bench) -> Iterator[str]:
    """The lines of what is finished, and which rows are missing."""
    done = {row.key: (row, figures) for row in rows() if (figures := bench.kept(row)) is not None}
    judged = {key: bench.judged(row) for key, (row, _) in done.items()}
    titles = ("row", "verification %", "FNIR %", "photographs", "parameters", "MACs, M", "ms", "MB")
    for column in ("images", "time", "options"):
        own = [key for key in done if key.startswith(f"{column}/")]
        if not own:
            continue
        # The best by verification stands first; an option stands beside its network unchanged.
        first = max(own, key=lambda key: judged[key][0].mean)
        if column == "options":
            if f"images/{BASE}" not in done:
                continue
            first = f"images/{BASE}"
        yield ""
        beside = first.partition("/")[2]
        style = ("style", "content") if column == "images" else ()
        head = (*titles, *style, f"verification less {beside}'s", "FNIR less its")
        yield "| " + " | ".join(head) + " |"
        yield "|" + "---|" * len(head)
        for key in dict.fromkeys((first, *own)):
            row, figures = done[key]
            pairs, found = judged[key]
            low, high = pairs.intervals["mean"]
            fnir = found.fnir_at_fpir[FPIR]
            cells = [row.label, f"{percent(pairs.mean)} [{percent(low)}, {percent(high)}]"]
            cells += [percent(fnir), f"{figures['photographs']:,}", f"{figures['parameters']:,}"]
            cells += [f"{figures['millions']:.0f}", f"{figures['image_ms']:.1f}"]
            cells += [f"{figures['memory_mb']:.1f}"]
            if style:
                told = figures.get("style") or {}
                cells += [
                    f"{told[name]:.3f}" if name in told else "–"
                    for name in ("style_distance", "content_distance")
                ]
            if key == first:
                cells += ["", ""]
            else:
                cells.append(spread(pairs.differences(judged[first][0])["mean"]))
                names = found.differences(judged[first][1])
                name = f"fnir_at_fpir_{FPIR:g}"
                cells.append(spread(names[name]) if name in names else "–")
            yield "| " + " | ".join(cells) + " |"
    missing = [row.key for row in rows() if row.key not in done]
    yield ""
    yield f"missing: {'; '.join(missing) or 'none'}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="faces aligned at 112 px")
    parser.add_argument("--identities", type=Path, required=True, help="who may be learnt from")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs in LFW's format")
    parser.add_argument("--people", type=Path, required=True, help="the people of that fold")
    parser.add_argument("--teacher", type=Path, required=True, help="weights for distillation")
    parser.add_argument("--out", type=Path, required=True, help="where rows are kept")
    parser.add_argument("--fold", type=int, default=9)
    parser.add_argument("--rows", help="these alone, parted by semicolons")
    parser.add_argument("--steps", type=int, default=200, help="of `images` and `options`")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--minutes", type=float, default=4, help="of processor time, of `time`")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="paint content/ and style/ of it"
    )
    parser.add_argument("--judge-weights", type=Path, metavar="FILE", help="of squeezenet1_0")
    parser.add_argument("--style-size", type=int, default=128)
    parser.add_argument("--style-steps", type=int, default=60)
    parser.add_argument("--table", action="store_true", help="only print what is finished")
    given = parser.parse_args(arguments)
    known = {row.key for row in rows()}
    given.rows = [key.strip() for key in given.rows.split(";")] if given.rows else sorted(known)
    if unknown := set(given.rows) - known:
        parser.error(f"no row {min(unknown)}; choose from {'; '.join(sorted(known))}")
    if given.batch < 2 or given.batch % 2 or given.steps < EPOCH or given.steps % EPOCH:
        parser.error(f"--batch is even, and --steps a multiple of {EPOCH}")
    return given


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    bench = Bench(given)
    for row in rows():
        if row.key in given.rows and not given.table:
            try:
                figures = bench.made(row)
            except AppError as error:
                print(f"{row.key}: {error}", flush=True)
                continue
            told = "its row of `images` comes first" if figures is None else "done"
            print(f"{row.key}: {told}", flush=True)
    print("\n".join(table(bench)))


if __name__ == "__main__":
    main()
