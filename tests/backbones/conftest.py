"""Networks with random weights, built once for all tests here, and a publisher of weights."""

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from backbones.network import Backbone
from backbones.registry import build, create, spec_of


@pytest.fixture(scope="session")
def random_network() -> Callable[[str], Backbone]:
    """A network by name, with seeded random weights; not to be changed."""
    return functools.cache(lambda name: create(name, seed=0).requires_grad_(False))


@pytest.fixture(scope="session")
def shapes_of() -> Callable[[str], Backbone]:
    """A network by name that has shapes and no numbers, on torch's meta device."""

    def make(name: str) -> Backbone:
        with torch.device("meta"):
            return build(spec_of(name)).to("meta").requires_grad_(False)

    return functools.cache(make)


@dataclass
class Publisher:
    """A server on this machine with one file, `/weights.pth`, that can be told to misbehave.

    Attributes:
        content: What is served.
        etag: What the server calls this version; empty says nothing.
        ranges: Whether it can give a part of the file.
        cuts: After how many bytes the next connections break, one each; then none breaks.
        status: Another answer than the file, if not 200.
        content_type: What the server says that it is.
        asked: The Range and If-Range of each request so far.
    """

    content: bytes
    etag: str = '"first"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    status: int = 200
    content_type: str = "application/octet-stream"
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(publisher: Publisher) -> Iterator[Publisher]:
    """Serve on a free port of 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted, version = self.headers["Range"], self.headers["If-Range"]
            publisher.asked.append((wanted, version))
            if publisher.status != 200:
                self.send_error(publisher.status)
                return
            start = 0
            if wanted and publisher.ranges and version in (None, publisher.etag):
                found = re.fullmatch(r"bytes=(\d+)-", wanted)
                assert found
                start = int(found[1])
            if start >= len(publisher.content) > 0:
                self.send_error(416)
                return
            self._give(publisher.content[start:], start)

        def _give(self, body: bytes, start: int) -> None:
            whole = len(publisher.content)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            if publisher.etag:
                self.send_header("ETag", publisher.etag)
            self.send_header("Content-Type", publisher.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the other side may have heard enough
                self.wfile.write(body[: publisher.cuts.pop(0)] if publisher.cuts else body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    publisher.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    try:
        yield publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], Publisher]]:
    """Serve a file's content until the test ends; no proxy is asked."""
    monkeypatch.setenv("no_proxy", "*")
    with contextlib.ExitStack() as servers:
        yield lambda content: servers.enter_context(serving(Publisher(content)))
