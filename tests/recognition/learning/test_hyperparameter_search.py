import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from backbones.training.schedule import ScheduleConfig, ScheduleName
from data.errors import ArgumentError, TrainingError
from data.files import sha256_of
from recognition.learning import hyperparameter_search
from recognition.learning.choices import LossName, SamplerName
from recognition.learning.config import LossConfig, TrainingConfig, configure
from recognition.learning.hyperparameter_search import (
    SearchJob,
    Trial,
    Workers,
    nurse,
    read_dimension,
    read_space,
    tune,
)
from recognition.learning.reports import EpochReport, TrainingProgress
from recognition.learning.trainer import train

pytestmark = pytest.mark.usefixtures("undrawn")

RATES = ["optimizer.rate=1e-4..1e-1:log", "augment.crop=0..0.3", "optimizer.name=adamw,sgd"]


def test_a_range_a_logarithm_and_choices_are_read() -> None:
    rate = read_dimension("optimizer.rate=1e-4..1e-1:log")
    assert (rate.path, rate.low, rate.high, rate.log) == ("optimizer.rate", 1e-4, 1e-1, True)
    people = read_dimension("batch.people=2..8")
    assert (people.low, people.high, people.log) == (2, 8, False)
    assert isinstance(people.low, int)
    assert read_dimension("losses.triplet.mining=all,hard").choices == ("all", "hard")
    assert read_dimension("precision = bf16, float32").choices == ("bf16", "float32")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimizer.rate", "write it as"),
        ("optimizer.rat=1..2", "has no key 'rat'"),
        ("optimizer.rate=2..1", "must rise"),
        ("optimizer.rate=0..1:log", "above 0 on a log scale"),
        ("optimizer.rate=1..2:ln", "the scale is log"),
        ("optimizer.rate=nan..2", "must be finite"),
        ("optimizer.rate=1..inf", "must be finite"),
        ("optimizer.rate=a..b", "must be numbers"),
        ("batch.people=1.5..3", "must be whole numbers"),
        ("optimizer.name=a..b", "only numbers have a range"),
        ("optimizer.name=sgd", "two choices or more"),
        ("optimizer.name=sgd,hope", "choose from sgd"),
        ("optimizer.rate=1..1000", "at most 100"),
        ("out=a,b", "the same in every trial"),
        ("data.folder=a,b", "the same in every trial"),
        ("losses.arcface.margin=1..2", "there is no arcface"),
    ],
)
def test_a_search_that_cannot_be_is_refused(config: TrainingConfig, text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        read_space([text], config)
    assert "\n" not in str(caught.value)


def test_a_key_is_searched_once_and_there_is_one(config: TrainingConfig) -> None:
    with pytest.raises(ArgumentError, match="nothing to search"):
        read_space([], config)
    with pytest.raises(ArgumentError, match="searched once"):
        read_space(["epochs=1..2", "epochs=1..3"], config)


def test_a_search_that_was_stopped_goes_on_and_draws_the_same(
    config: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(config, epochs=2)
    space = read_space(RATES, config)
    whole = tune(replace(config, out=tmp_path / "whole"), space, trials=4)

    def stop(now: TrainingProgress) -> None:
        steps.append(now.stage)
        if Counter(steps)["epoch 2 of 2"] == 6:  # in the second trial
            raise KeyboardInterrupt

    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        tune(config, space, trials=4, progress=stop)
    told: list[Trial] = []
    result = tune(config, space, trials=4, report=told.append)
    assert [trial.number for trial in told] == [1, 2, 3]
    assert result.trials == whole.trials
    assert [trial.metric for trial in result.trials] == sorted(
        (trial.metric or 0 for trial in result.trials), reverse=True
    )
    for number in range(4):
        run = Path(f"trial-{number:03}") / "best.safetensors"
        assert (config.out / run).is_file()
    assert len({trial.values["optimizer.rate"] for trial in result.trials}) == 4
    more = tune(config, space, trials=5)
    assert len(more.trials) == 5
    with pytest.raises(TrainingError, match="a search with other settings"):
        tune(replace(config, seed=1), space, trials=5)


def test_the_best_recipe_trains_to_what_the_trial_reached(config: TrainingConfig) -> None:
    config = replace(config, epochs=1)
    result = tune(config, read_space(RATES, config), trials=2)
    best = configure(result.recipe)
    assert best.optimizer.rate == result.trials[0].values["optimizer.rate"]
    again = train(best)
    assert again.out == config.out / "best"
    assert sha256_of(again.weights) == sha256_of(result.weights)


def test_rates_are_drawn_evenly_over_the_logarithm(config: TrainingConfig, scored: None) -> None:
    space = read_space(["optimizer.rate=1e-4..1e-1:log", "augment.crop=0..0.3"], config)
    result = tune(config, space, trials=60)
    decades = Counter(
        math.floor(math.log10(float(str(trial.values["optimizer.rate"]))))
        for trial in result.trials
    )
    assert set(decades) == {-4, -3, -2}
    assert min(decades.values()) >= 10  # of 20 each: 3.5 σ
    best = result.trials[0].values["optimizer.rate"]
    assert abs(math.log10(float(str(best))) + 2) < 0.2
    assert result.importance["optimizer.rate"] > 0.8


def test_the_sampler_that_learns_comes_closer(config: TrainingConfig, scored: None) -> None:
    space = read_space(["optimizer.rate=1e-4..1e-1:log", "augment.crop=0..0.3"], config)
    random, learnt = (
        tune(replace(config, out=config.out / name), space, trials=40, sampler=name)
        for name in SamplerName
    )
    late = [
        sum(trial.metric or 0 for trial in result.trials if trial.number >= 20)
        for result in (random, learnt)
    ]
    assert late[1] > late[0]


@pytest.fixture
def scored(report: Callable[..., EpochReport], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are not run: their metric falls with the distance of the rate from 0.01."""

    def submit(workers: Workers, job: SearchJob) -> Future[tuple[EpochReport, ...]]:
        future: Future[tuple[EpochReport, ...]] = Future()
        value = 1 - abs(math.log10(job.config.optimizer.rate) + 2) / 4
        future.set_result((report(1, val_auc=value),))
        return future

    monkeypatch.setattr(Workers, "submit", submit)


def test_a_trial_that_diverges_fails_alone_and_a_search_without_any_left_says_why(
    config: TrainingConfig,
) -> None:
    hard = replace(config, losses=(LossConfig(name=LossName.SOFTMAX),), epochs=1)
    space = read_space(["batch.people=3,100"], hard)
    result = tune(hard, space, trials=6)
    failed = [trial for trial in result.trials if trial.values["batch.people"] == 100]
    assert failed
    assert result.trials[-len(failed) :] == tuple(failed)
    assert all(trial.metric is None and trial.error for trial in failed)
    other = replace(hard, out=hard.out / "other")
    with pytest.raises(TrainingError, match="every trial failed, the first one so: "):
        tune(other, read_space(["batch.people=100,101"], other), trials=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"parallel": 0}, "parallel is 0"),
        ({}, r"pip install -e .*\[tune\]"),
    ],
)
def test_nothing_is_made_where_nothing_can_be(
    config: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, int],
    words: str,
) -> None:
    if not changes:
        monkeypatch.setattr(
            "recognition.learning.hyperparameter_search.find_spec", lambda name: None
        )
    with pytest.raises(ArgumentError, match=words):
        tune(config, read_space(["epochs=1..2"], config), **{"trials": 2, **changes})
    assert not config.out.exists()


@pytest.mark.slow
def test_trials_side_by_side_are_those_of_one_after_the_other(
    config: TrainingConfig, tmp_path: Path
) -> None:
    """In processes of their own, which know only the networks that come with the application."""
    config = replace(config, backbone="mobilefacenet", epochs=1)
    space = read_space(["optimizer.rate=1e-4..1e-1:log"], config)
    one, two = (
        tune(replace(config, out=tmp_path / str(count)), space, trials=2, parallel=count)
        for count in (1, 2)
    )
    assert one.trials == two.trials


def test_a_nursed_run_with_one_rate_is_an_ordinary_run(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hyperparameter_search, "FACTORS", (1.0,))
    constant = ScheduleConfig(name=ScheduleName.CONSTANT, warmup=0.0)
    config = replace(config, averaging=0.9, schedule=constant)
    whole = train(replace(config, out=tmp_path / "whole"))
    nursed = nurse(config, every=2)
    assert [each.round for each in nursed.candidates] == [1, 2]
    assert nursed.best_epoch == whole.best_epoch
    for name in ("best.safetensors", "last.safetensors"):
        assert sha256_of(nursed.folder / name) == sha256_of(whole.out / name)
    epochs = (nursed.folder / "metrics.jsonl").read_text().count("\n")
    assert epochs == 3


def test_the_nurse_goes_on_with_the_best_and_after_an_interruption_with_the_same(
    config: TrainingConfig, tmp_path: Path
) -> None:
    whole = nurse(replace(config, out=tmp_path / "whole"), every=1)

    def stop(now: TrainingProgress) -> None:
        steps.append(now.stage)
        if Counter(steps)["epoch 2 of 2"] == 6:
            raise KeyboardInterrupt

    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        nurse(config, every=1, progress=stop)
    result = nurse(config, every=1)
    assert result.candidates == whole.candidates
    assert sha256_of(result.weights) == sha256_of(whole.weights)
    rate = config.optimizer.rate
    for number in (1, 2, 3):
        tried = [each for each in result.candidates if each.round == number]
        assert [each.rate for each in tried] == [rate / 2, rate, rate * 2]
        [chosen] = [each for each in tried if each.chosen]
        assert chosen.metric == max(each.metric or 0 for each in tried)
        rate = chosen.rate


def test_a_rate_that_diverges_is_left_and_none_left_is_said(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(workers: Workers, job: SearchJob) -> object:
        if job.config.optimizer.rate > limit:
            future: object = submit(workers, replace(job, config=replace(job.config, device="x")))
        else:
            future = submit(workers, job)
        return future

    submit = Workers.submit
    monkeypatch.setattr(Workers, "submit", fail)
    limit = config.optimizer.rate
    result = nurse(replace(config, epochs=1), every=1)
    assert [each.error is None for each in result.candidates] == [True, True, False]
    limit = 0
    with pytest.raises(TrainingError, match="no rate goes on in round 1"):
        nurse(replace(config, epochs=1, out=config.out / "other"), every=1)
    with pytest.raises(ArgumentError, match="every is 9"):
        nurse(config, every=9)
