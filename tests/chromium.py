"""The page in a real browser: Playwright, a Chromium of the machine, and a server to look at.

A machine may be slow and busy: nothing here waits for less than minutes, or for a fixed time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [  # a container's root needs the first; the others keep it from asking strangers
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


MINUTES = 240_000  # ms that anything may take
LOGS: list[Path] = []
"""What the servers of this process have said on standard error, shown where a test fails."""


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: see its docs")
    chromium = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield started
        started.close()


@contextmanager
def served(
    home: Path, *program: str, port: int = 0, options: tuple[str, ...] = (), **environment: str
) -> Iterator[str]:
    """The page, served until the block ends; the address that opens it.

    Args:
        home: The data folder.
        program: What Python runs instead of a file: `-m ui.cli.main`, or `-c` and a program.
        port: Where it listens; 0 takes a free one.
        options: More words for `likeness app`.
        environment: Variables that are set for it.
    """
    with tempfile.NamedTemporaryFile("w+", prefix="server-", suffix=".log") as said:
        LOGS.append(Path(said.name))
        process = subprocess.Popen(
            [sys.executable, *program, "app", f"--port={port or free_port()}", *options],
            cwd=home.parent,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http"), f"no address: {Path(said.name).read_text()}"
            yield address
        finally:
            process.terminate()
            process.communicate(timeout=200)
            LOGS.remove(Path(said.name))


def opened(browser: Any, address: str, **context: Any) -> tuple[Any, str]:
    """A new page of the browser that has opened the printed address, and where it has come to."""
    page = browser.new_page(**context)
    page.set_default_timeout(MINUTES)
    page.goto(address)
    settled(page)
    return page, page.url.rstrip("/")


_AT_REST = """() => {
  const ended = document.querySelector("[data-test-script-state=notRunning]");
  const loading = document.querySelector("[data-testid=stSkeleton]");
  return ended && !loading ? document.querySelectorAll("*").length : 0;
}"""
"""How many elements there are once the script has ended and each has its own script; 0 before."""

_SAME_FOR, _LOOKED_EVERY = 3, 60  # times, ms


def settled(page: Any) -> None:
    """Wait until the page's script has come to its end, and what it has described is drawn.

    Streamlit fetches the script of an element when the first of its kind is described: the page's
    own script may have ended long before.
    """
    page.wait_for_selector("h1", timeout=MINUTES)
    deadline = time.monotonic() + MINUTES / 1000
    before, same = 0, 0
    while same < _SAME_FOR:
        assert time.monotonic() < deadline, "the page has not come to rest"
        now = page.evaluate(_AT_REST)
        same = same + 1 if now and now == before else 0
        before = now
        page.wait_for_timeout(_LOOKED_EVERY)


_RUNS = """() => {
  if (window.runsSeen === undefined) {
    const state = () =>
      document.querySelector("[data-test-script-state]")?.dataset.testScriptState ?? "";
    let before = state();
    window.runsSeen = 0;
    new MutationObserver(() => {
      if (state() !== before && state() === "running") window.runsSeen += 1;
      before = state();
    }).observe(document, { subtree: true, attributes: true });
  }
  return window.runsSeen;
}"""
"""How many runs of its script a page has begun since this was asked first."""

_A_RUN_BEGINS = 60  # s after an upload within which the script runs; too short a run is not seen


def upload(page: Any, *files: dict[str, Any], place: int = 0) -> None:
    """Hand pictures over, and wait until the page's script has seen them.

    Their names are there at once, before the server has any of them.
    """
    runs = page.evaluate(_RUNS)
    with page.expect_response(lambda answer: "upload_file" in answer.url, timeout=MINUTES):
        page.locator("input[type=file]").nth(place).set_input_files(list(files))
    for file in files:
        page.get_by_text(file["name"]).first.wait_for()
    deadline = time.monotonic() + _A_RUN_BEGINS
    while page.evaluate(_RUNS) == runs and time.monotonic() < deadline:
        page.wait_for_timeout(_LOOKED_EVERY)
    settled(page)
