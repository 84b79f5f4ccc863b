"""What stands in front of every route of the page: nothing passes it that is not the owner's.

The page listens on this machine alone, where every account and every web page in a browser can
reach it. So each start draws two secrets, and a name of its own below `localhost`, which browsers
look for on their own machine. `likeness app` prints an address that holds the name and the first
secret. Whoever opens it gets the second as a cookie, and is sent to the page, all of whose routes
lie below a path that is drawn as well:

- Another account knows neither, and gets the same refusal for every path.
- What another account has put into the browser while it had the port, as a service worker that
  reads every request of an origin, is of an origin known before, and so never this one.
- A page on another port or name of this machine gets no cookie: it is for this name and this path,
  which nobody else's page has or can learn.
- A link, a Referer or a screenshot that tells the path opens nothing without the cookie.

Behind a proxy that signs people in, the proxy's own key stands for both, and goes no further.
"""

import asyncio
import contextlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from html import escape
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from data.errors import ArgumentError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PROXY_HEADER = "X-Likeness-Proxy-Key"
"""The header by which a proxy shows that it is the one meant."""

_COOKIE = b"likeness"
_SECONDS_TO_DISCARD = 5
_OPEN = "/open/"
_HTML = (b"content-type", b"text/html; charset=utf-8")
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The content policy of what strangers get, which does not even tell them the page's name."""

