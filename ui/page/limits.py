"""How much the page's visitors may ask for: connections, uploaded bytes, searches, patience."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from .gate import Application, Message, Receive, Scope, Send, answer

MOST_CONNECTIONS = 64
"""Open pages at once; each has a session of its own."""

MOST_SESSION_BYTES = 500_000_000
"""Bytes of the uploads that one open page holds."""

MOST_BYTES = 2_000_000_000
"""Bytes of the uploads of all of them."""

MOST_A_MINUTE = 60
"""Photographs that are compared in a minute where others than the owner are served."""

MOST_REQUESTS = 256
"""Requests of those who were let in that are answered at once."""

SECONDS_STILL = 10.0
"""For which an upload may bring nothing."""

SECONDS_TO_BEGIN, BYTES_A_SECOND = 30.0, 10_000
"""An upload has so long, and for each second more it has to bring so much."""

SECONDS_TO_SPEAK = 30.0
"""In which a new page has to say what it shows."""

_WITHOUT_SESSION = 2  # entries of a page's own protocol: its name, and a token
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+")

Held = Callable[[], Mapping[str, int]]
"""Tells how many bytes of uploads each session holds."""


class Limits:
    """An ASGI application around the page's, inside the gate.

    Args:
        application: The page.
        base: The path below which it lies.
        held: What sessions hold already.
        let_in: Is told of each request that comes this far.
    """

    def __init__(
        self,
        application: Application,
        base: str,
        held: Held,
        let_in: Callable[[Scope], None] = lambda scope: None,
    ) -> None:
        self._application = application
        self._base = base
        self._held = held
        self._let_in = let_in
        self._connections = self._requests = 0
        self._coming: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through where there is room for what it brings."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        elif scope["type"] == "http":
            await self._ask(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._connections >= MOST_CONNECTIONS:
            await send({"type": "websocket.close", "code": 1013})
            return
        # A page that comes back names its session, and need not say more.
        comes_back = len(scope.get("subprotocols", ())) > _WITHOUT_SESSION
        asked, silent = 0, False

        async def word() -> Message:
            nonlocal asked, silent
            asked += 1
            first = asked == 2 and not comes_back  # what comes before is that it has connected
            message = await _within(SECONDS_TO_SPEAK, receive) if first else await receive()
            silent = message is None
            return message or {"type": "websocket.disconnect", "code": 1008}

        self._connections += 1
        try:
            await self._application(scope, word, send)
            if silent:
                await send({"type": "websocket.close", "code": 1008})
        finally:
            self._connections -= 1

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._requests >= MOST_REQUESTS:
            await _refuse(scope, receive, send, 503, "too much is asked for at once")
            return
        self._let_in(scope)
        self._requests += 1
        try:
            if scope["method"] in ("GET", "HEAD", "OPTIONS"):
                await self._application(scope, receive, send)
            else:
                await self._take(scope, receive, send)
        finally:
            self._requests -= 1

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
        upload, begun = _Upload(receive), False

        async def answered(message: Message) -> None:
            nonlocal begun
            if begun or not upload.has_stalled:
                begun = True
                await send(message)

        self._coming[session] += length
        try:
            await self._application(scope, upload.receive, answered)
        except Exception:
            if not upload.has_stalled:  # else it is about that
                raise
        finally:
            self._coming[session] -= length
            if not self._coming[session]:
                del self._coming[session]
        if upload.has_stalled and not begun:
            await _refuse(scope, receive, send, 408, "the picture did not come: send it again")


class _Upload:
    """What an upload brings, as long as it brings enough.

    Args:
        receive: Where it comes from.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes, self._waited, self._is_whole = 0, 0.0, False
        self.has_stalled = False

    async def receive(self) -> Message:
        """What comes next; that its sender is gone once it has stalled."""
        if self._is_whole:  # what comes then is that the sender is gone
            return await self._receive()
        left = SECONDS_TO_BEGIN + self._bytes / BYTES_A_SECOND - self._waited
        begun = _now()
        message = None
        if not self.has_stalled:
            message = await _within(min(SECONDS_STILL, left), self._receive)
        self._waited += _now() - begun
        if message is None:
            self.has_stalled = True
            return {"type": "http.disconnect"}
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message


def _now() -> float:
    """The time by the clock that the waiting itself goes by."""
    return asyncio.get_running_loop().time()


async def _within(seconds: float, receive: Receive) -> Message | None:
    """What comes within a time; None where nothing does."""
    coming = asyncio.ensure_future(receive())
    try:
        # Twice half of it: what came while this process was at other work is there the second time.
        for _ in range(2):
            await asyncio.wait({coming}, timeout=max(seconds, 0.02) / 2)
        return coming.result() if coming.done() else None
    finally:
        coming.cancel()


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
