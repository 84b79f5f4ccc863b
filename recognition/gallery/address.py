"""The address of a gallery in Milvus.

milvus://HOST[:PORT]/NAME[?OPTION=VALUE&…]      a server
milvus:///PATH/FILE.db[?name=NAME&…]            Milvus Lite, in a folder of this machine
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from data.errors import ArgumentError

SCHEME = "milvus://"
DEFAULT_NAME = "likeness"
DEFAULT_PORT = 19530

METRICS = ("IP", "COSINE")
CONSISTENCIES = ("Strong", "Bounded", "Session", "Eventually")
INDEXES = (
    "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "HNSW_SQ", "HNSW_PQ", "SCANN", "DISKANN",
    "AUTOINDEX",
)  # fmt: skip

_BUILDING = ("M", "efConstruction", "nlist", "m", "nbits")
_SEARCHING = ("ef", "nprobe", "search_list", "reorder_k")


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusAddress:
    """Where a gallery is in Milvus, and how it is indexed and read there.

    Attributes:
        uri: What pymilvus is told: an `http(s)://` address, or the path of a file.
        name: The gallery's name; its collections begin with it.
        token: `user:password` or a key; empty where none is needed. Never shown.
        database: Milvus's database; empty takes the default one.
        index: The index that a new gallery gets; FLAT finds exactly what the local one does.
        metric: IP or COSINE, which are one for unit vectors.
        consistency: What a search waits for; `Strong` sees all that any machine has acknowledged.
        building: Numbers for making the index.
        searching: Numbers for searching it.
    """

    uri: str
    name: str = DEFAULT_NAME
    token: str = field(default="", repr=False)
    database: str = ""
    index: str = "FLAT"
    metric: str = "IP"
    consistency: str = "Strong"
    building: Mapping[str, int] = field(default_factory=dict)
    searching: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", self.name):
            raise ArgumentError(
                f"a gallery called {self.name!a}: Milvus takes up to 100 letters, digits and "
                "underscores, and no digit first"
            )
        for what, value, choices in (
            ("index", self.index, INDEXES),
            ("metric", self.metric, METRICS),
            ("consistency", self.consistency, CONSISTENCIES),
        ):
            if value not in choices:
                raise ArgumentError(f"{what}={value}: choose one of {', '.join(choices)}")

    def __str__(self) -> str:
        place = self.uri.partition("://")[2] if "://" in self.uri else self.uri
        return f"{SCHEME}{place}{f'?name={self.name}' if self.is_local else f'/{self.name}'}"

    @property
    def is_local(self) -> bool:
        """Whether it is Milvus Lite's."""
        return "://" not in self.uri

    @classmethod
    def parse(cls, text: str) -> "MilvusAddress":
        """Read an address.

        A server's user and password stand before the host, or in LIKENESS_MILVUS_TOKEN.

        Raises:
            ArgumentError: It is none, or an option is unknown or out of range.
        """
        try:
            parts = urlsplit(text)
            host, port, path = parts.hostname, parts.port, unquote(parts.path)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
                           if parts.query else ())  # fmt: skip
        except ValueError as error:
            raise ArgumentError(f"an address of Milvus that cannot be read: {error}") from error
        token = os.environ.get("LIKENESS_MILVUS_TOKEN", "")
        if parts.username:
            token = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        scheme = "https" if options.pop("tls", "no") in ("1", "yes", "true") else "http"
        if host:
            uri, name = f"{scheme}://{host}:{port or DEFAULT_PORT}", path.strip("/") or DEFAULT_NAME
        else:
            if not path.endswith(".db") or not Path(path).parent.is_dir():
                raise ArgumentError(
                    f"{SCHEME}{path}: give {SCHEME}HOST/NAME, or {SCHEME}/PATH/FILE.db for Milvus "
                    "Lite, in a folder that exists"
                )
            uri, name = path, options.pop("name", DEFAULT_NAME)
        return cls(
            uri=uri,
            name=name,
            token=token,
            building={key: _number(key, options.pop(key)) for key in _BUILDING if key in options},
            searching={key: _number(key, options.pop(key)) for key in _SEARCHING if key in options},
            **_rest(options),
        )


def _rest(options: dict[str, str]) -> dict[str, str]:
    known = ("database", "index", "metric", "consistency")
    unknown = sorted(set(options) - set(known))
    if unknown:
        choices = ", ".join((*known, "tls", "name", *_BUILDING, *_SEARCHING))
        raise ArgumentError(f"an address of Milvus with {unknown[0]!a}: known are {choices}")
    return options


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ArgumentError(f"{key}={text!a} in an address of Milvus: give a whole number above 0")
    return int(text)
