"""The page in a real browser, where there is one: Playwright and a Chromium."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

PAGES = ("", "identify", "verify", "stylize", "models")

# The page with a recognition service that is slow, knows one person after enrolment, and notes
# every enrolment in a file.
SLOW_SERVICE = """
import os, sys, time
from recognition.results import Enrolled, Enrolment
from ui import cli, resources

class Service:
    def load(self):
        return None
    def people(self, *, deleted=False):
        return ()
    def operations(self):
        return ()
    def enroll(self, person, images, *, face=None, any_quality=False):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{person}\\n")
        time.sleep(2)
        return Enrolment(enrolled=(Enrolled(person=person, photographs=1),), skipped=())

resources.recognition = Service
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: see its docs")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((path for name in names if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    arguments = ["--disable-gpu", "--disable-background-networking", "--no-sandbox"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


@contextmanager
def served(home: Path, *program: str, **environment: str) -> Iterator[str]:
    """The page, served on a free port until the block ends; the address that opens it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *program, "app", f"--port={port}"],
        cwd=home.parent,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith(f"http://127.0.0.1:{port}/"), "the server has ended"
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def opened(browser: Any, address: str) -> tuple[Any, str]:
    """A new page of the browser that has opened the printed address, and where it has come to."""
    page = browser.new_page()
    page.goto(address)
    settled(page)
    return page, page.url.rstrip("/")


def settled(page: Any) -> None:
    """Wait until the page's script has come to its end."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_selector("[data-test-script-state=notRunning]", timeout=120_000)


def test_every_page_opens_without_an_exception_and_without_asking_strangers(
    browser: Any, home: Path
) -> None:
    with served(home, "-m", "ui.cli") as address:
        page, base = opened(browser, address)
        errors: list[str] = []
        strangers: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: (
                strangers.append(request.url)
                if request.url.startswith("http") and not request.url.startswith(base)
                else None
            ),
        )
        titles = []
        for name in PAGES:
            page.goto(f"{base}/{name}")
            settled(page)
            assert page.locator("[data-testid=stException]").count() == 0
            titles.append(page.locator("h1").inner_text())
        page.close()
    assert titles == ["People", "Identify", "Verify", "Stylize", "Models"]
    assert errors == []
    assert strangers == []


def wait_for_line(path: Path) -> None:
    """Wait until something has been written into a file."""
    for _ in range(600):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("nothing was written")


def test_a_double_click_enrols_once(browser: Any, home: Path, tmp_path: Path) -> None:
    photograph = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photograph, "PNG")
    notes = tmp_path / "notes"
    with served(home, "-c", SLOW_SERVICE, NOTES=str(notes)) as address:
        page, _ = opened(browser, address)
        page.get_by_label("Name").first.fill("Ann")
        page.locator("input[type=file]").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": photograph.getvalue()}
        )
        page.get_by_text("a.png").wait_for()
        settled(page)
        button = page.get_by_role("button", name="Enrol", exact=True)
        button.dblclick()
        wait_for_line(notes)
        button.click()  # once more, while the service is at work
        page.get_by_text("1 photograph enrolled").wait_for(timeout=60_000)
        settled(page)
        page.close()
    assert notes.read_text() == "Ann\n"


def test_styles_are_chosen_by_clicks_and_stay_chosen(browser: Any, home: Path) -> None:
    with served(home, "-m", "ui.cli") as address:
        page, base = opened(browser, address)
        page.goto(f"{base}/stylize")
        settled(page)

        def tile(name: str) -> Any:
            return page.get_by_role("button", name=name, exact=True)

        def share(name: str) -> Any:  # names stand between marks that nobody sees
            return page.get_by_text(re.compile(f"Share of .?{name}"))

        for name in ("waves", "mosaic", "batik", "cubist"):
            tile(name).click()
        share("cubist").wait_for(timeout=60_000)
        settled(page)
        assert tile("terrazzo").is_disabled()  # four are as many as are mixed
        tile("batik").click()
        share("batik").wait_for(state="detached", timeout=60_000)
        settled(page)
        assert tile("terrazzo").is_enabled()
        pressed = page.locator("button[aria-pressed=true] .name").all_inner_texts()
        page.close()
    assert pressed == ["mosaic", "waves", "cubist"]
