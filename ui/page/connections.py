"""What a connection to the page's port may hold before anybody has said who they are.

Every account of this machine can connect. So a connection has a time in which to ask for
something, and in which to take what it is sent; and when many wait who have not been let in, those
go whose account has the most of them. Whoever opens connections by the hundred crowds out nobody
but themselves.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .gate import Scope

SECONDS_TO_ASK = 10.0
"""In which a connection has to send the whole head of a request."""

SECONDS_TO_TAKE = 60.0
"""In which the other side has to take some of what it was sent."""

MOST_WAITING = 256
"""Connections of those who have not been let in, or have asked for nothing more since."""

_SHARE_OF_LOOKING = 0.1  # of this process's time
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

End = tuple[str, int]
"""Address and port of one side of a connection."""

Accounts = Callable[[Sequence[tuple[End, End]]], dict[End, int]]
"""Tells by which account some connections were made, where it can be told."""


def accounts_of(
    connections: Sequence[tuple[End, End]], tables: Iterable[Path] = _TABLES
) -> dict[End, int]:
    """By which account of this machine connections to it were made.

    Args:
        connections: The other side and this side of each.
        tables: Where Linux lists the sockets of this machine; other systems do not.

    Returns:
        The user's number, by the other side, of each that is listed.
    """
    listed: dict[tuple[bytes, bytes], int] = {}
    for table in tables:
        try:
            lines = table.read_bytes().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 7 and fields[7].isdigit():
                listed[fields[1], fields[2]] = int(fields[7])
    found = {}
    for theirs, ours in connections:
        for pair in zip(_as_listed(*theirs), _as_listed(*ours), strict=True):
            if pair in listed:
                found[theirs] = listed[pair]
    return found


def _as_listed(host: str, port: int) -> list[bytes]:
    """An address as Linux lists it: words of 32 bits, each in the machine's own order of bytes.

    An IPv4 address may be that of an IPv6 socket, too.
    """
    packed = ip_address(host).packed
    forms = [packed] if len(packed) == 16 else [packed, bytes(10) + b"\xff\xff" + packed]
    return [
        b"%s:%04X"
        % (
            b"".join(
                b"%08X" % int.from_bytes(form[at : at + 4], sys.byteorder)
                for at in range(0, len(form), 4)
            ),
            port,
        )
        for form in forms
    ]


class Waiting:
    """The connections of those who have not been let in, or have asked for nothing more since.

    Args:
        most: So many; of more, half are ended.
        accounts: Tells whose they are.
        clock: Tells the time.
    """

    def __init__(
        self,
        most: int = MOST_WAITING,
        accounts: Accounts = accounts_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._accounts, self._clock = most, accounts, clock
        self._ends: dict[End, tuple[asyncio.Transport, End]] = {}  # the longest waiting first
        self._owners: dict[End, int] = {}
        self._next_look = clock()

    def enter(self, theirs: End, ours: End, transport: asyncio.Transport) -> None:
        """One more waits, from now on."""
        self.leave(theirs)
        self._ends[theirs] = transport, ours
        if len(self._ends) > self._most:
            self._thin()

    def leave(self, theirs: End) -> None:
        """One has been let in, or is gone."""
        self._ends.pop(theirs, None)
        self._owners.pop(theirs, None)

    def let_in(self, scope: Scope) -> None:
        """The one of a request that has passed the gate."""
        if scope.get("client"):
            self.leave(tuple(scope["client"]))

    def _thin(self) -> None:
        self._look()
        groups: dict[int | None, list[End]] = defaultdict(list)
        for end in self._ends:
            groups[self._owners.get(end)].append(end)
        for _ in range(len(self._ends) - self._most // 2):
            oldest = max(groups.values(), key=len).pop(0)
            transport, _ours = self._ends[oldest]
            self.leave(oldest)
            transport.abort()

    def _look(self) -> None:
        """Find out whose they are; not at once again where the list of sockets is long."""
        begun = self._clock()
        if begun >= self._next_look:
            self._owners = self._accounts([(end, ours) for end, (_, ours) in self._ends.items()])
            ended = self._clock()
            self._next_look = ended + (ended - begun) * (1 / _SHARE_OF_LOOKING - 1)


class Untaken:
    """Ends a connection whose other side takes nothing of what it is sent.

    Args:
        transport: The connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = 0
        self._next_look: asyncio.TimerHandle | None = None
        # So that it is told of every byte that the system has not taken yet.
        transport.set_write_buffer_limits(high=0)

    def begin(self) -> None:
        """Something waits to be taken."""
        self.end()
        self._left = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(SECONDS_TO_TAKE, self._look)

    def end(self) -> None:
        """Nothing does, or the connection is gone."""
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() >= self._left:
            self._transport.abort()
        else:
            self.begin()


class HttpConnection(H11Protocol):
    """A connection by HTTP, as uvicorn has it, that ends where nothing is asked or taken.

    Args:
        waiting: Where it is while it has asked for nothing.
        given: What uvicorn gives each connection.
    """

    def __init__(self, waiting: Waiting, **given: Any) -> None:
        super().__init__(**given)
        self._waiting = waiting
        self._deadline: asyncio.TimerHandle | None = None
        self._untaken: Untaken | None = None
        self._has_become_a_socket = False

    def connection_made(self, transport: Any) -> None:
        """It is there, and has asked for nothing yet."""
        super().connection_made(transport)
        self._untaken = Untaken(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some of a request, or all of it."""
        super().data_received(data)
        if self._asks:
            self._keep()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """It becomes a WebSocket, which is refused at once or has limits of its own."""
        self._has_become_a_socket = True
        self._end()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """It has its answer, and may ask again unless it has become a WebSocket."""
        super().on_response_complete()
        if not (self._asks or self._has_become_a_socket or self.transport.is_closing()):
            self._wait()

    def pause_writing(self) -> None:
        """The other side does not take everything at once."""
        super().pause_writing()
        if self._untaken is not None:
            self._untaken.begin()

    def resume_writing(self) -> None:
        """It has taken everything."""
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        self._end()

    @property
    def _asks(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """Until it has asked for something, and whoever asks has been let in."""
        self._keep()
        self._deadline = self.loop.call_later(SECONDS_TO_ASK, self.transport.abort)
        if self.client is not None and self.server is not None:
            here = self.server[0], self.server[1] or 0
            self._waiting.enter(self.client, here, self.transport)

    def _keep(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._keep()
        if self.client is not None:
            self._waiting.leave(self.client)
        if self._untaken is not None:
            self._untaken.end()


class SocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket, as uvicorn has it, that ends where the other side takes nothing."""

    _untaken: Untaken | None = None

    def connection_made(self, transport: Any) -> None:
        """It has become one."""
        super().connection_made(transport)
        self._untaken = Untaken(transport)

    def data_received(self, data: bytes) -> None:
        """The whole head of the request first, then what is sent."""
        if self.handshake_initiated:
            super().data_received(data)
            return
        # What is no proper head would be kept for ever, by nobody, and fail again at the end.
        with suppress(Exception):
            super().data_received(data)
        if not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            self.transport.write(_BAD_REQUEST)
            self.transport.close()

    def pause_writing(self) -> None:
        """The other side does not take everything at once."""
        super().pause_writing()
        if self._untaken is not None:
            self._untaken.begin()

    def resume_writing(self) -> None:
        """It has taken everything."""
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        if self._untaken is not None:
            self._untaken.end()
