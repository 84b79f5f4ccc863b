"""Made-up people whose templates follow from their names, and what a gallery says of them."""

import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
from postgres_server import binaries

from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.templates import EmbeddingModel, Template

MODEL = EmbeddingModel("net", "ab" * 32, 64)
CROP_BYTES = 5000

State = dict[str, int]
"""Who is enrolled, and from how many photographs."""


SERVER = "TORTURE_SERVER"
"""The environment's variable for the address of a PostgreSQL server: galleries are kept there, and
in their folders no more than a machine's own index. Processes that are started have it as well."""


def server_of(folder: Path) -> PostgresAddress | None:
    """Where on a server the gallery of a folder is kept; None: in the folder."""
    named = os.environ.get(SERVER)
    if not named:
        return None
    schema = f"g{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    return PostgresAddress.parse(f"{named}&schema={schema}")


def dump_of(folder: Path) -> bytes:
    """What a server gives of the gallery of a folder to whoever may dump it; without one nothing.

    Bytes are in it as hexadecimal digits.
    """
    found, address = binaries(), server_of(folder)
    if found is None or address is None:
        return b""
    command = [str(found[0] / "pg_dump"), "-h", address.host, "-U", address.user]
    command += ["-n", address.schema, address.database]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def templates_of(name: str, crop_bytes: int = CROP_BYTES) -> list[Template]:
    """Two to four photographs that follow from the name."""
    rng = np.random.default_rng(list(name.encode()))
    photographs = []
    for _ in range(rng.integers(2, 5)):
        vector = rng.normal(size=MODEL.dimension)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        crop = np.random.default_rng(rng.integers(2**32)).bytes(crop_bytes)
        photographs.append(Template(unit, rng.bytes(32).hex(), crop=crop))
    return photographs


def photographs(name: str) -> int:
    """How many photographs a person has."""
    return len(templates_of(name, crop_bytes=0))


def query_of(name: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """One more look at a person, (1, D): their last photograph."""
    return templates_of(name)[-1].embedding[np.newaxis]


def open_gallery(folder: Path) -> Gallery:
    """The gallery of a folder, made if there is none."""
    return Gallery.open(folder, model=MODEL, create=True, server=server_of(folder))


def reopen_gallery(folder: Path) -> Gallery:
    """The gallery of a folder, which must be there."""
    return Gallery.open(folder, server=server_of(folder))


def state_of(gallery: Gallery) -> State:
    """Everybody enrolled."""
    return {person.name: person.photographs for person in gallery.people()}


def state_in(folder: Path) -> State:
    """Everybody enrolled in a folder, where nobody may ever have been."""
    if not Gallery.exists(folder, server_of(folder)):
        return {}
    with reopen_gallery(folder) as gallery:
        return state_of(gallery)
