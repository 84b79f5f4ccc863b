"""The gate and the limits by themselves, asked by whatever a browser or an attacker may send."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from data.errors import ArgumentError
from ui.page import limits
from ui.page.gate import PROXY_HEADER, Access, Gate, policy
from ui.page.limits import Limits

ACCESS = Access.of_this_machine(8501)
PROXIED = Access.behind("https://faces.example.org/likeness", "k" * 40)
HOST = "127.0.0.1:8501"
ORIGIN = f"http://{HOST}"


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

    asyncio.run(application(scope, nothing, send))
    if kind == "websocket":
        return (101 if sent[0]["type"] == "websocket.accept" else 403), {}, b""
    told = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent)


def gate(access: Access = ACCESS) -> tuple[Gate, Page]:
    page = Page()
    return Gate(page, access, policy(access.origins, "<script>let x = 1</script>")), page


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
        {"cookie": COOKIE, "host": "127.0.0.1"},
        {"cookie": COOKIE, "host": "127.0.0.1:8502"},
        {"cookie": COOKIE, "host": None},
        {"cookie": COOKIE, "host": "127.0.0.1:8501.evil.example"},
        {"cookie": COOKIE, "origin": "http://127.0.0.1:8502"},
        {"cookie": COOKIE, "origin": "http://localhost:8501"},  # this host's other name
        {"cookie": COOKIE, "origin": "https://127.0.0.1:8501"},
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
    for origin in ("http://127.0.0.1:1", "null", "", "http://localhost:8501"):
        assert ask(opened, path, method=method, cookie=COOKIE, origin=origin)[0] == 403
    assert page.asked == []
    assert ask(opened, path, method=method, cookie=COOKIE, origin=ORIGIN)[0] == 200


def test_a_socket_needs_the_cookie_the_path_and_the_exact_origin() -> None:
    opened, page = gate()
    path = f"{ACCESS.base}/_stcore/stream"
    origins = (None, ORIGIN, "http://127.0.0.1:1", "http://localhost:8501", "https://127.0.0.1:8501",
               "http://evil.example", "null")  # fmt: skip
    for origin, cookie, at in itertools.product(
        origins, (None, COOKIE), (path, "/_stcore/stream", "/")
    ):
        status, _, _ = ask(opened, at, kind="websocket", origin=origin, cookie=cookie)
        assert status == (101 if (origin, cookie, at) == (ORIGIN, COOKIE, path) else 403)
    assert len(page.asked) == 1


def test_both_names_of_this_machine_are_served_each_to_itself() -> None:
    opened, _ = gate()
    path = f"{ACCESS.base}/_stcore/stream"
    other = {"host": "localhost:8501", "origin": "http://localhost:8501", "cookie": COOKIE}
    assert ask(opened, path, kind="websocket", **other)[0] == 101


def test_the_printed_address_hands_over_the_cookie_and_goes_on() -> None:
    opened, page = gate()
    address = ACCESS.address(ORIGIN)
    status, headers, body = ask(opened, address.removeprefix(ORIGIN), sec_fetch_site="cross-site")
    assert status == 200
    assert f'url={ACCESS.base}/"' in body.decode()
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert cookie == COOKIE
    assert set(attributes) == {f"Path={ACCESS.base}", "HttpOnly", "SameSite=Strict"}
    assert ACCESS.token not in body.decode()
    assert page.asked == []
    path = address.removeprefix(ORIGIN)
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
        (ACCESS.address("").removeprefix(ORIGIN), {}),
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
        asyncio.run(opened(scope, nothing, send))
        assert sent[0]["status"] == 403, name


def test_each_start_has_secrets_of_its_own_that_it_does_not_show() -> None:
    drawn = [Access.of_this_machine(8501) for _ in range(20)]
    secrets = {secret for one in drawn for secret in (one.base, one.key, one.token)}
    assert len(secrets) == 60
    assert min(len(str(secret)) for secret in secrets) >= 20
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
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080", ""),
        ("https://FACES.example.org", "https://faces.example.org", ""),
    ],
)
def test_the_proxys_address_as_a_browser_writes_it(address: str, origin: str, base: str) -> None:
    access = Access.behind(address, "k" * 32)
    assert (access.origins, access.base) == ({origin}, base)
    assert access.address(origin) == f"{origin}{base}"


@pytest.mark.parametrize(
    "address",
    ["", "faces", "ftp://x", "https://", "https://*.org", "https://u:p@x.org", "https://x.org/?a",
     "https://x.org/#a", "https://x.org:99999", "https://x.org/a b", "https://x.org/../y;z"],
)  # fmt: skip
def test_no_other_address_is_one_of_a_proxy(address: str) -> None:
    with pytest.raises(ArgumentError):
        Access.behind(address, "k" * 32)


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

    asyncio.run(together())
    assert sorted(answers) == [200, 200, 413, 413, 413]
    asyncio.run(put())
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

    asyncio.run(together())
    assert sorted(told) == ["websocket.accept"] * 3 + ["websocket.close"] * 2
    asyncio.run(connect())
    assert told[-1] == "websocket.accept"


def test_the_policy_lets_through_what_streamlits_page_has_between_its_tags() -> None:
    with_script = policy(ACCESS.origins, "<script>a</script><script>b</script>")
    assert with_script.count("'sha256-") == 2
    assert "ws://127.0.0.1:8501" in with_script
    assert replace(ACCESS, base="/x").hosts == {HOST, "localhost:8501"}
