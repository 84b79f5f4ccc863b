"""The page's server as it runs: started in a stranger's folder, and asked by strangers."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hostile import hostile
from ports import free_port
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from ui.page import server as server_module
from ui.page.connections import MOST_WAITING
from ui.page.gate import Access

NOBODY = 65534

# The command line, in a process that notes every connection to somewhere else.
PROGRAM = """
import socket, sys
notes = sys.argv.pop(1)
connect = socket.socket.connect
def noted(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
        with open(notes, "a") as file: file.write(f"{address}\\n")
    return connect(self, address)
socket.socket.connect = noted
lookup = socket.getaddrinfo
def looked_up(host, *rest, **options):
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        with open(notes, "a") as file: file.write(f"{host}\\n")
    return lookup(host, *rest, **options)
socket.getaddrinfo = looked_up
from ui.cli import main
from ui.page import limits
limits.SECONDS_STILL = 3
sys.exit(main.main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Server:
    """A page that is being served."""

    address: str
    port: int
    process: int
    folder: Path
    home: Path
    notes: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, headers and body of an answer."""
        given = {"host": self.host}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        with self.connected() as connection:
            connection.request(method, path, headers=given)
            with connection.getresponse() as response:
                body = response.read().decode("utf-8", "replace")
                return response.status, str(response.headers), body

    @property
    def origin(self) -> str:
        """Scheme, host and port of the page."""
        return self.address.partition("/open/")[0]

    @property
    def host(self) -> str:
        """The name that this start has drawn, which a browser finds by itself, and the port."""
        return self.origin.removeprefix("http://")

    def connected(self) -> closing[http.client.HTTPConnection]:
        """A connection, which the block closes."""
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=280))

    def enter(self) -> tuple[str, str]:
        """Open the printed address; the path of the page, and the cookie."""
        status, headers, body = self.ask(self.address.removeprefix(self.origin))
        assert status == 200
        (base,) = re.findall(r'url=(/[^"]*)/"', body)
        (cookie,) = re.findall(r"set-cookie: (likeness=[^;]+)", headers)
        return base, cookie

    def handshake(self, path: str, **headers: str) -> int:
        """The status of the answer to a request for a socket; 101 opens one."""
        key = base64.b64encode(os.urandom(16)).decode()
        given = {
            "host": self.host, "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": "streamlit",
        } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
        with self.connected() as connection:
            connection.request("GET", path, headers=given)
            with connection.getresponse() as response:
                return response.status


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page, started in a hostile folder and with Streamlit's variables set against it."""
    place = tmp_path_factory.mktemp("serving")
    folder = hostile(place / "downloads")
    notes = place / "connections"
    port = free_port()
    environment = {
        "STREAMLIT_SERVER_ENABLE_CORS": "false", "STREAMLIT_SERVER_ADDRESS": "0.0.0.0",
        "STREAMLIT_SECRETS_FILES": str(folder / "secrets.toml"),
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, str(notes), "app", f"--port={port}", "--home=data"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    with process:
        yield Server(address, port, process.pid, folder, folder / "data", notes)
        process.terminate()
        assert process.wait(200) == 0


@contextmanager
def session(server: Server, base: str, cookie: str, page: str = "") -> Iterator[tuple[str, str]]:
    """Open a session and let a page's script run; the text of what it sends, and the session."""
    from websockets.sync.client import connect

    address = f"ws://{server.host}{base}/_stcore/stream"
    reached = socket.create_connection(("127.0.0.1", server.port))
    with connect(
        address,
        sock=reached,
        additional_headers={"Cookie": cookie},
        origin=server.origin,  # type: ignore[arg-type]
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        max_queue=None,
        open_timeout=280,
    ) as stream:
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.page_name = page
        stream.send(message.SerializeToString())
        said, number, ended = "", "", False
        while not ended:
            told = ForwardMsg()
            told.ParseFromString(stream.recv(timeout=280))  # type: ignore[arg-type]
            said += str(told)
            number = number or told.new_session.initialize.session_id
            ended = told.HasField("script_finished")
        yield said, number


def run_script(server: Server, base: str, cookie: str, page: str = "") -> str:
    """The text of what a page's script sends to a session that is over then."""
    with session(server, base, cookie, page) as (said, _):
        return said


def test_pages_that_are_opened_at_once_right_after_the_start_each_come_up(server: Server) -> None:
    """Sessions that began to import torch's libraries at the same time broke each other."""
    base, cookie = server.enter()
    pages = ("verify", "stylize", "identify", "models", "", "identify", "verify")
    with ThreadPoolExecutor(len(pages)) as pool:
        said = list(pool.map(partial(run_script, server, base, cookie), pages))
    for page, text in zip(pages, said, strict=True):
        assert (page or "people").capitalize() in text
        assert "exception {" not in text, page


def test_nothing_in_the_folder_configures_the_server_or_runs(server: Server) -> None:
    base, cookie = server.enter()
    assert base != "/elsewhere"
    said = run_script(server, base, cookie)
    assert "People" in said
    assert "#17695a" in said.lower()
    assert "#ff0000" not in said.lower()
    assert not (server.folder / "ran").exists()
    assert (server.home / "page").is_dir()  # --home=data meant that folder, and still does
    assert Path(f"/proc/{server.process}/cwd").samefile(server.home / "page")
    assert list((server.home / "page").iterdir()) == []
    status, _, body = server.ask(f"{base}/app/static/x.txt", cookie=cookie)
    assert (status, body[:2]) != (200, "x")
    listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True).stdout
    assert f" 0100007F:{server.port:04X} " in listening
    assert f" 00000000:{server.port:04X} " not in listening
    if Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text():
        listening = Path("/proc/net/tcp6").read_text()
        assert f" 00000000000000000000000001000000:{server.port:04X} " in listening
        assert f" {'0' * 32}:{server.port:04X} " not in listening


def test_a_rebound_host_a_foreign_origin_and_another_port_get_nothing(server: Server) -> None:
    base, cookie = server.enter()
    stream = f"{base}/_stcore/stream"
    own, name = server.origin, server.host.partition(":")[0]
    assert server.ask(f"{base}/", cookie=cookie)[0] == 200
    assert server.handshake(stream, cookie=cookie, origin=own) == 101
    for origin in ("http://evil.example", f"http://{name}:9999", f"http://localhost:{server.port}",
                   f"http://127.0.0.1:{server.port}", f"https://{server.host}", "http://192.0.2.7",
                   "null"):  # fmt: skip
        assert server.handshake(stream, cookie=cookie, origin=origin) == 403
        assert server.ask(f"{base}/", cookie=cookie, origin=origin)[0] == 403
    opens = server.address.removeprefix(own)
    for host in ("evil.example", f"evil.example:{server.port}", name, f"127.0.0.1:{server.port}",
                 f"localhost:{server.port}", f"x.{server.host}"):  # fmt: skip
        for path in ("/", f"{base}/", f"{base}/_stcore/health", opens):
            assert server.ask(path, cookie=cookie, host=host)[0] == 403
        assert server.handshake(stream, cookie=cookie, origin=own, host=host) == 403
    assert server.handshake(stream, cookie=cookie) == 403
    assert server.handshake(stream, origin=own) == 403


def test_the_server_asks_nobody_outside(server: Server) -> None:
    """A foreign origin made Streamlit look up its own address; usage statistics would be sent."""
    base, cookie = server.enter()
    server.handshake(f"{base}/_stcore/stream", cookie=cookie, origin="http://198.51.100.1")
    run_script(server, base, cookie)
    assert not server.notes.exists(), server.notes.read_text()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another account"
)
def test_another_account_gets_nothing_and_finds_no_secret(server: Server) -> None:
    base, cookie = server.enter()
    secrets = [base.strip("/"), cookie.partition("=")[2], server.address.rpartition("/")[2],
               server.host.partition(".")[0]]  # fmt: skip
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # no new program: another account may not even be able to start this Python
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            found: dict[str, Any] = {"uid": os.getuid(), "statuses": [], "seen": [], "read": []}
            for path in ("/", "/_stcore/health", "/_stcore/host-config", "/media/x", "/static/x",
                         "/_stcore/stream", "/open/x", "/identify"):  # fmt: skip
                found["statuses"].append(server.ask(path)[0])
            stream = "/_stcore/stream"
            found["statuses"].append(server.handshake(stream, origin=server.origin))
            for process in Path("/proc").iterdir():
                for name in ("cmdline", "environ"):
                    try:
                        text = (process / name).read_bytes().decode("latin-1")
                    except OSError:
                        continue
                    found["seen"] += [secret for secret in secrets if secret in text]
            for path in (server.home, server.home / "page"):
                try:
                    found["read"].append([entry.name for entry in path.iterdir()])
                except OSError as error:
                    found["read"].append(type(error).__name__)
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = json.loads(answer.read())
    os.waitpid(child, 0)
    assert found["uid"] == NOBODY
    assert set(found["statuses"]) == {403}
    assert found["seen"] == []
    assert set(found["read"]) == {"PermissionError"}


def test_a_session_cannot_be_made_to_hold_more_than_is_allowed(server: Server) -> None:
    base, cookie = server.enter()
    own = server.origin
    path = f"{base}/_stcore/upload_file/session/file"
    for headers, expected in (
        ({"content_length": "600000000"}, 413),
        ({"transfer_encoding": "chunked"}, 411),
    ):
        with server.connected() as connection:
            connection.putrequest("PUT", path, skip_host=True)
            known = {"host": server.host, "cookie": cookie, "origin": own}
            for name, value in (known | headers).items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            with connection.getresponse() as response:
                assert response.status == expected


def test_a_refusal_arrives_whatever_is_being_sent(server: Server) -> None:
    """Closing a connection whose body has not been read resets it, and loses the answer."""
    base, cookie = server.enter()
    own = server.origin
    upload = f"{base}/_stcore/upload_file/session/file"
    known = {"cookie": cookie, "origin": own}
    for body in (b"x", bytes(100_000), bytes(20_000_000)):
        for path, headers in (
            (upload, {"origin": own}),
            (upload, known | {"origin": "https://evil.example"}),
            (f"{base}x", known),
            ("/", {}),
        ):
            with server.connected() as connection:
                connection.request("PUT", path, body, {"host": server.host, **headers})
                with connection.getresponse() as response:
                    assert response.status == 403


def crowd(server: Server, times: int) -> list[socket.socket]:
    """Connections that say nothing, that begin to ask, or that are refused and do not end."""
    body = f"PUT /x HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 100000000\r\n\r\n"
    opened = []
    for number in range(times):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=280)
        with suppress(ConnectionError):
            one.sendall([b"", b"GET / HTTP/1.1\r\n", body.encode()][number % 3])
        opened.append(one)
    return opened


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has not ended a connection."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def test_connections_that_say_nothing_shut_nobody_out(server: Server) -> None:
    """More than there may be of all kinds; whoever asks at once is answered."""
    base, cookie = server.enter()
    silent: list[socket.socket] = []
    try:
        for _ in range(4):
            silent += crowd(server, 150)
            begun = time.monotonic()
            assert server.ask(f"{base}/_stcore/health", cookie=cookie)[0] == 200
            assert time.monotonic() - begun < 60  # seconds; the silent may stay for longer
        assert "People" in run_script(server, base, cookie)
        assert sum(map(is_open, silent)) <= MOST_WAITING
    finally:
        for one in silent:
            one.close()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another account"
)
def test_connections_of_another_account_crowd_out_none_of_the_owners(server: Server) -> None:
    """A connection that the browser holds in reserve outlives hundreds that are newer."""
    base, cookie = server.enter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=280) as reserve:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                opened = crowd(server, 600)
                os.write(writing, str(sum(map(is_open, opened))).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            left = int(answer.read())
        os.waitpid(child, 0)
        assert left < 500  # some of them have not been accepted yet
        asked = f"GET {base}/_stcore/health HTTP/1.1\r\nHost: {server.host}\r\nCookie: {cookie}\r\n"
        reserve.sendall(f"{asked}\r\n".encode())
        assert reserve.recv(100).startswith(b"HTTP/1.1 200")


def test_uploads_that_do_not_come_on_give_their_room_back(server: Server) -> None:
    """Twelve of 41 MB are nearly as much as a session may hold."""
    base, cookie = server.enter()
    _, told, _ = server.ask(f"{base}/_stcore/health", cookie=cookie)
    (xsrf,) = re.findall(r"_streamlit_xsrf=([^;]+)", told)
    edge = "b" * 20
    form = (
        f'--{edge}\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n'
        f"Content-Type: image/png\r\n\r\n{'x' * 9_000_000}\r\n--{edge}--\r\n"
    ).encode()
    known = {
        "host": server.host, "cookie": f"{cookie}; _streamlit_xsrf={xsrf}", "x-xsrftoken": xsrf,
        "origin": server.origin, "content-type": f"multipart/form-data; boundary={edge}",
    }  # fmt: skip
    with session(server, base, cookie) as (_, number), ExitStack() as held:
        path = f"{base}/_stcore/upload_file/{number}"

        def begun(length: int, body: bytes) -> http.client.HTTPConnection:
            connection = held.enter_context(server.connected())
            connection.putrequest("PUT", f"{path}/{os.urandom(4).hex()}", skip_host=True)
            for name, value in (known | {"content-length": str(length)}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            return connection

        stalled = [begun(41_000_000, form[:100_000]) for _ in range(12)]
        assert begun(len(form), form).getresponse().status == 413
        assert {one.getresponse().status for one in stalled} == {408}
        assert begun(len(form), form).getresponse().status == 204


def test_every_option_that_streamlit_has_is_set() -> None:
    from streamlit import config

    access = Access.of_this_machine(8501)
    chosen = server_module.options(server_module._script(), access, 8501)
    name = access.host.removesuffix(":8501")
    assert set(config._config_options_template) <= set(chosen)
    assert chosen["secrets.files"] == []
    assert chosen["server.allowedHosts"] == [name]
    assert chosen["theme.light.primaryColor"] == "#17695a"


def test_streamlit_by_itself_shows_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """`streamlit run app.py` would serve it without a gate."""
    import streamlit as st
    from streamlit import runtime

    told: list[str] = []
    monkeypatch.setattr(runtime, "get_instance", lambda: object.__new__(runtime.Runtime))
    monkeypatch.setattr(st, "error", told.append)
    monkeypatch.setattr(st, "stop", lambda: told.append("stopped"))
    server_module.require_gate()
    assert "likeness app" in told[0]
    assert told[1:] == ["stopped"]
    told.clear()
    monkeypatch.setattr(server_module, "_guarded", True)
    server_module.require_gate()
    assert told == []
