"""The page of an encrypted gallery asks for its passphrase, once for the server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import ui
from data.errors import GalleryError, LockedError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import encryption
from recognition.gallery.templates import EmbeddingModel, Template
from ui.page import resources, unlocking
from ui.page.unlocking import IdleLock

_APP = Path(str(ui.__file__)).parent.parent / "app.py"
PASSPHRASE = "tidal quartz nomad lantern"


@pytest.fixture(autouse=True)
def encrypted(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ann is enrolled in an encrypted gallery, and the server has just been started."""
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))
    monkeypatch.delenv("LIKENESS_KEY", raising=False)
    monkeypatch.delenv("LIKENESS_KEY_FILE", raising=False)
    model = EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)
    vector = np.eye(1, 16, dtype=np.float32)[0]
    with Gallery.open(home / "gallery", model=model, create=True) as gallery:
        gallery.enrol("Ann", [Template(embedding=vector, photograph_sha256="e" * 64)])
        gallery.encrypt(PASSPHRASE)
    resources._recognition.clear()
    yield
    resources._recognition.clear()


def words(page: AppTest) -> str:
    return "\n".join(
        str(one.value) for kind in ("title", "text", "error") for one in page.get(kind)
    )


def test_it_asks_once_and_then_shows_everybody() -> None:
    page = AppTest.from_file(_APP, default_timeout=280).run()
    assert not page.exception
    assert "The gallery is encrypted" in words(page)
    assert "Ann" not in words(page)
    page.text_input[0].set_value("wrong passphrase")
    page.button[0].click().run()
    assert "does not open it" in words(page)
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    assert not page.exception
    assert "Ann" in words(page)
    another = AppTest.from_file(_APP, default_timeout=280).run()
    assert "Ann" in words(another)


def test_it_does_not_ask_where_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    page = AppTest.from_file(_APP, default_timeout=280).run()
    assert not page.exception
    assert "Ann" in words(page)


def test_it_asks_anew_when_the_passphrase_is_changed_while_it_is_open(home: Path) -> None:
    page = AppTest.from_file(_APP, default_timeout=280).run()
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    with Gallery.open(home / "gallery", find_secret=lambda _: PASSPHRASE) as gallery:
        gallery.rotate("gravel orbit mitten plume")
    for place in ("ui/page/pages/verify.py", "ui/page/pages/people.py"):
        page.switch_page(place).run()
        assert not page.exception
        assert "The gallery is encrypted" in words(page)
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    assert "does not open it" in words(page)
    page.text_input[0].set_value("gravel orbit mitten plume")
    page.button[0].click().run()
    assert not page.exception
    assert "Ann" in words(page)


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()


def test_a_click_locks_it_for_every_session_whatever_holds_the_passphrase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    page = AppTest.from_file(_APP, default_timeout=280).run()
    another = AppTest.from_file(_APP, default_timeout=280).run()
    assert "Ann" in words(another)
    press(page, "Lock the gallery")
    for each in (page, another.run()):
        assert not each.exception
        assert "The gallery is encrypted" in words(each)
        assert "Ann" not in words(each)
        assert "memory" not in each.session_state
    with pytest.raises(LockedError):
        resources._recognition(resources.settings())[0].people.summaries()
    another.text_input[0].set_value(PASSPHRASE)
    another.button[0].click().run()
    assert "Ann" in words(another)
    assert "Ann" in words(page.run())


def test_nobody_is_offered_to_lock_what_is_not_encrypted(home: Path) -> None:
    with Gallery.open(home / "gallery", find_secret=lambda _: PASSPHRASE) as gallery:
        gallery.decrypt()
    page = AppTest.from_file(_APP, default_timeout=280).run()
    assert "Ann" in words(page)
    assert "Lock the gallery" not in [button.label for button in page.button]
    assert resources._recognition(resources.settings())[0].gallery.lock() is False


def test_it_is_locked_when_nobody_has_used_it_for_the_time_that_was_asked_for() -> None:
    now, locked = [0.0], []
    idle = IdleLock(lambda: locked.append(now[0]), 60, lambda: now[0])
    for moment, used in ((30, False), (59, True), (100, False), (118, True), (177, False)):
        now[0] = moment
        idle.look()
        if used:
            idle.used()
    assert locked == []
    now[0] = 178.0
    assert idle.look()
    assert locked == [178.0]
    never = IdleLock(lambda: locked.append(0.0), 0, lambda: 1e9)
    assert not never.look()


def test_a_gallery_that_cannot_be_locked_now_is_locked_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unlocking, "_LOOKED_AT", 0.001)
    asked, locked = [], threading.Event()

    def lock() -> None:
        asked.append(True)
        if len(asked) == 1:
            raise GalleryError("it is in use")
        locked.set()

    IdleLock(lock, 1, iter(range(0, 10**9, 2)).__next__).start()
    assert locked.wait(280)


def test_time_locks_a_page_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    monkeypatch.setenv("LIKENESS_LOCK_AFTER", "1")
    page = AppTest.from_file(_APP, default_timeout=280).run()
    assert "Ann" in words(page)
    _, idle = resources._recognition(resources.settings())
    idle._used_at -= 61
    assert idle.look()
    assert "The gallery is encrypted" in words(page.run())


def test_an_open_gallery_warns_of_a_passphrase_that_its_own_names_give_away(home: Path) -> None:
    secret = "Wrzesniewski Kapoor 1987"
    model = EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)
    vector = np.eye(2, 16, dtype=np.float32)[1]
    with Gallery.open(home / "gallery", find_secret=lambda _: PASSPHRASE) as gallery:
        gallery.rotate(secret)  # hard to guess until somebody of that name is enrolled
        gallery.require(model, adopt=True)
        page = AppTest.from_file(_APP, default_timeout=280).run()
        page.text_input[0].set_value(secret)
        page.button[0].click().run()
        assert not [one for one in page.warning if "easy to guess" in one.value]
        press(page, "Lock the gallery")
        photograph = Template(embedding=vector, photograph_sha256="f" * 64)
        gallery.enrol("Wrzesniewski Kapoor", [photograph])
    page.text_input[0].set_value(secret)
    page.button[0].click().run()
    assert not page.exception
    (warning,) = [one.value for one in page.warning if "easy to guess" in one.value]
    assert secret not in warning
    assert "Kapoor" not in warning


def test_nothing_that_was_found_out_stays_in_a_session_whose_gallery_is_locked() -> None:
    page = AppTest.from_file(_APP, default_timeout=280).run()
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    page.session_state["alike"] = {"of": None, "pairs": ["Ann and Bob"]}
    page.session_state["each"] = {"looked-at": {"x": "Ann"}}
    page.session_state["person-wanted"] = None
    press(page, "Lock the gallery")
    assert "The gallery is encrypted" in words(page)
    for found in ("memory", "each", "alike", "desk", "person-wanted"):
        assert found not in page.session_state
