"""What runs in the browser: from memory, whole, and named early."""

import asyncio
import gzip
import json
import re
import threading
from collections.abc import MutableMapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from streamlit import file_util

from ui.page.frontend import ELEMENTS, Frontend, first_paint, preloads

STATIC = Path(file_util.get_static_dir())
PAGE = b"<!DOCTYPE html><html><head><title>x</title></head><body>y</body></html>"


class Page:
    """Stands for Streamlit's application: answers with a page, or with what it is told."""

    def __init__(self, *bodies: bytes, kind: bytes = b"text/html", status: int = 200) -> None:
        self.bodies, self.kind, self.status = bodies or (PAGE,), kind, status
        self.asked: list[str] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.asked.append(scope.get("path", scope["type"]))
        if scope["type"] != "http":
            return
        length = sum(map(len, self.bodies))
        headers = [(b"content-type", self.kind), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for place, body in enumerate(self.bodies, 1):
            more = place < len(self.bodies)
            await send({"type": "http.response.body", "body": body, "more_body": more})


def ask(
    page: Any,
    path: str,
    method: str = "GET",
    base: str = "/base",
    asks: Sequence[tuple[bytes, bytes]] = (),
) -> tuple[dict[bytes, bytes], bytes]:
    """The headers and the body of an answer, whose length must be the one that is told."""
    sent: list[dict[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": method, "path": path, "headers": [*asks]}
    asyncio.run(Frontend(page, base, STATIC)(scope, None, send))  # type: ignore[arg-type]
    start, *bodies = sent
    content = b"".join(one.get("body", b"") for one in bodies)
    headers = dict(start["headers"])
    if method == "GET":
        assert int(headers[b"content-length"]) == len(content)
    return headers, content


def test_every_file_is_handed_out_as_it_is_and_may_be_kept() -> None:
    page = Page()
    kinds = {".js": b"javascript", ".css": b"text/css", ".woff2": b"font/woff2"}
    for suffix, kind in kinds.items():
        path = next(STATIC.glob(f"static/**/*{suffix}"))
        headers, content = ask(page, f"/base/{path.relative_to(STATIC).as_posix()}")
        assert content == path.read_bytes()
        assert kind in headers[b"content-type"]
        assert b"immutable" in headers[b"cache-control"]
        headers, content = ask(page, f"/base/{path.relative_to(STATIC).as_posix()}", "HEAD")
        assert content == b""
        assert int(headers[b"content-length"]) == path.stat().st_size
    assert page.asked == []


@pytest.mark.parametrize(
    "path",
    ["/base/static/../index.html", "/base/static/js/../../../config.py", "/base/static/", "/base/",
     "/base/static/js/nothing.js", "/base//static/js", "/base/static/%2e%2e/x", "/base/_stcore/x",
     "/base/identify", "/base/static/js\0"],
)  # fmt: skip
def test_whatever_is_no_such_file_is_the_page_s_to_answer(path: str) -> None:
    page = Page(kind=b"text/plain")
    assert ask(page, path)[1] == PAGE
    assert page.asked == [path]
    name = next(STATIC.glob("static/js/*.js")).name
    page = Page(kind=b"text/plain")
    ask(page, f"/base/static/js/{name}", "POST")
    assert len(page.asked) == 1


def test_a_page_of_html_names_the_scripts_that_it_will_need(tmp_path: Path) -> None:
    whole = ask(Page(), "/base/")[1]
    named = re.findall(rb'<link rel="modulepreload" crossorigin href="\./([^"]+)">', whole)
    assert len(named) == len(set(named)) > len(ELEMENTS)
    assert all((STATIC / name.decode()).is_file() for name in named)
    assert whole.index(b"modulepreload") < whole.index(b"</head>")
    for element in ELEMENTS:
        assert any(name.startswith(f"static/js/{element}.".encode()) for name in named), element
    index = (STATIC / "index.html").read_bytes()
    assert not [name for name in named if name in index]  # they are asked for there
    for pieces in ((PAGE[:40], PAGE[40:]), (PAGE, b""), (b"no head",)):
        content = ask(Page(*pieces), "/base/")[1]
        assert content.count(b"modulepreload") == len(named)
        assert re.sub(rb"<link [^>]*>", b"", content) == b"".join(pieces)


THEME = {"theme.light.backgroundColor": "#fedcba", "theme.dark.textColor": "#abcdef"}


@pytest.mark.parametrize(
    ("path", "title"),
    [("", "People"), ("identify", "Identify"), ("models/", "Models"), ("<script>", "People")],
)
@pytest.mark.parametrize("at", [30, 1200, 10**6])
def test_before_any_script_runs_the_page_shows_its_sign_and_its_title(
    path: str, title: str, at: int
) -> None:
    index = (STATIC / "index.html").read_bytes()
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": f"/base/{path}", "headers": []}
    page = Frontend(
        Page(index[:at], index[at:]), "/base", STATIC, shown_first=partial(first_paint, THEME)
    )
    asyncio.run(page(scope, None, send))  # type: ignore[arg-type]
    content = b"".join(one.get("body", b"") for one in sent).decode()
    assert int(dict(sent[0]["headers"])[b"content-length"]) == len(content.encode())
    assert len(sent) == 2
    shown = content.split('<div id="root">')[1].split("</div>")[0]
    assert f"<p>{title}</p>" in shown
    assert all(part in shown for part in ("<svg", "#fedcba", "#abcdef"))
    assert not re.search(r"[A-Z]{4}_[A-Z]+|WORDMARK|TITLE|LOADING|<script|<h1", shown)


def test_other_answers_are_left_alone() -> None:
    for page in (Page(kind=b"application/json"), Page(status=404), Page(status=304)):
        assert ask(page, "/base/")[1] == PAGE
    headers, _ = ask(Page(), "/base/", "HEAD")
    assert int(headers[b"content-length"]) == len(PAGE)


async def packing(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """A page that is packed where the browser takes that, as Streamlit's are but the first."""
    packs = b"accept-encoding" in dict(scope["headers"])
    body = gzip.compress(PAGE) if packs else PAGE
    headers = [
        (b"content-type", b"text/html"),
        (b"content-length", str(len(body)).encode()),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        *([(b"content-encoding", b"gzip")] if packs else []),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def test_a_packed_page_is_left_alone_and_a_browser_is_sent_none() -> None:
    takes = (b"accept-encoding", b"gzip, br")
    headers, content = ask(packing, "/base/verify", asks=[takes])
    assert headers[b"content-encoding"] == b"gzip"
    assert gzip.decompress(content) == PAGE
    headers, content = ask(packing, "/base/verify", asks=[takes, (b"sec-fetch-dest", b"document")])
    assert b"content-encoding" not in headers
    assert b"modulepreload" in content


def test_an_answer_keeps_all_of_its_headers() -> None:
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/base/", "headers": []}
    asyncio.run(Frontend(packing, "/base", STATIC)(scope, None, send))  # type: ignore[arg-type]
    cookies = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    assert cookies == [b"a=1", b"b=2"]


def test_another_release_of_streamlit_costs_nothing_but_time(tmp_path: Path) -> None:
    assert preloads(tmp_path, ELEMENTS) == ""
    for text in ("", "[]", "{}", '{"a": {}}', '{"a": {"isEntry": true, "imports": ["b"]}}', "[1"):
        (tmp_path / "manifest.json").write_text(text)
        assert preloads(tmp_path, ELEMENTS) == ""
    manifest = {
        "index": {"isEntry": True, "file": "static/index.js", "imports": ["shared"]},
        "shared": {"file": "static/shared.js", "imports": ["index"]},
        "one": {"name": "Html", "file": "static/Html.js", "imports": ["shared", "other"]},
        "other": {"file": "static/other.js", "imports": ["one"]},
        "apart": {"name": "Apart", "file": "static/Apart.js"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert re.findall(r"\./([^\"]+)", preloads(tmp_path, ["Html", "Gone"])) == [
        "static/Html.js",
        "static/other.js",
    ]


def test_no_session_begins_before_what_it_needs_is_loaded() -> None:
    loaded, order = threading.Event(), []
    page = Page()

    def ready() -> None:
        loaded.wait(280)
        order.append("loaded")

    async def both() -> None:
        frontend = Frontend(page, "/base", STATIC, ready)
        session = asyncio.create_task(
            frontend({"type": "websocket", "path": "/base/x"}, None, None)
        )  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert page.asked == []  # and files are handed out meanwhile
        loaded.set()
        await session

    asyncio.run(both())
    assert (order, page.asked) == (["loaded"], ["/base/x"])
