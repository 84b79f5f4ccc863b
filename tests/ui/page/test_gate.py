"""The gate and the limits by themselves, asked by whatever a browser or an attacker may send."""

import asyncio
import itertools
import re
from collections.abc import Mapping
from typing import Any

import pytest
import virtual_time

from data.errors import ArgumentError
from ui.page import limits
from ui.page.gate import PROXY_HEADER, Access, Gate, policy
from ui.page.limits import Limits

ACCESS = Access.of_this_machine(8501)
PROXIED = Access.behind("https://faces.example.org/likeness", "k" * 40)
ORIGIN = ACCESS.origin
HOST = ORIGIN.removeprefix("http://")
NAME = HOST.removesuffix(":8501")


class Page:
    """Stands for Streamlit's application: says yes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        headers = [
            (b"set-cookie", b"_streamlit_xsrf=x; Path=/; SameSite=Lax"),
            (b"access-control-allow-origin", b"*"),
            (b"cache-control", b"public, max-age=31536000"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a page"})


async def nothing() -> Any:
    """The body of a request that has none."""
    return {"type": "http.request", "body": b"", "more_body": False}


def ask(
    application: Any, path: str, *, kind: str = "http", method: str = "GET", **headers: str | None
) -> tuple[int, dict[str, str], bytes]:
    """What an application answers: status (101: a socket was opened), headers, body."""
    sent: list[Any] = []
    given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": kind,
        "path": path,
        "headers": [(k.encode(), v.encode()) for k, v in given.items() if v is not None],
    } | ({"method": method} if kind == "http" else {})

    async def send(message: Any) -> None:
        sent.append(message)

    virtual_time.run(application(scope, nothing, send))
    if kind == "websocket":
        return (101 if sent[0]["type"] == "websocket.accept" else 403), {}, b""
    told = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent)


def gate(access: Access = ACCESS) -> tuple[Gate, Page]:
    page = Page()
    return Gate(page, access, policy(access.origin, "<script>let x = 1</script>")), page


FORESEEN = ("127.0.0.1:8501", "localhost:8501", "[::1]:8501", "likeness.localhost:8501",
            "0.0.0.0:8501", "127.0.0.1", "localhost", f"{'0' * 32}.localhost:8501")  # fmt: skip
"""What this machine is called by whoever does not know the name that a start has drawn."""

COOKIE = f"likeness={ACCESS.token}"
ROUTES = ("", "/", "/identify", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics",
          "/media/abc.png", "/static/js/index.js", "/component/x/y.js", "/_stcore/bidi-components/",
          "/_stcore/script-health-check", "/_stcore/agent/interact", "/app/static/x")  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_asks_for_path_cookie_and_host(route: str) -> None:
    opened, page = gate()
    path = f"{ACCESS.base}{route}"
    assert ask(opened, path, cookie=COOKIE)[0] == 200
    assert len(page.asked) == 1
    wrong: list[dict[str, str | None]] = [
        {"cookie": None},
        {"cookie": "likeness="},
        {"cookie": f"likeness={ACCESS.key}"},
        {"cookie": f"likeness={ACCESS.token}x"},
        {"cookie": f"other={ACCESS.token}"},
        {"cookie": COOKIE, "host": "evil.example:8501"},
        {"cookie": COOKIE, "host": NAME},
        {"cookie": COOKIE, "host": f"{NAME}:8502"},
        {"cookie": COOKIE, "host": None},
        {"cookie": COOKIE, "host": f"{HOST}.evil.example"},
        {"cookie": COOKIE, "host": f"x.{HOST}"},
        *({"cookie": COOKIE, "host": host} for host in FORESEEN),
        {"cookie": COOKIE, "origin": f"http://{NAME}:8502"},
        *({"cookie": COOKIE, "origin": f"http://{host}"} for host in FORESEEN),
        {"cookie": COOKIE, "origin": f"https://{HOST}"},
        {"cookie": COOKIE, "origin": "null"},
        {"cookie": COOKIE, "origin": "https://evil.example"},
        {"cookie": COOKIE, "sec_fetch_site": "same-site"},
        {"cookie": COOKIE, "sec_fetch_site": "cross-site"},
    ]
    answers = [ask(opened, path, **headers) for headers in wrong]
    answers += [
        ask(opened, route, cookie=COOKIE),
        ask(opened, f"/x{path}", cookie=COOKIE),
        ask(opened, f"{ACCESS.base}x{route}", cookie=COOKIE),
        ask(opened, f"{ACCESS.base[:-1]}{route}", cookie=COOKIE),
    ]
    assert {status for status, _, _ in answers} == {403}
    assert len({body for _, _, body in answers}) == 1  # nobody learns which secret was wrong
    assert len(page.asked) == 1
    for secret in (ACCESS.token, ACCESS.key, ACCESS.base):
        assert secret
        assert not [1 for _, headers, body in answers if secret in f"{headers}{body!r}"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_what_changes_something_must_come_from_the_page_itself(method: str) -> None:
    opened, page = gate()
    path = f"{ACCESS.base}/_stcore/upload_file/s/f"
    assert ask(opened, path, method=method, cookie=COOKIE)[0] == 403
    for origin in (f"http://{NAME}:1", "null", "", *(f"http://{host}" for host in FORESEEN)):
        assert ask(opened, path, method=method, cookie=COOKIE, origin=origin)[0] == 403
    assert page.asked == []
    assert ask(opened, path, method=method, cookie=COOKIE, origin=ORIGIN)[0] == 200


def test_a_socket_needs_the_cookie_the_path_and_the_exact_origin() -> None:
    opened, page = gate()
    path = f"{ACCESS.base}/_stcore/stream"
    origins = (None, ORIGIN, f"http://{NAME}:1", f"https://{HOST}", "http://evil.example", "null",
               *(f"http://{host}" for host in FORESEEN))  # fmt: skip
    for origin, cookie, at in itertools.product(
        origins, (None, COOKIE), (path, "/_stcore/stream", "/")
    ):
        status, _, _ = ask(opened, at, kind="websocket", origin=origin, cookie=cookie)
        assert status == (101 if (origin, cookie, at) == (ORIGIN, COOKIE, path) else 403)
    assert len(page.asked) == 1


def test_an_origin_that_could_be_known_before_the_start_gets_nothing_that_opens_the_page() -> None:
    """A service worker that another account has registered there would read what is sent to it."""
    opened, page = gate()
    path = ACCESS.address.removeprefix(ORIGIN)
    for host in FORESEEN:
        for at in (path, "/", f"{ACCESS.base}/", f"{ACCESS.base}/_stcore/health", "/sw.js"):
            status, headers, body = ask(opened, at, host=host, cookie=COOKIE)
            assert status == 403
            for secret in (NAME, ACCESS.base, ACCESS.key, str(ACCESS.token)):
                assert secret not in f"{headers}{body!r}"
            assert "set-cookie" not in headers
        stream = f"{ACCESS.base}/_stcore/stream"
        for origin in (ORIGIN, f"http://{host}"):
            own = {"host": host, "origin": origin, "cookie": COOKIE}
            assert ask(opened, stream, kind="websocket", **own)[0] == 403
    assert page.asked == []


def test_the_printed_address_hands_over_the_cookie_and_goes_on() -> None:
    opened, page = gate()
    path = ACCESS.address.removeprefix(ORIGIN)
    status, headers, body = ask(opened, path, sec_fetch_site="cross-site")
    assert status == 200
    assert f'url={ACCESS.base}/"' in body.decode()
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert cookie == COOKIE
    assert set(attributes) == {f"Path={ACCESS.base}", "HttpOnly", "SameSite=Strict"}
    assert ACCESS.token not in body.decode()
    assert page.asked == []
    for wrong in (path[:-1], f"{path}x", path.upper(), "/open/", "/open", path + "/", "/open/é"):
        assert ask(opened, wrong)[0] == 403
    assert ask(opened, path, method="POST", origin=ORIGIN)[0] == 403
    assert ask(opened, path, host="evil.example")[0] == 403
    assert ask(opened, path, sec_fetch_dest="image")[0] == 403
    assert ask(opened, path, kind="websocket", origin=ORIGIN)[0] == 403


def test_every_answer_forbids_frames_referers_and_strangers() -> None:
    opened, _ = gate()
    for path, headers in (
        (f"{ACCESS.base}/", {"cookie": COOKIE}),
        ("/", {}),
        (ACCESS.address.removeprefix(ORIGIN), {}),
        (f"{ACCESS.base}/media/face.png", {"cookie": COOKIE}),
    ):
        _, told, _ = ask(opened, path, **headers)
        assert "frame-ancestors 'none'" in told["content-security-policy"]
        assert "default-src 'none'" in told["content-security-policy"]
        assert "unsafe-eval" not in told["content-security-policy"].replace("wasm-unsafe-eval", "")
        assert told["x-frame-options"] == "DENY"
        assert told["referrer-policy"] == "no-referrer"
        assert told["cross-origin-resource-policy"] == "same-origin"
        assert told["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in told
    _, told, _ = ask(opened, f"{ACCESS.base}/static/js/x.js", cookie=COOKIE)
    assert told["cache-control"] == "public, max-age=31536000"  # nobody's face is in it


def test_streamlits_own_cookie_is_for_the_pages_path_too() -> None:
    opened, _ = gate()
    _, told, _ = ask(opened, f"{ACCESS.base}/", cookie=COOKIE)
    assert told["set-cookie"] == f"_streamlit_xsrf=x; Path={ACCESS.base}; SameSite=Strict"


def test_the_page_itself_does_not_see_the_secrets() -> None:
    for access, headers in (
        (ACCESS, {"cookie": f"a=1; {COOKIE}; b=2"}),
        (PROXIED, {PROXY_HEADER.lower().replace("-", "_"): PROXIED.key, "host": "faces.example.org",
                   "cookie": "a=1; b=2"}),
    ):  # fmt: skip
        opened, page = gate(access)
        assert ask(opened, f"{access.base}/", **headers)[0] == 200
        (scope,) = page.asked
        assert scope["headers"][-1] == (b"cookie", b"a=1; b=2")
        assert access.key not in str(scope)


def test_two_headers_where_one_is_meant_are_none() -> None:
    opened, _ = gate()
    for name in (b"host", b"origin", b"sec-fetch-site"):
        values = {b"host": HOST, b"origin": ORIGIN, b"sec-fetch-site": "none"}
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        twice = [(name, values[name].encode())] * 2
        others = [(k, v.encode()) for k, v in values.items() if k != name]
        headers = [*twice, *others, (b"cookie", COOKIE.encode())]
        scope = {"type": "http", "method": "GET", "path": f"{ACCESS.base}/", "headers": headers}
        virtual_time.run(opened(scope, nothing, send))
        assert sent[0]["status"] == 403, name


def test_each_start_has_secrets_of_its_own_that_it_does_not_show() -> None:
    drawn = [Access.of_this_machine(8501) for _ in range(20)]
    secrets = {secret for one in drawn for secret in (one.host, one.base, one.key, one.token)}
    assert len(secrets) == 80
    assert min(len(str(secret)) for secret in secrets) >= 20
    for one in drawn:
        assert re.fullmatch(r"http://[0-9a-f]{32}\.localhost:8501", one.origin)
        assert one.address.startswith(f"{one.origin}/")
    # As browsers write it, or no Host header would ever be this one.
    assert Access.of_this_machine(80).origin.endswith(".localhost")
    assert not [1 for one in drawn if one.key in repr(one) or str(one.token) in repr(one)]


def test_behind_a_proxy_its_key_stands_for_everything_else() -> None:
    opened, page = gate(PROXIED)
    header = PROXY_HEADER.lower().replace("-", "_")
    good: dict[str, Any] = {"host": "faces.example.org", header: PROXIED.key}
    assert ask(opened, "/likeness/", **good)[0] == 200
    socket: dict[str, Any] = {"kind": "websocket", "origin": "https://faces.example.org"}
    assert ask(opened, "/likeness/_stcore/stream", **good, **socket)[0] == 101
    asked = len(page.asked)
    changes: list[dict[str, Any]] = [
        {header: "k" * 39}, {header: None}, {"host": HOST}, {"origin": ORIGIN},
        {"host": "faces.example.org:443"}, {"sec_fetch_site": "cross-site"},
    ]  # fmt: skip
    for change in changes:
        assert ask(opened, "/likeness/", **(good | change))[0] == 403
    assert ask(opened, "/", **good)[0] == 403
    assert ask(opened, f"/open/{PROXIED.key}", **good)[0] == 403
    assert len(page.asked) == asked


@pytest.mark.parametrize(
    ("address", "origin", "base"),
    [
        ("https://faces.example.org", "https://faces.example.org", ""),
        ("https://faces.example.org/", "https://faces.example.org", ""),
        ("https://faces.example.org:443/a/b/", "https://faces.example.org", "/a/b"),
        ("https://10.0.0.7:8080", "https://10.0.0.7:8080", ""),
        ("http://localhost:8080", "http://localhost:8080", ""),
        ("http://faces.localhost", "http://faces.localhost", ""),
        ("http://127.0.0.2:80/a", "http://127.0.0.2", "/a"),
        ("http://[::1]:8080", "http://[::1]:8080", ""),
        ("https://FACES.example.org", "https://faces.example.org", ""),
    ],
)
def test_the_proxys_address_as_a_browser_writes_it(address: str, origin: str, base: str) -> None:
    access = Access.behind(address, "k" * 32)
    assert (access.origin, access.base) == (origin, base)
    assert access.address == f"{origin}{base}"


@pytest.mark.parametrize(
    "address",
    ["", "faces", "ftp://x", "https://", "https://*.org", "https://u:p@x.org", "https://x.org/?a",
     "https://x.org/#a", "https://x.org:99999", "https://x.org/a b", "https://x.org/../y;z"],
)  # fmt: skip
def test_no_other_address_is_one_of_a_proxy(address: str) -> None:
    with pytest.raises(ArgumentError):
        Access.behind(address, "k" * 32)


@pytest.mark.parametrize(
    "host",
    ["faces.example.org", "10.0.0.7:8080", "192.168.1.2", "localhost.example.org", "notlocalhost",
     "[fe80::1]", "0.0.0.0", "127.0.0.1.example.org", "[::a00:7]", "1270.0.1"],
)  # fmt: skip
def test_nobody_is_signed_in_in_plain_text_over_a_network(host: str) -> None:
    with pytest.raises(ArgumentError, match="https://"):
        Access.behind(f"http://{host}", "k" * 32)
    assert Access.behind(f"https://{host}", "k" * 32).base == ""


def test_a_short_proxys_key_is_refused() -> None:
    with pytest.raises(ArgumentError, match="32 characters"):
        Access.behind("https://faces.example.org", "k" * 31)


def test_what_a_session_and_all_of_them_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"one": 300, "two": 600}
    monkeypatch.setattr(limits, "MOST_SESSION_BYTES", 1000)
    monkeypatch.setattr(limits, "MOST_BYTES", 1500)
    limited = Limits(Page(), "/base", lambda: held)

    def put(session: str, **headers: str | None) -> int:
        path = f"/base/_stcore/upload_file/{session}/f"
        return ask(limited, path, method="PUT", **headers)[0]

    assert put("one", content_length="500") == 200
    assert put("one", content_length="701") == 413
    assert put("two", content_length="401") == 413
    assert put("three", content_length="601") == 413  # all of them together
    assert put("three", content_length="600") == 200
    assert put("three", content_length="-1") == 411
    assert put("three", transfer_encoding="chunked") == 411
    assert ask(limited, "/base/", cookie="x")[0] == 200
    assert ask(limited, "/base/x", method="POST", content_length="9999999")[0] == 413


def test_uploads_that_are_still_coming_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_SESSION_BYTES", 1000)
    answers: list[int] = []

    class Slow(Page):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.01)
            await super().__call__(scope, receive, send)

    limited = Limits(Slow(), "", dict)

    async def put() -> None:
        async def send(message: Any) -> None:
            if "status" in message:
                answers.append(message["status"])

        headers = [(b"content-length", b"400")]
        path = "/_stcore/upload_file/s/f"
        await limited(
            {"type": "http", "method": "PUT", "path": path, "headers": headers}, nothing, send
        )

    async def together() -> None:
        await asyncio.gather(*(put() for _ in range(5)))

    virtual_time.run(together())
    assert sorted(answers) == [200, 200, 413, 413, 413]
    virtual_time.run(put())
    assert answers[-1] == 200


def test_so_many_pages_are_open_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 3)
    told: list[str] = []

    async def stays(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await send({"type": "websocket.accept"})

    limited = Limits(stays, "", dict)

    async def connect() -> None:
        async def send(message: Any) -> None:
            told.append(message["type"])

        await limited({"type": "websocket", "path": "/", "headers": []}, nothing, send)

    async def together() -> None:
        await asyncio.gather(*(connect() for _ in range(5)))

    virtual_time.run(together())
    assert sorted(told) == ["websocket.accept"] * 3 + ["websocket.close"] * 2
    virtual_time.run(connect())
    assert told[-1] == "websocket.accept"


def put(application: Any, receive: Any, length: int = 400, path: str = "/s/f") -> int:
    """The status of an answer to an upload, whose body comes from `receive`."""
    told: list[int] = []

    async def send(message: Any) -> None:
        if "status" in message:
            told.append(message["status"])

    headers = [(b"content-length", str(length).encode())]
    scope = {"type": "http", "method": "PUT", "path": f"/_stcore/upload_file{path}"}
    virtual_time.run(application({**scope, "headers": headers}, receive, send))
    (status,) = told
    return status


async def reads(scope: Any, receive: Any, send: Any) -> None:
    """An application that takes all of a body, as Starlette does: in whatever time it needs."""
    whole = False
    while not whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RuntimeError("the client is gone")
        await asyncio.sleep(float(scope["path"].rpartition("/")[2] == "slowly") / 20)
        whole = not message["more_body"]
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def brings(*pieces: tuple[float, int], then: bool = True) -> Any:
    """Brings so many bytes after so many seconds each; then the end of it, or nothing at all."""
    left = list(pieces)

    async def receive() -> Any:
        if left:
            seconds, length = left.pop(0)
            await asyncio.sleep(seconds)
            return {
                "type": "http.request",
                "body": bytes(length),
                "more_body": bool(left) or not then,
            }
        await asyncio.sleep(60)
        return None

    return receive


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads and pages have less than a second."""
    monkeypatch.setattr(limits, "SECONDS_STILL", 0.3)
    monkeypatch.setattr(limits, "SECONDS_TO_BEGIN", 0.5)
    monkeypatch.setattr(limits, "BYTES_A_SECOND", 1000)
    monkeypatch.setattr(limits, "SECONDS_TO_SPEAK", 0.3)
    monkeypatch.setattr("ui.page.gate._SECONDS_TO_DISCARD", 0.05)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(
    ("receive", "status"),
    [
        (brings(then=False), 408),
        (brings((0, 100), (0, 100), then=False), 408),
        (brings(*[(0.05, 1)] * 400), 408),  # a little now and then: 20 bytes a second
        (brings(*[(0.05, 100)] * 30), 204),  # 2000 bytes a second
        (brings((0, 400)), 204),
        (brings((0.1, 0)), 204),
    ],
)
def test_an_upload_that_does_not_come_on_is_ended_and_keeps_no_room(
    monkeypatch: pytest.MonkeyPatch, receive: Any, status: int
) -> None:
    monkeypatch.setattr(limits, "MOST_SESSION_BYTES", 1000)
    limited = Limits(reads, "", dict)
    assert put(limited, receive, 1000) == status
    assert put(limited, brings((0, 10)), 1000) == 204
    assert limited._coming == {}


