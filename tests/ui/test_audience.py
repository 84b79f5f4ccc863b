"""What others than the owner are told, and how often they may ask."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.errors import AppError
from recognition.access import GalleryAccess
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from ui import wording
from ui.audience import BEHIND
from ui.page import resources
from ui.page.limits import MOST_A_MINUTE, Allowance
from ui.page.resources import Turns


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page stands behind a proxy."""
    monkeypatch.setenv(BEHIND, "https://faces.example.org")
    resources._allowance.clear()
    yield
    resources._allowance.clear()


@pytest.mark.usefixtures("others")
def test_no_two_similarities_on_one_side_of_the_threshold_are_told_apart() -> None:
    values = np.linspace(-1, 1, 401)
    for side in (values[values >= 0.39], values[values < 0.39]):
        told = {(wording.number(one), wording.against(one, 0.39)) for one in side}
        assert len(told) == 1
    assert len({wording.likely(one) for one in np.linspace(0, 1, 101)}) == 2
    warning = "unlike the other photographs of 'Ann' (similarity 0.12, wanted 0.39): is it her?"
    assert "0" not in wording.on_page(warning)
    assert "Ann" in wording.on_page(warning)


def test_the_owner_is_told_the_numbers() -> None:
    assert wording.against(0.624, 0.39) == "0.62, where 0.39 is needed"
    assert wording.likely(0.73) == "73 %"
    assert "0\\.12" in wording.on_page("unlike (similarity 0.12)")


@pytest.mark.usefixtures("others")
def test_so_many_photographs_are_compared_in_a_minute_by_all_visitors() -> None:
    for _ in range(MOST_A_MINUTE // 2):
        resources.allow_search(2)
    with pytest.raises(AppError, match="in a minute"):
        resources.allow_search(1)


def test_the_owner_may_compare_as_many_as_they_like() -> None:
    for _ in range(100):
        resources.allow_search(50)


def test_an_allowance_comes_back_with_time_and_never_beyond_itself() -> None:
    now = [0.0]
    allowance = Allowance(10, 60, lambda: now[0])
    assert allowance.take(10)
    assert not allowance.take(1)
    now[0] = 6.0
    assert allowance.take(1)
    assert not allowance.take(1)
    now[0] = 10_000.0
    assert not allowance.take(11)
    assert allowance.take(10)
    assert not allowance.take(1)


def test_a_search_is_in_the_audit_log_and_changes_nothing_else(home: Path) -> None:
    model = EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)
    vector = np.eye(1, 16, dtype=np.float32)[0]
    with Gallery.open(home / "gallery", model=model, create=True) as gallery:
        gallery.enrol("Ann", [Template(embedding=vector, photograph_sha256="e" * 64)])
        before = gallery.facts() | {"bytes": 0}
    with GalleryAccess(home) as access:
        (ann,) = access.open().people()
        access.note_search([ann.person_id])
        access.note_search([])
        noted = [(entry.action, entry.person_id) for entry in access.audit()[:2]]
    assert noted == [("search", None), ("search", ann.person_id)]
    with Gallery.open(home / "gallery") as gallery:
        assert gallery.facts() | {"bytes": 0} == before  # the index need not be made anew


def test_long_work_lets_others_have_their_turn_and_goes_on_afterwards() -> None:
    turns, told = Turns(), []
    begun, waiting = threading.Event(), threading.Event()

    def long() -> None:
        turns.begin()
        begun.set()
        waiting.wait(280)
        for number in range(3):
            told.append(f"long {number}")
            turns.let_others()
        turns.end()

    def short() -> None:
        turns.begin()
        told.append("short")
        turns.end()

    workers = [threading.Thread(target=long), threading.Thread(target=short)]
    workers[0].start()
    begun.wait(280)
    workers[1].start()
    while len(turns._waiting) < 2:
        pass
    waiting.set()
    for worker in workers:
        worker.join(280)
    assert told == ["long 0", "short", "long 1", "long 2"]
