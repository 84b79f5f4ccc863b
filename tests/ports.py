"""Ports for servers that a test starts."""

import os
import random
import socket

_RANGE = range(20_000, 32_000)  # below what the system gives to outgoing connections
_rng = random.Random(os.getpid())


def free_port() -> int:
    """A port on which nothing listens, and that no connection is given before a server has it."""
    while True:
        port = _rng.choice(_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