@pytest.mark.usefixtures("hurry")
def test_an_upload_that_waits_for_the_server_is_not_late() -> None:
    pieces = [(0.0, 10)] * 20  # a second of work
    assert put(Limits(reads, "", dict), brings(*pieces), path="/s/slowly") == 204


def test_so_many_requests_are_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_REQUESTS", 2)
    let_in: list[Any] = []
    told: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if "status" in message:
            told.append(message["status"])

    limited = Limits(slow, "", dict, let_in.append)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

    async def together() -> None:
        await asyncio.gather(*(limited(dict(scope), nothing, send) for _ in range(5)))

    virtual_time.run(together())
    assert sorted(told) == [200, 200, 503, 503, 503]
    assert len(let_in) == 2
    virtual_time.run(limited(dict(scope), nothing, send))
    assert told[-1] == 200


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(
    ("says", "subprotocols", "ended"),
    [
        (None, ["streamlit"], True),
        (None, [], True),
        (0.1, ["streamlit", ""], False),
        (None, ["streamlit", "", "session"], False),  # a page that has lost its connection
    ],
)
def test_a_new_page_that_says_nothing_is_closed(
    says: float | None, subprotocols: list[str], ended: bool
) -> None:
    told: list[str] = []
    heard: list[str] = []
    coming = [(0.0, "websocket.connect")]
    coming += [] if says is None else [(says, "websocket.receive")]

    async def receive() -> Any:
        seconds, kind = coming.pop(0) if coming else (1.0, "websocket.disconnect")
        await asyncio.sleep(seconds)
        return {"type": kind}

    async def send(message: Any) -> None:
        told.append(message["type"])

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while not heard or heard[-1] != "websocket.disconnect":
            heard.append((await receive())["type"])

    scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": subprotocols}
    virtual_time.run(Limits(page, "", dict)(scope, receive, send))
    assert (told[-1] == "websocket.close") is ended
    assert heard[-1] == "websocket.disconnect"
    assert ("websocket.receive" in heard) is (says is not None)


def test_the_policy_lets_through_what_streamlits_page_has_between_its_tags() -> None:
    with_script = policy(ACCESS.origin, "<script>a</script><script>b</script>")
    assert with_script.count("'sha256-") == 2
    assert f"connect-src 'self' ws://{HOST};" in with_script
