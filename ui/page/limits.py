"""How much the page's visitors may ask for: connections, uploaded bytes, searches."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from .gate import Application, Receive, Scope, Send, answer

MOST_CONNECTIONS = 64
"""Open pages at once; each has a session of its own."""

MOST_SESSION_BYTES = 500_000_000
"""Bytes of the uploads that one open page holds."""

MOST_BYTES = 2_000_000_000
"""Bytes of the uploads of all of them."""

MOST_A_MINUTE = 60
"""Photographs that are compared in a minute where others than the owner are served."""

_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+")

Held = Callable[[], Mapping[str, int]]
"""Tells how many bytes of uploads each session holds."""


class Limits:
    """An ASGI application around the page's, inside the gate.

    Args:
        application: The page.
        base: The path below which it lies.
        held: What sessions hold already.
    """

    def __init__(self, application: Application, base: str, held: Held) -> None:
        self._application = application
        self._base = base
        self._held = held
        self._connections = 0
        self._coming: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through where there is room for what it brings."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            await self._take(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._connections >= MOST_CONNECTIONS:
            await send({"type": "websocket.close", "code": 1013})
            return
        self._connections += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self._connections -= 1

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An upload of a length that is known and for which there is room, or nothing to take."""
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        if chunked or len(lengths) > 1 or not all(value.isdigit() for value in lengths):
            await _refuse(scope, receive, send, 411, "the length must be told")
            return
        length = int(lengths[0]) if lengths else 0
        match = _UPLOAD.fullmatch(scope["path"].removeprefix(self._base))
        session = match[1] if match else ""
        held = Counter(self._held()) + self._coming
        if held[session] + length > MOST_SESSION_BYTES or held.total() + length > MOST_BYTES:
            why = "too many pictures at once: remove some, or reload the page"
            await _refuse(scope, receive, send, 413, why)
            return
        self._coming[session] += length
        try:
            await self._application(scope, receive, send)
        finally:
            self._coming[session] -= length


class Allowance:
    """So much in a time, and no more; safe for several threads.

    Args:
        most: How much at once, and in `seconds`.
        seconds: In how long it comes back.
        clock: Tells the time.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._left, self._since = float(most), clock()
        self._changing = threading.Lock()

    def take(self, much: int) -> bool:
        """Take some of what is left; False, and nothing taken, where that is less."""
        with self._changing:
            now = self._clock()
            back = (now - self._since) * self._most / self._seconds
            self._left, self._since = min(self._most, self._left + back), now
            if much > self._left:
                return False
            self._left -= much
            return True


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await answer(scope, receive, send, status, why, headers)
