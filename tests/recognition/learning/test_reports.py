"""x"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import ArgumentError
from recognition.evaluation.plots import histogram_figure, roc_figure
from recognition.learning import plots
from recognition.learning.choices import Metric
from recognition.learning.config import TrainingConfig
from recognition.learning.plots import Logbook
from recognition.learning.reports import EpochReport, TrainingProgress, verdict
from recognition.learning.trainer import train
from recognition.learning.validation import ValidationFigures

Report = Callable[..., EpochReport]


class HaltError(Exception):
    """Stands for whatever stops a process from within."""


def scalars(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    """Step, value and time of each event."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value, event.wall_time) for event in events.Scalars(tag)]


def test_a_run_draws_its_plots_and_an_interruption_neither_doubles_nor_loses_a_step(
    config: TrainingConfig,
) -> None:
    config = replace(config, tensorboard=True)

    def stop(now: TrainingProgress) -> None:
        if (now.stage, now.done) == ("epoch 3 of 3", 2):
            raise HaltError

    with pytest.raises(HaltError):
        train(config, progress=stop)
    assert {path.name for path in (config.out / "plots").iterdir()} == {"curves.png"}
    result = train(config)
    train(config)  # nothing is left to do, and nothing is added
    names = {"curves.png", "histogram.png", "roc.png", "embeddings.png"}
    assert {path.name for path in (config.out / "plots").iterdir()} == names
    for name in names:
        with Image.open(config.out / "plots" / name) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 20
    folder = config.out / "tensorboard"
    for tag in ("train_loss", "val_auc", "learning_rate", "losses/triplet"):
        assert [step for step, _, _ in scalars(folder, tag)] == [1, 2, 3]
    shown = [value for _, value, _ in scalars(folder, "train_loss")]
    assert shown == pytest.approx([epoch.train_loss for epoch in result.epochs])


def test_event_files_leave_out_what_is_not_measured_and_keep_the_pace(
    config: TrainingConfig, tmp_path: Path, report: Report
) -> None:
    config = replace(config, out=tmp_path, tensorboard=True)
    with Logbook(config, [report(1), report(2)]) as logbook:
        logbook.add(report(3))
        logbook.finish({"roc": roc_figure({})})
    times = [moment for _, _, moment in scalars(tmp_path / "tensorboard", "val_auc")]
    assert times[1] - times[0] == pytest.approx(10, abs=0.01)
    assert times[2] >= times[1]
    with pytest.raises(KeyError):
        scalars(tmp_path / "tensorboard", "val_tar")


def test_no_event_file_unless_it_is_asked_for(
    config: TrainingConfig, tmp_path: Path, report: Report
) -> None:
    with Logbook(replace(config, out=tmp_path), []) as logbook:
        logbook.add(report(1))
    assert (tmp_path / "plots" / "curves.png").is_file()
    assert not (tmp_path / "tensorboard").exists()


def test_a_missing_library_is_said_before_anything_is_written(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognition.learning.plots.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"pip install -e .*\[tensorboard\]"):
        train(replace(config, tensorboard=True))
    assert not config.out.exists()


def test_whether_event_files_are_written_does_not_make_another_run(
    config: TrainingConfig,
) -> None:
    first = train(replace(config, epochs=1))
    again = train(replace(config, epochs=1, tensorboard=True))
    assert again.epochs == first.epochs
    assert (config.out / "tensorboard").is_dir()


def test_fast_epochs_are_not_drawn_each(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    drawn: list[int] = []

    def curves(reports: list[EpochReport], metric: Metric) -> object:
        drawn.append(len(reports))
        return None

    monkeypatch.setattr(plots, "curves", curves)
    monkeypatch.setattr(plots, "png", lambda figure: b"")
    moments: Iterator[float] = iter([100.0, 100.0, 101.0, 106.0, 106.0])
    monkeypatch.setattr("recognition.learning.plots.time.monotonic", lambda: next(moments))
    with Logbook(replace(config, out=tmp_path), []) as logbook:
        for epoch in (1, 2, 3):
            logbook.add(report(epoch))
        logbook.finish({})
    assert drawn == [1, 3, 3]


@pytest.mark.parametrize("names", [("_Ann", "B$o$b_\\frac"), ("李", "Łukasz")])
def test_any_name_is_drawn_as_it_is(names: tuple[str, str]) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(8, 4, generator=torch.Generator()))
    figure = plots.embedding_map(vectors, torch.arange(2).repeat(4), names)
    assert plots.png(figure).startswith(b"\x89PNG")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [f"{name.replace('_', ' ').strip()} (4)" for name in names]


def test_the_map_keeps_neighbours() -> None:
    """Three far clusters in 16 dimensions: everybody's nearest neighbour is of their own."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 12)
    vectors = np.eye(16)[labels] + rng.normal(0, 0.1, (36, 16))
    points = plots.plane(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()


@pytest.mark.parametrize(
    ("genuine", "impostor"), [([], [0.1, 0.2]), ([0.5], [0.1]), ([0.5, 0.5], [0.5] * 1000)]
)
def test_few_and_equal_pairs_are_drawn(genuine: list[float], impostor: list[float]) -> None:
    pairs = (np.array(genuine), np.array(impostor))
    assert plots.png(histogram_figure(pairs, None)).startswith(b"\x89PNG")
    assert plots.png(roc_figure({"validation": pairs})).startswith(b"\x89PNG")


def measured(auc: float | None, tar: float | None) -> ValidationFigures:
    return ValidationFigures(auc=auc, tar=tar, threshold=None, genuine=10, impostor=1000)


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [
        ((0.9, 0.6), (0.9, 0.5), "TAR at FAR 1 %: 40.0% on people in training, 50.0%"),
        ((0.9, 0.6), (0.9, 0.5), "Bias is the larger part"),
        ((0.9, 0.98), (0.9, 0.6), "Variance is the larger part"),
        ((0.9, 0.99), (0.9, 0.985), "Both are small"),
        ((0.9, None), (0.7, None), "1 − AUC: 10.0% on people in training, 30.0%"),
        ((0.9, 0.9), (0.7, None), "Variance is the larger part"),
        ((0.9, None), (None, None), "cannot be told"),
    ],
)
def test_the_larger_error_is_named(
    training: tuple[float | None, float | None],
    validation: tuple[float | None, float | None],
    words: str,
) -> None:
    said = verdict(measured(*training), measured(*validation), people=(5000, 5000))
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("people", [(3, 3), (5000, 3), (9, 400), (40, 40)])
def test_too_few_people_tell_nothing_of_a_small_difference(people: tuple[int, int]) -> None:
    said = verdict(measured(0.9, 0.85), measured(0.9, 0.75), people=people)
    assert "15.0% on people in training, 25.0% on people kept out" in said
    assert f"With {people[0]} and {people[1]} people" in said
    assert "is the larger part" not in said


def test_enough_people_or_a_large_difference_do() -> None:
    small = verdict(measured(0.9, 0.85), measured(0.9, 0.75), people=(4000, 4000))
    assert "Bias is the larger part" in small
    large = verdict(measured(0.9, 0.99), measured(0.9, 0.4), people=(40, 40))
    assert "Variance is the larger part" in large
