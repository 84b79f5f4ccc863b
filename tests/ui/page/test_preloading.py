"""What is loaded in a thread of its own, and the sessions that wait for it."""

import subprocess
import sys
import threading

import pytest

from data.errors import WeightsError
from ui.page import preloading
from ui.page.preloading import Loading


def test_it_is_waited_for_and_tells_what_went_wrong() -> None:
    held = threading.Event()
    waiting = Loading(held.wait)
    assert not waiting.wait(0.01)
    held.set()
    assert waiting.wait(280)
    waiting.result()

    def fail() -> None:
        raise WeightsError("no weights")

    failed = Loading(fail)
    for _ in range(2):
        with pytest.raises(WeightsError, match="no weights"):
            failed.result()


def test_however_many_ask_the_libraries_are_imported_once_and_then_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    asked = threading.Event()
    monkeypatch.setattr(preloading, "_libraries", None)
    monkeypatch.setattr(preloading, "_import", lambda _: (asked.wait(280), done.append("imported")))
    followed = threading.Event()

    def then() -> None:
        done.append("then")
        followed.set()

    threads = [threading.Thread(target=preloading.libraries, args=(then,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == []
    asked.set()
    preloading.libraries().result()
    assert followed.wait(280)
    assert done == ["imported", "then"]


def test_nobody_waits_for_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    for_ever = threading.Event()
    monkeypatch.setattr(preloading, "_libraries", None)
    monkeypatch.setattr(preloading, "_import", lambda _: None)
    assert preloading.libraries(then=for_ever.wait).wait(280)
    for_ever.set()


def test_the_pages_import_nothing_large_by_themselves_once_the_libraries_are_there() -> None:
    """Whatever of torch, torchvision and the like is imported later may break another session."""
    code = """
import sys
from ui.page import components, preloading
preloading._import(preloading._LIBRARIES)
before = {name.partition(".")[0] for name in sys.modules}
import backbones.networks, recognition.calibration, recognition.enrolment, recognition.service
import style.presets.registry, style.presets.shelf
from recognition.detection import detector, mtcnn
from recognition.faces import alignment, embedding, quality
from ui.cli import painting
from ui.page import corrections, enrolment_report, face_dialog
after = {name.partition(".")[0] for name in sys.modules} - before
print(sorted(after & {"torch", "torchvision", "facenet_pytorch", "faiss", "pandas", "scipy"}))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=280
    )
    assert told.stdout.strip() == "[]"


def test_what_is_put_off_begins_by_itself_and_at_once_where_somebody_waits() -> None:
    begun = threading.Event()
    put_off = Loading(begun.set, after=600)
    assert put_off.is_put_off
    assert not put_off.has_ended
    assert not begun.wait(0.2)
    put_off.result()
    assert begun.is_set()
    assert put_off.has_ended
    assert not put_off.is_put_off
    soon = Loading(begun.set, after=0.05)
    while not soon.has_ended:  # asking does not hasten it, and it comes
        pass
    assert not soon.is_put_off
