"""A tiny backbone and a tiny folder of people, so that whole runs take a second."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from backbones.network import Backbone
from backbones.registry import available, register
from backbones.spec import SIGNED, Alignment, BackboneSpec, Tap
from backbones.training.optimizers import OptimizerConfig
from recognition.learning.config import BatchConfig, DataConfig, TrainingConfig
from recognition.learning.reports import EpochReport

SPEC = BackboneSpec(
    name="tiny",
    summary="one convolution, for tests",
    taps=(Tap("only", 8, 16),),
    content_taps=("only",),
    style_taps=("only",),
    style_tap_weights=(1.0,),
    input_size=(112, 112),
    alignment=Alignment.FIVE_POINT,
    normalisation=SIGNED,
    embedding_size=16,
    weights=(),
    licence="MIT",
)


class Tiny(Backbone):
    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.conv = nn.Conv2d(3, 8, 16, 16)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.PReLU(8)
        self.drop = nn.Dropout(0.1)
        height, width = spec.input_size
        self.fc = nn.Linear(8 * (height // 16) * (width // 16), spec.dimension)
        self.chain(
            {"only": [self.conv, self.bn, self.act]}, head=[nn.Flatten(), self.drop, self.fc]
        )


class Steady(Tiny):
    """Without dropout, whose draws depend on how a batch is dealt out."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.drop.p = 0.0


class Staged(Backbone):
    """Of three stages, with maps of 28x28, 14x14 and 7x7 cells."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.first, self.second = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2)
        self.third, self.fc = nn.Conv2d(8, 8, 2, 2), nn.Linear(8 * 7 * 7, spec.dimension)
        self.chain(
            {"first": [self.first], "second": [self.second], "third": [self.third]},
            head=[nn.Flatten(), self.fc],
        )


if "tiny" not in available():
    register(SPEC)(Tiny)
    stages = (Tap("first", 8, 4), Tap("second", 8, 8), Tap("third", 8, 16))
    register(
        replace(SPEC, name="staged", taps=stages, content_taps=("first",), style_taps=("first",))
    )(Staged)
    register(replace(SPEC, name="tiny_eyes", alignment=Alignment.EYES, input_size=(96, 96)))(Tiny)
    register(replace(SPEC, name="steady"))(Steady)


def make_people(
    root: Path, *, people: int = 12, photographs: int = 4, side: int = 112, seed: int = 0
) -> Path:
    """Each person a smooth pattern of their own; each photograph that pattern with noise."""
    rng = np.random.default_rng(seed)
    for person in range(people):
        folder = root / f"person_{person:02}"
        folder.mkdir(parents=True)
        pattern = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        base = np.array(pattern.resize((side, side), Image.Resampling.BICUBIC), dtype=float)
        for number in range(photographs):
            noisy = base + rng.normal(0, 30, base.shape)
            image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            image.save(folder / f"{number:04}.png")
    return root


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("photographs"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose plots are empty files: to draw takes longer than to train them."""
    monkeypatch.setattr("recognition.learning.plots.png", lambda figure: b"")
    monkeypatch.setattr("recognition.learning.plots.plane", lambda vectors: vectors[:, :2])


@pytest.fixture
def config(people: Path, tmp_path: Path) -> TrainingConfig:
    """A run of three epochs over seven people, four batches an epoch."""
    return TrainingConfig(
        data=DataConfig(folder=people, cache=tmp_path / "aligned"),
        out=tmp_path / "run",
        backbone="tiny",
        embedding_size=16,
        epochs=3,
        batch=BatchConfig(people=3, photographs=2),
        optimizer=OptimizerConfig(rate=0.01),
        device="cpu",
    )


@pytest.fixture
def report() -> Callable[..., EpochReport]:
    """Makes the report of an epoch, with other values where they are given."""

    def make(epoch: int, **changes: object) -> EpochReport:
        values: dict[str, object] = {
            "epoch": epoch,
            "epochs": 9,
            "train_loss": 1 / epoch,
            "losses": {"softmax": 2 / epoch, "triplet": 3 / epoch},
            "val_auc": 0.5 + epoch / 100,
            "val_tar": None,
            "learning_rate": 0.01,
            "seconds": 10.0,
            "images_per_second": 100.0,
            "best": True,
        }
        return EpochReport(**values | changes)  # type: ignore[arg-type]

    return make
