"""Connections that say nothing, or take nothing: whose they are, and how long each may stay."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import virtual_time
from uvicorn import Config
from uvicorn.server import ServerState

from ui.page import connections
from ui.page.connections import HttpConnection, SocketConnection, Waiting, accounts_of

OWNER, ATTACKER, ANOTHER = 1000, 65534, 65533
OURS = ("127.0.0.1", 8501)

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2135 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:2135 0100007F:9C41 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:9C41 0100007F:2135 01 00000000:00000000 00:00000000 00000000  1000        0 3 1
   3: 0100007F:9C42 0100007F:0050 01 00000000:00000000 00:00000000 00000000  1001        0 4 1
  odd
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000001000000:9C43 00000000000000000000000001000000:2135 01 0 0 0 1002
   1: 0000000000000000FFFF00000100007F:9C44 0000000000000000FFFF00000100007F:2135 01 0 0 0 1003
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the tables are of such a machine")
def test_the_systems_tables_tell_whose_a_connection_is(tmp_path: Path) -> None:
    tables = tmp_path / "tcp", tmp_path / "tcp6", tmp_path / "none"
    tables[0].write_text(TCP)
    tables[1].write_text(TCP6)
    asked = [(("127.0.0.1", port), OURS) for port in (40001, 40002, 40004, 40005)]
    asked.append((("::1", 40003), ("::1", 8501)))
    assert accounts_of(asked, tables) == {
        ("127.0.0.1", 40001): 1000,
        ("::1", 40003): 1002,
        ("127.0.0.1", 40004): 1003,  # by a socket of the other family
    }
    assert accounts_of(asked, [tmp_path / "none"]) == {}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells it, others do not")
@pytest.mark.parametrize(
    ("family", "here"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_this_machine_tells_whose_a_connection_is(family: socket.AddressFamily, here: str) -> None:
    try:
        listening = socket.create_server((here, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {here}")
    with listening, socket.create_connection(listening.getsockname()[:2]) as connected:
        theirs, ours = connected.getsockname()[:2], listening.getsockname()[:2]
        assert accounts_of([(theirs, ours)]) == {theirs: os.getuid()}


class Crowd:
    """Connections that wait, of several accounts, each of which notes when it is ended."""

    def __init__(self, *, known: bool = True, most: int = 64) -> None:
        self.owners: dict[tuple[str, int], int] = {}
        self.ended: list[int] = []
        self.looks, self.now, self.costs = 0, 0.0, 0.0
        self.waiting = Waiting(most, self.accounts if known else lambda _: {}, lambda: self.now)

    def accounts(self, connections: Sequence[tuple[Any, Any]]) -> dict[tuple[str, int], int]:
        self.looks += 1
        self.now += self.costs
        return {theirs: self.owners[theirs] for theirs, _ in connections}

    def connect(self, account: int) -> int:
        """One more; its number."""
        number = len(self.owners)
        self.owners["127.0.0.1", number] = account
        transport: Any = type("Transport", (), {"abort": partial(self.ended.append, number)})
        self.waiting.enter(("127.0.0.1", number), OURS, transport)
        return number

    def waits(self) -> int:
        return len(self.owners) - len(self.ended)


@pytest.mark.parametrize("attackers", [(ATTACKER,), (ATTACKER, ANOTHER), (0,)])
def test_whoever_opens_many_crowds_out_nobody_else(attackers: tuple[int, ...]) -> None:
    crowd = Crowd()
    own = [crowd.connect(OWNER) for _ in range(6)]  # as a browser keeps them
    for turn in range(2000):
        crowd.connect(attackers[turn % len(attackers)])
        if turn % 100 == 0:
            own.append(crowd.connect(OWNER))
        if turn % 100 == 20:  # it has taken its time, but asks
            crowd.waiting.let_in({"client": ("127.0.0.1", own[-1])})
        assert crowd.waits() <= 64 + len(own)
    assert set(crowd.ended) & set(own) == set()


def test_looking_who_it_is_takes_a_tenth_of_the_time_at_most() -> None:
    """The list holds the sockets of everybody, thousands of them if somebody wants it."""
    crowd = Crowd()
    crowd.costs = 0.05
    for _ in range(8_000):
        crowd.connect(ATTACKER)
        crowd.now += 0.001
        assert crowd.waits() <= 64
    assert 10 < crowd.looks <= 0.1 * crowd.now / 0.05 + 1


def test_where_nobody_can_tell_the_longest_wait_goes_first() -> None:
    crowd = Crowd(known=False, most=10)
    for _ in range(11):
        crowd.connect(OWNER)
    assert crowd.ended == [0, 1, 2, 3, 4, 5]
    crowd.waiting.let_in({"client": ("127.0.0.1", 6)})
    crowd.waiting.let_in({"client": None})
    crowd.waiting.let_in({})
    for _ in range(6):
        crowd.connect(ATTACKER)
    assert 6 not in crowd.ended
    assert 16 not in crowd.ended


Application = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def serving(
    application: Application, waiting: Waiting, state: ServerState | None = None
) -> AsyncIterator[int]:
    """The port of a server with these connections, and nothing else of uvicorn's server."""
    config = Config(application, ws=SocketConnection, log_level="critical", lifespan="off")
    config.load()
    given: dict[str, Any] = {
        "config": config,
        "server_state": state or ServerState(),
        "app_state": {},
    }
    loop = asyncio.get_running_loop()
    make = partial(HttpConnection, waiting, **given)
    server = await loop.create_server(make, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def connected(
    port: int, **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A reader and a writer, both closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def says(scope: Any, receive: Any, send: Any) -> None:
    """An application whose answer takes its time, or is long."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(200):
            await send({"type": "websocket.send", "bytes": bytes(200_000)})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    long = scope["path"] == "/long"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(200 if long else 1):
        body = bytes(200_000) if long else b"said"
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")  # fmt: skip
UPGRADE = get("/", *WEBSOCKET)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of less than a second."""
    monkeypatch.setattr(connections, "SECONDS_TO_ASK", 0.4)
    monkeypatch.setattr(connections, "SECONDS_TO_TAKE", 0.4)


async def ends(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, which it has to."""
    found = b""
    async with asyncio.timeout(20):
        while True:
            try:
                piece = await reader.read(65536)
            except ConnectionError:
                return found
            if not piece:
                return found
            found += piece


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("begins", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", get("/")])
def test_a_connection_that_asks_for_nothing_ends(begins: bytes) -> None:
    """Nor for anything more; one that sends a little now and then does not last longer."""

    async def connect(drips: bool) -> bytes:
        async with serving(says, Waiting()) as port, connected(port) as (reader, writer):
            writer.write(begins)
            reading = asyncio.ensure_future(ends(reader))
            loop = asyncio.get_running_loop()
            begun = loop.time()
            while drips and not reading.done() and loop.time() - begun < 15:
                writer.write(b"x")
                await asyncio.sleep(0.1)
            return await reading

    for drips in (False, True):
        assert (b"said" in virtual_time.run(connect(drips))) is begins.endswith(b"\r\n\r\n")


@pytest.mark.usefixtures("soon")
def test_an_answer_may_take_its_time_and_a_connection_may_ask_again() -> None:
    async def connect() -> bytes:
        waiting = Waiting()
        async with serving(says, waiting) as port, connected(port) as (reader, writer):
            writer.write(get("/slow"))
            answer = await reader.readuntil(b"said")
            writer.write(get("/slow") + get("/slow", "Connection: close"))  # one after the other
            answer += await ends(reader)
            await asyncio.sleep(0.1)
            assert waiting._ends == {}
            return answer

    assert virtual_time.run(connect()).count(b"said") == 3


@pytest.mark.usefixtures("soon")
def test_a_websocket_that_was_asked_for_before_the_last_answer_is_left_alone() -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await says(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(1)
        await send({"type": "websocket.send", "bytes": b"late"})

    async def connect() -> bytes:
        waiting = Waiting()
        async with serving(late, waiting) as port, connected(port) as (reader, writer):
            writer.write(get("/") + UPGRADE)
            async with asyncio.timeout(20):
                answer = await reader.readuntil(b"late")
            assert waiting._ends == {}
            return answer

    assert b" 101 " in virtual_time.run(connect())


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("asked", [get("/long"), UPGRADE])
def test_a_connection_ends_whose_other_side_takes_nothing(asked: bytes) -> None:
    """40 MB are more than the system holds for it."""

    async def connect(takes: bool) -> int:
        lost = asyncio.Event()

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            try:
                await says(scope, receive, send)
            finally:
                lost.set()

        async with (
            serving(noted, Waiting()) as port,
            connected(port, limit=1000) as (reader, writer),
        ):
            writer.write(asked)
            taken = 0
            async with asyncio.timeout(60):
                while takes and taken < 40_000_000:
                    taken += len(await reader.read(2_000_000))
                    if taken % 7 == 0:
                        await asyncio.sleep(0.05)
                await lost.wait()
            return taken

    assert virtual_time.run(connect(takes=False)) == 0
    assert virtual_time.run(connect(takes=True)) >= 40_000_000


def test_a_request_that_is_refused_still_waits_and_one_that_is_let_in_does_not() -> None:
    """Else a refused body that never comes would keep a place that nobody counts."""
    at_work = asyncio.Event()

    async def connect() -> None:
        waiting = Waiting()

        async def gate(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/known":
                waiting.let_in(scope)
            at_work.set()
            await asyncio.sleep(0.2)
            await says(scope, receive, send)

        async with serving(gate, waiting) as port:
            for path, waits in (("/stranger", 1), ("/known", 0)):
                at_work.clear()
                async with connected(port) as (reader, writer):
                    writer.write(get(path, "Content-Length: 100"))
                    await at_work.wait()
                    assert len(waiting._ends) == waits
                    await reader.readuntil(b"said")
                await asyncio.sleep(0.1)

    virtual_time.run(connect())


@pytest.mark.parametrize(
    "asked",
    [
        UPGRADE.replace(b"GET", b"POST"),
        get("/", *WEBSOCKET, "Content-Length: 5"),
        get("/", *WEBSOCKET, "Transfer-Encoding: chunked"),
        get("/", *WEBSOCKET, *["X: y"] * 300),
        get("/", *WEBSOCKET, f"X: {'y' * 20_000}"),
        get(f"/{'y' * 20_000}", *WEBSOCKET),
        get("/", *WEBSOCKET[:2]),
        get("/", *WEBSOCKET[:2], "Sec-WebSocket-Version: 7"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"GET", b"HEAD"),
    ],
)
def test_what_is_no_proper_beginning_of_a_websocket_is_ended(asked: bytes) -> None:
    """It was kept for ever, and the server could not end in order."""

    async def connect() -> bytes:
        state = ServerState()
        async with (
            serving(says, Waiting(), state) as port,
            connected(port) as (reader, writer),
        ):
            writer.write(asked)
            answer = await ends(reader)
            await asyncio.sleep(0.05)
            assert state.connections == set()
            return answer

    assert virtual_time.run(connect()).startswith(b"HTTP/1.1 4")
