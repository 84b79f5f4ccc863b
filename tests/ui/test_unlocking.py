"""The page of an encrypted gallery asks for its passphrase, once for the server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import ui
from recognition.gallery import keys
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from ui import resources

_APP = Path(str(ui.__file__)).parent.parent / "app.py"
PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def encrypted(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ann is enrolled in an encrypted gallery, and the server has just been started."""
    monkeypatch.setattr(keys, "SCRYPT", (2**4, 8, 1))
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
    page = AppTest.from_file(_APP, default_timeout=60).run()
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
    another = AppTest.from_file(_APP, default_timeout=60).run()
    assert "Ann" in words(another)


def test_it_does_not_ask_where_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    page = AppTest.from_file(_APP, default_timeout=60).run()
    assert not page.exception
    assert "Ann" in words(page)


def test_it_asks_again_when_another_process_has_changed_the_passphrase(home: Path) -> None:
    page = AppTest.from_file(_APP, default_timeout=60).run()
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    assert "Ann" in words(page)
    with Gallery.open(home / "gallery", find_secret=lambda _: PASSPHRASE) as gallery:
        gallery.rotate("another passphrase")
    page.run()
    assert "The gallery is encrypted" in words(page)
    page.text_input[0].set_value(PASSPHRASE)
    page.button[0].click().run()
    assert "does not open it" in words(page)
    page.text_input[0].set_value("another passphrase")
    page.button[0].click().run()
    assert not page.exception
    assert "Ann" in words(page)
