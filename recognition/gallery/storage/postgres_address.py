"""The address of a gallery on a PostgreSQL server.

postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?schema=NAME&OPTION=VALUE…]
postgresql:///DATABASE[?host=FOLDER]    by the socket of a server on this machine

Of a server elsewhere a port needs a user before it, or at least the @: in `zoe:7/secret` the port
may be where a password begins whose / is not written as %2F.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from data.errors import ArgumentError
from data.files import printable

SCHEMES = ("postgresql://", "postgres://")
DEFAULT_SCHEMA = "likeness"
DEFAULT_PORT = 5432

PASSWORD = "LIKENESS_POSTGRES_PASSWORD"
"""The environment's variable for a password that is not to stand in an address."""

_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout")
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_SOCKETS = ("/var/run/postgresql", "/tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """Where a gallery is on a server; as text without user, password and options.

    Attributes:
        host: The server's name or number, or the folder of its socket.
        port: The server's.
        database: Its database.
        schema: The database's schema that is the gallery: several may be in one database.
        user: Who connects; empty: as libpq decides.
        password: Never shown; empty: as libpq finds one, in PGPASSWORD or its password file.
        options: Of libpq, for TLS and for waiting.
    """

    host: str
    port: int
    database: str
    schema: str = DEFAULT_SCHEMA
    user: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        asked = [f"schema={self.schema}"] if self.schema != DEFAULT_SCHEMA else []
        if self._is_socket:
            host, asked = "", [f"host={self.host}", *asked]
        return f"{SCHEMES[0]}{host}{port}/{self.database}{'?' if asked else ''}{'&'.join(asked)}"

    @property
    def _is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether what is sent does not leave this machine."""
        return self._is_socket or _is_this_machine(self.host)

    @property
    def parameters(self) -> dict[str, str]:
        """What libpq is told, with the password."""
        given = {
            "host": self.host,
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "application_name": "likeness",
            "client_encoding": "UTF8",  # a database may be of none
            "connect_timeout": "10",
            # A machine that went dark is found out, by either side.
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "60000",
            "sslmode": "prefer" if self.is_local else "verify-full",
            **self.options,
        }
        own_root = Path("~/.postgresql/root.crt").expanduser()
        is_verified = given["sslmode"].startswith("verify")
        if is_verified and "sslrootcert" not in given and "PGSSLROOTCERT" not in os.environ:
            if own_root.is_file():
                given["sslrootcert"] = str(own_root)
            elif given["sslmode"] == "verify-full":  # libpq takes the system's with that alone
                given["sslrootcert"] = "system"
        return {name: value for name, value in given.items() if value}

    @classmethod
    def parse(cls, text: str) -> "PostgresAddress":
        """Read an address.

        Raises:
            ArgumentError: It is none, has an option that is not known, or would send what is kept
                of people over a network in the open. No message has the password, nor a part of
                one whose signs are not written as they have to be.
        """
        try:
            parts = urlsplit(text)
            host, port, path = parts.hostname or "", parts.port, unquote(parts.path)
            asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:  # whose message may have a part of the password
            raise _unreadable() from None
        has_colon = ":" in parts.netloc.rpartition("]")[2]
        if has_colon and "@" not in parts.netloc and not _is_this_machine(host):
            raise ArgumentError(
                f"an address of PostgreSQL with a port, or a password, and no user: "
                f"{SCHEMES[0]}USER@HOST:PORT/DATABASE, or {SCHEMES[0]}@HOST:PORT/DATABASE for the "
                f"user whom libpq takes; {_SIGNS}"
            )
        options = dict(asked)
        schema = options.pop("schema", DEFAULT_SCHEMA)
        if host and "host" in options:
            raise ArgumentError(
                "an address of PostgreSQL with two hosts, one of them as host=: give one"
            )
        if not host:
            host = options.pop("host", "") or next(filter(os.path.isdir, _SOCKETS), _SOCKETS[0])
        # After a / ? or # in a password, what is left of it stands where other things do.
        is_cut = "#" in text or "@" in parts.path or "@" in parts.query
        if is_cut or not (text + path + host).isprintable():
            raise _unreadable()
        found = cls(
            host=host,
            port=port or DEFAULT_PORT,
            database=path.strip("/"),
            schema=schema,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or "") or os.environ.get(PASSWORD, ""),
            options=options,
        )
        found._refuse_nonsense()
        return found

    def _refuse_nonsense(self) -> None:
        if not self.database or "/" in self.database:
            raise ArgumentError(
                f"an address of PostgreSQL without one database: give {SCHEMES[0]}HOST/DATABASE"
            )
        if "," in self.host:
            raise ArgumentError(
                "an address of PostgreSQL with several hosts: give one, to which changes go"
            )
        if not re.fullmatch("[a-z_][a-z0-9_]{0,62}", self.schema) or self.schema.startswith("pg_"):
            raise ArgumentError(
                f"a schema called {self.schema!a}: give up to 63 small letters, digits and "
                "underscores, no digit first, and not pg_…"
            )
        if unknown := sorted(set(self.options) - set(_OPTIONS)):
            raise ArgumentError(
                f"an address of PostgreSQL with {printable(unknown[0])!a}: known are schema, "
                f"host, {', '.join(_OPTIONS)}"
            )
        mode = self.options.get("sslmode")
        if mode is not None and mode not in (*_ENCRYPTED, "disable", "allow", "prefer"):
            raise ArgumentError(f"sslmode={mode!a}: choose one of {', '.join(_ENCRYPTED)}")
        if mode not in (None, *_ENCRYPTED) and not self.is_local:
            raise ArgumentError(
                f"sslmode={mode} to {self}, which is not this machine: what tells of people is "
                f"sent encrypted alone, by sslmode={', '.join(_ENCRYPTED)}"
            )


def _is_this_machine(host: str) -> bool:
    """Whether a name or number is always that of the machine that asks."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_SIGNS = "signs in a password and elsewhere as %40 for @, %2F for /, %3F for ? and %23 for #"


def _unreadable() -> ArgumentError:
    """What is said of an address that may be wrong within its password: nothing that is in it."""
    return ArgumentError(
        f"an address of PostgreSQL that cannot be read: {SCHEMES[0]}USER@HOST:PORT/DATABASE, "
        f"{_SIGNS}"
    )