_SAFE = frozenset({"GET", "HEAD"})
_USUAL_PORTS = {"http": 80, "https": 443}
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_REFUSAL = "<!DOCTYPE html><title>Likeness</title><h1>Not this way</h1><p>{}</p>"
_GO_ON = '<!DOCTYPE html><title>Likeness</title><meta http-equiv="refresh" content="0; url={}">'


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may use the page, and where it lies.

    Attributes:
        origin: Scheme, host and port, as a browser writes them.
        base: The path below which all of it lies, without a slash at its end; may be empty.
        key: What the printed address holds, or what the proxy shows.
        token: What the cookie holds; None behind a proxy.
    """

    origin: str
    base: str
    key: str = field(repr=False)
    token: str | None = field(repr=False)

    @classmethod
    def of_this_machine(cls, port: int) -> "Access":
        """A fresh name and secrets for a page that this machine's browsers reach by themselves."""
        host = f"{secrets.token_hex(16)}.localhost"
        return cls(
            origin=f"http://{_shown(host, port, 'http')}",
            base=f"/{secrets.token_urlsafe(16)}",
            key=secrets.token_urlsafe(32),
            token=secrets.token_urlsafe(32),
        )

    @classmethod
    def behind(cls, address: str, key: str) -> "Access":
        """The page as a proxy shows it to those whom it has signed in.

        Args:
            address: Where they reach it, as `https://faces.example.org/likeness`.
            key: What the proxy shows.

        Raises:
            ArgumentError: It is no address of a page, or everybody on the way could read along; or
                the key is short.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise ArgumentError(f"{address} is no address: {error}") from error
        host, base = parts.hostname or "", parts.path.rstrip("/")
        plain = not (parts.query or parts.fragment or parts.username or parts.password)
        if (
            parts.scheme not in ("http", "https")
            or not re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:]+", host)
            or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", base)
            or not plain
        ):
            raise ArgumentError(
                f"{address} is no address of a page: expected one as https://faces.example.org"
            )
        if parts.scheme == "http" and not _is_this_machine(host):
            raise ArgumentError(
                f"{address} would go over the network in plain text: expected https:// (http:// is "
                "for a proxy and browsers on this very machine)"
            )
        if len(key) < 32:
            raise ArgumentError(
                "the proxy's key is shorter than 32 characters: make one by `openssl rand -hex 32`"
            )
        origin = f"{parts.scheme}://{_shown(host, port, parts.scheme)}"
        return cls(origin=origin, base=base, key=key, token=None)

    @property
    def host(self) -> str:
        """What the Host header has to be."""
        return self.origin.partition("://")[2]

    @property
    def address(self) -> str:
        """What opens the page."""
        if self.token is None:
            return f"{self.origin}{self.base}"
        return f"{self.origin}{_OPEN}{self.key}"


def _shown(host: str, port: int | None, scheme: str) -> str:
    """Host and port as browsers write them."""
    named = f"[{host}]" if ":" in host else host
    return named if port in (None, _USUAL_PORTS[scheme]) else f"{named}:{port}"


def _is_this_machine(host: str) -> bool:
    """Whether browsers look for a host on their own machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def policy(origin: str, index: str) -> str:
    """The content policy of the page: its own server and nothing else.

    Args:
        origin: The page's own.
        index: The HTML that Streamlit serves, whose one script between tags is let through.
    """
    import base64
    import hashlib

    sums = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _SCRIPT.findall(index)
    ]
    return "; ".join(
        (
            "default-src 'none'",
            # Components' own scripts are handed to the browser as blobs.
            f"script-src 'self' blob: 'wasm-unsafe-eval' {' '.join(sums)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' {origin.replace('http', 'ws', 1)}",
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Gate:
    """An ASGI application around the page's.

    Args:
        application: The page.
        access: Who may use it.
        content_policy: From `policy`.
    """

    def __init__(self, application: Application, access: Access, content_policy: str) -> None:
        self._application = application
        self._access = access
        self._policy = content_policy
        self._headers = [
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), usb=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        request = _Request(scope)
        refusal = self._refusal(request)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._application(self._passed_on(scope), receive, send)
            return
        if refusal is None:
            guarded = self._guarded(send, request, self._policy)
            await self._application(self._passed_on(scope), receive, guarded)
            return
        guarded = self._guarded(send, request, _NOTHING)
        if self._opens(request):
            # A page that goes on by itself, not a redirect: to the browser the next request then
            # comes from this very site, and takes the cookie along.
            cookie = (
                f"{_COOKIE.decode()}={self._access.token}; Path={self._access.base}; "
                "HttpOnly; SameSite=Strict"
            )
            page = _GO_ON.format(escape(f"{self._access.base}/"))
            headers = [_HTML, (b"set-cookie", cookie.encode("ascii"))]
            await answer(scope, receive, guarded, 200, page, headers)
        else:
            await answer(scope, receive, guarded, 403, _REFUSAL.format(escape(refusal)), [_HTML])

    def _refusal(self, request: "_Request") -> str | None:
        """Why a request does not get through; None: it does.

        Everybody who lacks the secrets is told the same, whatever they ask for.
        """
        access = self._access
        closed = "Open the address that `likeness app` has printed, all of it."
        origin = request.only(b"origin")
        if request.only(b"host") != access.host:
            return closed
        if any(request.is_twice(name) for name in (b"origin", b"sec-fetch-site")):
            return closed
        if origin not in (None, access.origin):
            return closed
        if origin is None and (request.is_socket or request.method not in _SAFE):
            return closed
        if request.only(b"sec-fetch-site") not in (None, "same-origin", "none"):
            return closed
        if access.token is None:
            shown = request.only(PROXY_HEADER.lower().encode("ascii")) or ""
            known = _equal(shown, access.key)
            return None if known and request.is_below(access.base) else "Sign in at the proxy."
        known = any(_equal(cookie, access.token) for cookie in request.cookies(_COOKIE))
        return None if known and request.is_below(access.base) else closed

    def _opens(self, request: "_Request") -> bool:
        """Whether a request that was not let through is for the printed address."""
        access = self._access
        return (
            access.token is not None
            and request.only(b"host") == access.host
            and request.method == "GET"
            and request.only(b"sec-fetch-dest") in (None, "document")
            and request.path.startswith(_OPEN)
            and _equal(request.path.removeprefix(_OPEN), access.key)
        )

    def _passed_on(self, scope: Scope) -> Scope:
        """The request without what only the gate has to know."""
        hidden = PROXY_HEADER.lower().encode("ascii")
        headers = [
            (name, _without(_COOKIE, value) if name == b"cookie" else value)
            for name, value in scope["headers"]
            if name != hidden
        ]
        return {**scope, "headers": headers}

    def _guarded(self, send: Send, request: "_Request", content_policy: str) -> Send:
        """What sends an answer with the headers that each one gets."""
        headers = [(b"content-security-policy", content_policy.encode("ascii")), *self._headers]
        names = {name for name, _ in headers}
        lasting = request.path.startswith(f"{self._access.base}/static/")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [
                    (name, self._narrowed(value) if name.lower() == b"set-cookie" else value)
                    for name, value in message.get("headers", [])
                    if name.lower() not in names
                    and (lasting or name.lower() != b"cache-control")
                    and not name.lower().startswith(b"access-control-")
                ]
                # Faces are not left behind in the browser's cache on the disk.
                stored = [] if lasting else [(b"cache-control", b"no-store")]
                message = {**message, "headers": [*kept, *headers, *stored]}
            await send(message)

        return guarded

    def _narrowed(self, cookie: bytes) -> bytes:
        """A cookie of Streamlit's, for the page's own path and its own site alone."""
        base = (self._access.base or "/").encode("ascii")
        narrowed = re.sub(rb"(?i);\s*path=/(?=;|$)", b"; Path=" + base, cookie)
        return re.sub(rb"(?i);\s*samesite=lax", b"; SameSite=Strict", narrowed)


class _Request:
    """What the gate looks at of a request."""

    def __init__(self, scope: Scope) -> None:
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.path: str = scope["path"]
        self.is_socket = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")

    def is_twice(self, name: bytes) -> bool:
        """Whether there is such a header, and not one of plain text."""
        return any(key == name for key, _ in self._headers) and self.only(name) is None

    def only(self, name: bytes) -> str | None:
        """A header's value; None where there is none, or more than one, or it is no plain text."""
        values = [value for key, value in self._headers if key == name]
        if len(values) != 1 or not values[0].isascii():
            return None
        return values[0].decode("ascii")

    def is_below(self, base: str) -> bool:
        """Whether the path is the page's or below it."""
        return _equal(self.path[: len(base)], base) and self.path[len(base) :][:1] in ("", "/")

    def cookies(self, name: bytes) -> list[str]:
        """All values of a cookie."""
        found = []
        for key, value in self._headers:
            if key == b"cookie":
                for pair in value.split(b";"):
                    known, _, content = pair.strip().partition(b"=")
                    if known == name:
                        found.append(content.decode("latin-1"))
        return found


def _without(name: bytes, cookies: bytes) -> bytes:
    """A Cookie header without one of its cookies."""
    pairs = [pair.strip() for pair in cookies.split(b";")]
    return b"; ".join(pair for pair in pairs if pair.partition(b"=")[0] != name)


def _equal(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


async def answer(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    page: str,
    headers: Iterable[tuple[bytes, bytes]],
) -> None:
    """Answer a request whose body nobody wants, so that the answer arrives.

    A connection that is closed while the other side still sends is reset, and the answer may be
    lost with it. So what comes is discarded until it ends, for some seconds. Who asks first
    whether to send a body (`Expect: 100-continue`) is not told to.
    """
    content = page.encode()
    length = (b"content-length", str(len(content)).encode("ascii"))
    start: Message = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    if not any(name == b"expect" for name, _ in scope["headers"]):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_discard(receive), _SECONDS_TO_DISCARD)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """Take the rest of a request's body, until it ends or its sender is gone."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
