"""How long a visitor of the page waits in a real browser: for the first page, and for another one.

    python benchmarks/page.py [--turns 5] [--json]

A Chromium of this machine, with an empty profile each turn, opens the printed address of a server
that nobody has asked yet. Something is to be seen with the browser's first contentful paint: the
sign and the title. The page itself is there when its own heading is; *settled* is when its script
has come to its end as well. Then the menu is clicked through twice: once when each page is new to
the server, and once more. Everything is timed by the browser's own clock.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

PAGES = ("Identify", "Verify", "Stylize", "Models", "People")
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

# Notes when each heading comes up, when a link of the menu is clicked, and when the script ends.
_WATCH = """
const seen = [];
window.likenessSeen = seen;
let heading = "", state = "";
const now = () => performance.timeOrigin + performance.now();
new MutationObserver(() => {
  const text = document.querySelector("h1")?.innerText ?? "";
  if (text && text !== heading) seen.push(["heading", text, now()]);
  heading = text;
  const at = document.querySelector("[data-test-script-state]")?.dataset.testScriptState ?? "";
  if (at !== state) seen.push(["script", at, now()]);
  state = at;
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  if (link) seen.push(["click", link.innerText, now()]);
}, true);
"""

_FIRST_PAINT = """
performance.timeOrigin + performance.getEntriesByName("first-contentful-paint")[0].startTime
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(given.turns):
        for name, seconds in one_turn().items():
            found[name].append(seconds)
    if given.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        low, high = min(values), max(values)
        middle = statistics.median(values)
        print(f"{name:34} {middle:6.2f} s (median of {len(values)}; {low:.2f} to {high:.2f})")


def one_turn() -> dict[str, float]:
    """Seconds, by what was waited for, of a server and a browser that have just been started."""
    from playwright.sync_api import sync_playwright

    browser_path = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if browser_path is None:
        sys.exit("error: no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        started = time.perf_counter()
        server, address = serve(Path(folder))
        figures = {"server: until it prints the address": time.perf_counter() - started}
        browser = driver.chromium.launch(executable_path=browser_path, args=_ARGUMENTS)
        try:
            with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
                page = context.new_page()
                page.add_init_script(_WATCH)
                figures |= first_page(page, address, "first page")
                for turn in ("first", "again"):
                    for title in PAGES:
                        figures[f"to {title}, {turn}"] = page_change(page, title)
                again = context.new_page()
                again.add_init_script(_WATCH)
                figures |= first_page(again, address, "another tab")
        finally:
            browser.close()
            server.terminate()
            server.communicate(timeout=60)
    return figures


def serve(home: Path) -> tuple[subprocess.Popen[str], str]:
    """A server with an empty gallery, and the address that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    likeness = str(Path(sys.executable).with_name("likeness"))
    server = subprocess.Popen(
        [likeness, "app", f"--port={port}"],
        env=os.environ | {"LIKENESS_HOME": str(home / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def first_page(page: Any, address: str, name: str) -> dict[str, float]:
    """From asking for the printed address to the heading, and to the end of the script."""
    begun = time.time() * 1000
    page.goto(address)
    settle(page, "People")
    noted = page.evaluate("likenessSeen")
    heading = next(at for kind, _, at in noted if kind == "heading")
    ended = [at for kind, text, at in noted if (kind, text) == ("script", "notRunning")][-1]
    # From the origin of this document: a redirection comes before it.
    painted = page.evaluate(_FIRST_PAINT)
    return {
        f"{name}: something to see": (painted - begun) / 1000,
        f"{name}: heading": (heading - begun) / 1000,
        f"{name}: settled": (ended - begun) / 1000,
    }


def page_change(page: Any, title: str) -> float:
    """From the click on the menu to the heading of the page."""
    page.evaluate("likenessSeen.length = 0")
    page.get_by_role("link", name=title).first.click()
    settle(page, title)
    noted = page.evaluate("likenessSeen")
    clicked = next(at for kind, _, at in noted if kind == "click")
    there = next(at for kind, text, at in noted if (kind, text) == ("heading", title))
    return float(there - clicked) / 1000


def settle(page: Any, title: str) -> None:
    """Wait until a page is there and at rest."""
    page.get_by_role("heading", name=title, level=1).wait_for(timeout=120_000)
    page.wait_for_timeout(100)
    page.wait_for_selector("[data-test-script-state=notRunning]", timeout=120_000)
    page.wait_for_timeout(100)


if __name__ == "__main__":
    main()
