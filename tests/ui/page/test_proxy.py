"""The page behind a proxy that signs people in, set up as docs/threat-model.md says."""

import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ports import free_port
from proxy import HEADER, SIGNED_IN, Proxy, proxied
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

HOST, BASE = "faces.example.org", "/likeness"
KEY = "0123456789abcdef" * 4
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Behind:
    """A page behind a proxy: its own port, and the proxy."""

    port: int
    proxy: Proxy

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, str, bytes]:
        """Ask through the proxy, as a browser that trusts its certificate does."""
        with closing(http.client.HTTPConnection(HOST, timeout=280)) as connection:
            connection.sock = self.trusted.wrap_socket(self.connected(), server_hostname=HOST)
            return answer(connection, path, method, body, headers)

    def ask_directly(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        """Ask the page's own port, as any account of the machine can."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=280)) as connection:
            return answer(connection, path, "GET", None, headers)

    @property
    def trusted(self) -> ssl.SSLContext:
        """Trusts the proxy's certificate and no other."""
        return ssl.create_default_context(cafile=str(self.proxy.certificate))

    def connected(self) -> socket.socket:
        """A connection to the proxy, without TLS yet."""
        return socket.create_connection(("127.0.0.1", self.proxy.port), timeout=280)


def answer(
    connection: http.client.HTTPConnection,
    path: str,
    method: str,
    body: bytes | None,
    headers: dict[str, str],
) -> tuple[int, str, bytes]:
    given = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=given)
    with connection.getresponse() as response:
        return response.status, str(response.headers), response.read()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """The page below a path of the proxy; `test_chromium.py` has one at its root."""
    folder = tmp_path_factory.mktemp("proxy")
    key = folder / "proxy.key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o600)
    port = free_port()
    words = [f"--port={port}", f"--behind=https://{HOST}{BASE}", f"--proxy-key-file={key}"]
    with (
        (folder / "stderr").open("w+") as told,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "ui.cli.main", "app", *words],
            cwd=folder,
            env=os.environ | {"LIKENESS_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address == f"https://{HOST}{BASE}", (folder / "stderr").read_text()
        with proxied(folder, HOST, port, KEY) as proxy:
            yield Behind(port, proxy)
        process.terminate()


ROUTES = ("", "/", "/identify", "/_stcore/health", "/_stcore/host-config", "/_stcore/stream")


def test_whoever_is_not_signed_in_does_not_come_to_the_page(behind: Behind) -> None:
    asked = len(behind.proxy.seen)
    for route in ROUTES:
        for headers in ({}, {"cookie": "signed-in=nobody"}, {HEADER: KEY}):
            assert behind.ask(f"{BASE}{route}", **headers)[0] == 401
    assert len(behind.proxy.seen) == asked


def test_nobody_gets_around_the_proxy(behind: Behind) -> None:
    """Signed in or not: the page's own port answers to the proxy's key alone."""
    for route in ROUTES:
        for headers in (
            {},
            {"cookie": SIGNED_IN},
            {"cookie": SIGNED_IN, HEADER: KEY[:-1] + "0"},
            {"host": f"127.0.0.1:{behind.port}", HEADER: KEY},
        ):
            status, _, body = behind.ask_directly(f"{BASE}{route}", **headers)
            assert status == 403
            assert KEY.encode() not in body


def test_whoever_is_signed_in_gets_the_page_whatever_key_they_send(behind: Behind) -> None:
    for headers in ({}, {HEADER: "x" * 64}, {HEADER: ""}):
        status, told, body = behind.ask(f"{BASE}/", cookie=SIGNED_IN, **headers)
        assert status == 200
        assert "frame-ancestors 'none'" in told
        assert "connect-src 'self' wss://faces.example.org;" in told
        assert KEY not in told
        assert KEY.encode() not in body
    (script,) = re.findall(rb'src="\./(static/js/index[^"]*\.js)"', body)
    assert behind.ask(f"{BASE}/{script.decode()}", cookie=SIGNED_IN)[0] == 200


def test_a_session_runs_through_the_proxy_and_shows_no_exact_similarity(behind: Behind) -> None:
    from websockets.sync.client import connect

    with connect(
        f"wss://{HOST}{BASE}/_stcore/stream",
        sock=behind.connected(),
        ssl=behind.trusted,
        additional_headers={"Cookie": SIGNED_IN},
        origin=f"https://{HOST}",  # type: ignore[arg-type]
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        open_timeout=60,
        max_queue=None,
    ) as stream:
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.page_name = "verify"
        stream.send(message.SerializeToString())
        said, session, ended = "", "", False
        while not ended:
            sent = ForwardMsg()
            sent.ParseFromString(stream.recv(timeout=280))  # type: ignore[arg-type]
            said += str(sent)
            session = session or sent.new_session.initialize.session_id
            ended = sent.HasField("script_finished")
        assert "Verify" in said
        assert "exception" not in said.casefold()
        assert "verify-threshold" not in said  # nobody tries one threshold after another
        assert KEY not in said
        path = f"{BASE}/_stcore/upload_file/{session}/a-file"
        _, told, _ = behind.ask(f"{BASE}/_stcore/health", cookie=SIGNED_IN)
        (xsrf,) = re.findall(r"_streamlit_xsrf=([^;]+)", told)
        assert f"Path={BASE};" in told
        boundary = "b" * 20
        form = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="a.png"; filename="a.png"\r\n'
            f"Content-Type: image/png\r\n\r\n{'x' * 100_000}\r\n--{boundary}--\r\n"
        ).encode()
        upload = {
            "cookie": f"{SIGNED_IN}; _streamlit_xsrf={xsrf}",
            "x_xsrftoken": xsrf,
            "origin": f"https://{HOST}",
            "content_type": f"multipart/form-data; boundary={boundary}",
        }
        assert behind.ask(path, "PUT", form, **upload)[0] == 204
        foreign = upload | {"origin": "https://evil.example"}
        assert behind.ask(path, "PUT", form, **foreign)[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", f"http://{HOST}", "null", None])
def test_a_page_of_somebody_elses_drives_nothing_in_a_signed_in_browser(
    behind: Behind, origin: str | None
) -> None:
    """Its requests come with the visitor's cookies, through the proxy, and tell their origin."""
    upgrade = {
        "cookie": SIGNED_IN, "upgrade": "websocket", "connection": "Upgrade",
        "sec_websocket_version": "13", "sec_websocket_key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "sec_websocket_protocol": "streamlit",
    } | ({} if origin is None else {"origin": origin})  # fmt: skip
    assert behind.ask(f"{BASE}/_stcore/stream", **upgrade)[0] == 403
    own = upgrade | {"origin": f"https://{HOST}"}
    assert behind.ask(f"{BASE}/_stcore/stream", **own)[0] == 101


def test_another_name_of_the_proxy_is_not_served(behind: Behind) -> None:
    for host in ("evil.example", f"{HOST}:8443", "127.0.0.1", f"{HOST}.evil.example"):
        assert behind.ask(f"{BASE}/", cookie=SIGNED_IN, host=host)[0] == 403


def test_the_documents_set_it_up_so() -> None:
    """What the block for nginx says is what this proxy does."""
    block = (ROOT / "docs" / "threat-model.md").read_text().partition("location / {")[2]
    block = block.partition("```")[0]
    for line in (
        "proxy_set_header Host $http_host;",  # $host would lose a port
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header X-Likeness-Proxy-Key",
        "proxy_http_version 1.1;",
    ):
        assert line in block


def test_a_port_belongs_to_the_host() -> None:
    from ui.page.gate import Access

    access = Access.behind(f"https://{HOST}:8443", KEY)
    assert access.host == f"{HOST}:8443"
    assert replace(access, base="/x").address == f"https://{HOST}:8443/x"
