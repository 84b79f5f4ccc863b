"""The page in a real browser: Playwright, a Chromium of the machine, and a server to look at.

A machine may be slow and busy: nothing here waits for less than minutes, or for a fixed time.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
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


def free_port() -> int:
    """A port on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def opened(browser: Any, address: str, **context: Any) -> tuple[Any, str]:
    """A new page of the browser that has opened the printed address, and where it has come to."""
    page = browser.new_page(**context)
    page.set_default_timeout(MINUTES)
    page.goto(address)
    settled(page)
    return page, page.url.rstrip("/")


def settled(page: Any) -> None:
    """Wait until the page's script has come to its end."""
    page.wait_for_selector("h1", timeout=MINUTES)
    page.wait_for_selector("[data-test-script-state=notRunning]", timeout=MINUTES)
