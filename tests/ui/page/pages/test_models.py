import sys
import time

import pytest

from ui.jobs import orders, store
from ui.jobs.store import JobState

FETCHER = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # as the command's own process does
line = {"step": 30_000_000, "total": 100_000_000, "elapsed": 3}
print(json.dumps(line), flush=True)
time.sleep(600)
"""


@pytest.fixture
def fetcher(monkeypatch):
    """Puts a stand-in into the place of the command line that downloads."""

    def install(program):
        monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", program])

    return install


def until(page, condition):
    deadline = time.monotonic() + 280
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
        page.run()
        assert not page.exception


def test_every_network_is_listed_with_size_terms_and_the_folder(open_page, said, home):
    words = said(open_page("models"))
    for name in ("inception", "mobilefacenet", "squeezenet1", "vgg19"):
        assert name in words
    assert "million parameters" in words
    assert "VGGFace2" in words
    assert "Licence" in words
    assert str(home / "weights" / "NAME.safetensors") in words


def test_nothing_is_fetched_without_consent(open_page):
    page = open_page("models")
    page.run()
    assert not store.all_jobs()


def test_a_download_on_consent_shows_how_far_it_is_and_can_be_cancelled(open_page, fetcher):
    fetcher(FETCHER)
    page = open_page("models")
    page.button(key="download-inception_resnet_v1").click().run()
    assert not page.exception
    (job,) = store.all_jobs()
    assert (job.kind, job.title) == ("download", "inception_resnet_v1")
    until(page, lambda: any("of 100.0 MB" in bar.proto.text for bar in page.get("progress")))
    assert "download-inception_resnet_v1" not in [button.key for button in page.button]
    page.button(key=f"cancel-{job.id}").click().run()
    until(page, lambda: "download-inception_resnet_v1" in [button.key for button in page.button])


def test_what_is_open_about_a_digest_that_is_known_in_part_stands_by_the_button(open_page, said):
    from backbones.registry import available, spec_of
    from ui.wording import literal

    short = [one for name in available() for one in spec_of(name).weights if one.short_digest]
    words = said(open_page("models"))
    for source in short:
        assert literal(source.short_digest) in words
    assert words.count("digits of this file") == len(short)


def test_a_download_that_fails_says_why_and_can_be_tried_again(open_page, fetcher):
    fetcher("import sys; sys.exit('error: cannot fetch it: no network')")
    page = open_page("models")
    page.button(key="download-vgg19").click().run()
    until(page, lambda: page.error)
    assert "no network" in page.error[0].value
    assert page.button(key="download-vgg19")


def test_weights_at_hand_are_named(open_page, said, home):
    from safetensors.torch import save_file
    from torch import zeros

    (home / "weights").mkdir(parents=True)
    save_file({"x": zeros(1)}, home / "weights" / "vgg19.safetensors")
    page = open_page("models")
    assert "weights at hand" in said(page)
    assert "download-vgg19" not in [button.key for button in page.button]
    (home / "weights" / "vgg19.safetensors").unlink()
    next(button for button in page.button if button.label == "Look again").click().run()
    assert "weights at hand" not in said(page)


def test_a_damaged_file_of_weights_is_reported(open_page, home):
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "vgg19.safetensors").write_bytes(b"nonsense")
    page = open_page("models")
    assert any("vgg19" in error.value for error in page.error)
    assert all(job.state is not JobState.RUNNING for job in store.all_jobs())
