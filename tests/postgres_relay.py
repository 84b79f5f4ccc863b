"""Counts, between Likeness and a PostgreSQL server, how often one waits for the other."""

import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


class Relay:
    """Hands on what a server's socket and its clients say.

    Args:
        server: The folder of the server's socket.
        folder: Where to listen: a folder for the clients' `host`.
        delay: Seconds that each question waits on its way, as over a network.
    """

    def __init__(self, server: Path, folder: Path, delay: float = 0.0) -> None:
        self.round_trips = 0
        self.folder = folder
        self._server, self._delay = server, delay
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / _SOCKET))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client: socket.socket) -> None:
        was_asking = False
        with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as ready:
            server.connect(str(self._server / _SOCKET))
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            with suppress(OSError):
                while True:
                    for key, _ in ready.select():
                        said = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                        if not said:
                            return
                        is_asking = key.fileobj is client
                        if is_asking and not was_asking:
                            self.round_trips += 1
                            time.sleep(self._delay)
                        was_asking = is_asking
                        key.data.sendall(said)

    def close(self) -> None:
        """Take nobody any more."""
        self._listening.close()


@contextmanager
def relayed(server: Path, delay: float = 0.0) -> Iterator[Relay]:
    """A relay before the server whose socket is in a folder."""
    with tempfile.TemporaryDirectory(prefix="likeness-relay-", dir="/tmp") as folder:
        relay = Relay(server, Path(folder), delay)
        try:
            yield relay
        finally:
            relay.close()
