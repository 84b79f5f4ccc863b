"""A proxy that signs people in, as docs/threat-model.md asks for one, and TLS in front of it.

It does what the nginx block there does and nothing else: whoever is not signed in is turned away;
of the others it hands on every request with the Host header as it came, upgrades WebSockets, and
sets `X-Likeness-Proxy-Key`, whatever the visitor has put there.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

SIGNED_IN = "signed-in=Ann"
"""The cookie of somebody whom the proxy has signed in."""

HEADER = "x-likeness-proxy-key"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that listens.

    Attributes:
        port: Where.
        certificate: What its visitors have to trust.
        seen: The first lines of all requests that it has handed on.
    """

    port: int
    certificate: Path
    seen: list[str] = field(default_factory=list)


@contextmanager
def proxied(folder: Path, host: str, upstream: int, key: str, listens: int = 0) -> Iterator[Proxy]:
    """Let a proxy run until the block ends.

    Args:
        folder: For its certificate.
        host: The name that it has.
        upstream: The port of the page.
        key: What it shows to the page.
        listens: Its own port; 0 takes a free one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate := _certificate(folder / "proxy.pem", host))
    loop = asyncio.new_event_loop()
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await _hand_on(reader, writer, upstream, key, seen)
        writer.close()

    # In a thread of its own from beginning to end: a test may have a loop of its own.
    running = threading.Thread(target=loop.run_forever, daemon=True)
    running.start()
    beginning = asyncio.start_server(serve, "127.0.0.1", listens, ssl=context, limit=1 << 20)
    server = asyncio.run_coroutine_threadsafe(beginning, loop).result()
    try:
        yield Proxy(server.sockets[0].getsockname()[1], certificate, seen)
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        running.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.05)


async def _hand_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: int,
    key: str,
    seen: list[str],
) -> None:
    """One request of one visitor; a socket goes on until either side ends it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.rstrip().split("\r\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in
               (line.partition(":") for line in lines)]  # fmt: skip
    if not any(name == "cookie" and SIGNED_IN in value for name, value in headers):
        writer.write(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\nConnection: close\r\n\r\nSign in."
        )
        await writer.drain()
        return
    seen.append(request)
    upgrade = any(name == "upgrade" for name, _ in headers)
    handed_on = [
        *((name, value) for name, value in headers if name not in (HEADER, "connection")),
        ("connection", "upgrade" if upgrade else "close"),
        (HEADER, key),
    ]
    there, to_page = await asyncio.open_connection("127.0.0.1", upstream, limit=1 << 20)
    lines = [request, *(f"{name}: {value}" for name, value in handed_on)]
    to_page.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    sending = asyncio.ensure_future(_pump(reader, to_page))
    try:
        await _pump(there, writer)
    finally:
        sending.cancel()
        to_page.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while piece := await source.read(1 << 16):
        target.write(piece)
        await target.drain()


def _certificate(path: Path, host: str) -> Path:
    """A key and a certificate for a host, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(pem))
    return path
