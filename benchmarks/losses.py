"""Losses compared: the same network, photographs, batches and epochs, several seeds, one fold.

Each loss trains once a seed; the weights that did best on people kept out of training are measured
on a fold of people whom nobody trained on. Finished runs are kept and not repeated, so that an
interrupted comparison goes on.

    python benchmarks/losses.py --data lfw-112 --pairs pairs.txt --identities train-identities.txt \
        --teacher mobilefacenet-casia.safetensors --out var/runs/losses [--epochs 5] [--seeds 3]
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.training.optimizers import OptimizerConfig
from backbones.weights import load_backbone
from data.augmentation import Augmentation
from data.files import data_home, write_atomic
from data.lfw import LfwProtocol, photograph_path, read_lfw_pairs
from recognition.evaluation.verification import LfwResult, evaluate_lfw
from recognition.learning.choices import LossName, Mining, Precision
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from recognition.learning.dataset import Aligner, alignment_for
from recognition.learning.trainer import train
from recognition.learning.validation import embed

LOSSES = {
    "triplet, all": LossConfig(name=LossName.TRIPLET, mining=Mining.ALL),
    "triplet, hard": LossConfig(name=LossName.TRIPLET, mining=Mining.HARD),
    "triplet, semi-hard": LossConfig(name=LossName.TRIPLET, mining=Mining.SEMI_HARD),
    "contrastive": LossConfig(name=LossName.CONTRASTIVE),
    "pair classifier": LossConfig(name=LossName.PAIR),
    "softmax": LossConfig(name=LossName.SOFTMAX),
    "ArcFace": LossConfig(name=LossName.ARCFACE),
    "distillation": LossConfig(name=LossName.DISTILL),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One loss: a result a seed."""

    loss: str
    results: Sequence[LfwResult]

    @property
    def middle(self) -> LfwResult:
        """The result of the median seed."""
        return sorted(self.results, key=lambda result: result.mean)[len(self.results) // 2]

    def as_json(self) -> dict[str, object]:
        """The row for machines."""
        return {
            "loss": self.loss,
            "accuracies": [result.mean for result in self.results],
            "mean": statistics.mean(result.mean for result in self.results),
            "interval": list(self.middle.intervals["mean"]),
            "auc": statistics.mean(result.auc or 0 for result in self.results),
            "eer": statistics.mean(result.eer or 0 for result in self.results),
        }

    def as_markdown(self) -> str:
        """The row of a table."""
        accuracies = [result.mean for result in self.results]
        low, high = self.middle.intervals["mean"]
        auc = statistics.mean(result.auc or 0 for result in self.results)
        return (
            f"| {self.loss} | {statistics.mean(accuracies):.1%} | "
            f"{min(accuracies):.1%} – {max(accuracies):.1%} | [{low:.1%}, {high:.1%}] | {auc:.3f} |"
        )


def configured(given: argparse.Namespace, loss: str, seed: int) -> TrainingConfig:
    """The run of one loss and seed; nothing but these two differs."""
    term = LOSSES[loss]
    return TrainingConfig(
        data=DataConfig(
            folder=given.data.absolute(),
            identities=given.identities and given.identities.absolute(),
            split=(6, 1, 0),
        ),
        out=(given.out / f"{loss.replace(', ', '-').replace(' ', '-')}-{seed}").absolute(),
        backbone=given.backbone,
        teacher=given.teacher.absolute() if term.name.needs_teacher else None,
        losses=(term,),
        batch=BatchConfig(people=16, photographs=4),
        augment=Augmentation(),
        optimizer=OptimizerConfig(rate=given.rate),
        epochs=given.epochs,
        averaging=0.99,
        precision=Precision.BF16,
        seed=seed,
        device=given.device,
    )


def trained(config: TrainingConfig) -> Path:
    """The weights of a run, which is made or gone on with unless it is finished."""
    weights = config.out / "best.safetensors"
    if (config.out / "model-card.md").is_file():  # written last
        return weights
    train(config)
    return weights


def measured(weights: Path, protocol: LfwProtocol, given: argparse.Namespace) -> LfwResult:
    """Verification of the fold's pairs, on the faces aligned as in training."""
    loaded = load_backbone(None, weights=weights, device=given.device)
    keys = protocol.photographs()
    aligner = Aligner(data_home() / "aligned", alignment=alignment_for(given.backbone))
    paths = [photograph_path(given.data, name, number) for name, number in keys]
    pixels, missed = aligner.load(paths)
    gone = {item.path for item in missed}
    vectors = iter(embed(loaded.backbone, pixels, mirror=loaded.mirror).numpy())
    found = {
        key: None if path in gone else next(vectors) for key, path in zip(keys, paths, strict=True)
    }
    return evaluate_lfw(protocol, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of identities")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs in LFW's format")
    parser.add_argument("--identities", type=Path, help="whom to train on, one a line")
    parser.add_argument("--teacher", type=Path, help="weights for distillation")
    parser.add_argument("--out", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--fold", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--backbone", default="iresnet_se")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--loss", choices=LOSSES, action="append", help="these alone")
    given = parser.parse_args()
    protocol = read_lfw_pairs(given.pairs).select([given.fold])
    rows = []
    print("| loss | accuracy, mean over seeds | range over seeds | interval of the middle | AUC |")
    print("|---|---|---|---|---|")
    for loss in given.loss or LOSSES:
        if LOSSES[loss].name.needs_teacher and given.teacher is None:
            continue
        runs = [trained(configured(given, loss, seed)) for seed in range(given.seeds)]
        rows.append(Row(loss, [measured(weights, protocol, given) for weights in runs]))
        print(rows[-1].as_markdown(), flush=True)
        report = json.dumps([row.as_json() for row in rows], indent=1)
        write_atomic(given.out / "losses.json", report.encode())


if __name__ == "__main__":
    main()
