"""The page in a real browser: Playwright, a Chromium of the machine, and a server to look at."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [  # a container's root needs the first; the others keep it from asking strangers
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


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
        process.communicate(timeout=60)


def opened(browser: Any, address: str, **context: Any) -> tuple[Any, str]:
    """A new page of the browser that has opened the printed address, and where it has come to."""
    page = browser.new_page(**context)
    page.goto(address)
    settled(page)
    return page, page.url.rstrip("/")


def settled(page: Any) -> None:
    """Wait until the page's script has come to its end."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_selector("[data-test-script-state=notRunning]", timeout=120_000)
