"""Where a gallery is kept: in a folder, or on a server. Only the address differs."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import ArgumentError, GalleryError
from data.files import printable

from .gallery import ASIDE, DATABASE, Gallery
from .search.milvus import SCHEME, MilvusAddress
from .storage.encryption import FindSecret, IsGiven
from .storage.postgres_address import SCHEMES, PostgresAddress
from .storage.store import COMING, FORMER
from .templates import EmbeddingModel


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine, where a gallery is or may be made; as text, its address.

    Attributes:
        path: The folder.
        find_secret: Asked for what opens the gallery, if it is encrypted.
        is_given: See `Gallery.open`.
        index: Where in Milvus its vectors are searched; None: this machine has an index.
    """

    path: Path
    find_secret: FindSecret = field(default=lambda _: None, compare=False, repr=False)
    is_given: IsGiven = field(default=lambda: False, compare=False, repr=False)
    index: MilvusAddress | None = field(default=None, compare=False)

    @property
    def server(self) -> PostgresAddress | None:
        """Its address on a server, which it has not; see `Server.server`."""
        return None

    def __str__(self) -> str:
        return printable(self.path)

    @property
    def has_database(self) -> bool:
        """Whether a gallery's database is there, whatever is in it."""
        return (self.path / DATABASE).exists()

    @property
    def exists(self) -> bool:
        """Whether there is a gallery.

        Raises:
            ArgumentError: It is a folder of something else.
            GalleryError: The remains of one are there.
        """
        if Gallery.exists(self.path):
            return True
        if other := _something_else(self.path):
            raise ArgumentError(
                f"no gallery is in {printable(self.path)}, which holds other files, such as "
                f"{printable(other)}: name a gallery's folder, or a new one for a new gallery"
            )
        return False

    def open(self, *, model: EmbeddingModel | None = None, create: bool = False) -> Gallery:
        """Open the gallery; see `Gallery.open`. Refused as by `exists`."""
        _ = self.exists
        return Gallery.open(
            self.path,
            model=model,
            create=create,
            find_secret=self.find_secret,
            is_given=self.is_given,
            index=self.index,
        )


@dataclass(frozen=True, slots=True)
class Server:
    """A gallery on a PostgreSQL server, where it is or may be made; its text has no secret.

    Attributes:
        address: Its address.
        folder: Where this machine keeps its index of it.
        find_secret: Asked for what opens the gallery, if it is encrypted.
        is_given: See `Gallery.open`.
        index: As a folder's.
    """

    address: PostgresAddress
    folder: Path
    find_secret: FindSecret = field(default=lambda _: None, compare=False, repr=False)
    is_given: IsGiven = field(default=lambda: False, compare=False, repr=False)
    index: MilvusAddress | None = field(default=None, compare=False)

    @property
    def path(self) -> Path:
        """What this machine keeps of it."""
        return self.folder

    @property
    def server(self) -> PostgresAddress:
        """Its address."""
        return self.address

    def __str__(self) -> str:
        return str(self.address)

    @property
    def exists(self) -> bool:
        """Whether there is a gallery.

        Raises:
            GalleryError: The server does not answer.
        """
        return Gallery.exists(self.folder, self.address)

    def open(self, *, model: EmbeddingModel | None = None, create: bool = False) -> Gallery:
        """Open the gallery; see `Gallery.open`."""
        return Gallery.open(
            self.folder,
            model=model,
            create=create,
            find_secret=self.find_secret,
            is_given=self.is_given,
            server=self.address,
            index=self.index,
        )


Place = Folder | Server
"""Where a gallery is, or may be made."""


def place_of(
    named: str | None,
    home: Path,
    find_secret: FindSecret = lambda _: None,
    is_given: IsGiven = lambda: False,
    index: MilvusAddress | None = None,
) -> Place:
    """The place that a user means.

    Args:
        named: A folder, or an address `postgresql://…`; None takes LIKENESS_GALLERY, or else the
            data folder's own.
        home: The data folder.
        find_secret: Asked for what opens the gallery, if it is encrypted.
        is_given: See `Gallery.open`.
        index: Where in Milvus its vectors are searched; None: this machine has an index.

    Raises:
        ArgumentError: It is no place.
    """
    if named is None:
        named = os.environ.get("LIKENESS_GALLERY")
    if named == "":
        raise ArgumentError("the gallery that is named is empty: name a folder or an address")
    if named is None:
        return Folder(home / "gallery", find_secret, is_given, index)
    if named.startswith(SCHEMES):
        address = PostgresAddress.parse(named)
        return Server(address, _index_folder(home, address), find_secret, is_given, index)
    if named.startswith(SCHEME):
        former = MilvusAddress.parse(named)
        raise ArgumentError(
            f"people are kept in {former} no more: `likeness gallery copy {former} "
            f"{SCHEMES[0]}HOST/DATABASE`, or to a folder, brings them over; and --index {SCHEME}… "
            "keeps a gallery's vectors in Milvus"
        )
    if "://" in named:
        raise ArgumentError(
            f"the gallery {printable(_without_secret(named))} is neither a folder nor an address "
            f"{SCHEMES[0]}HOST/DATABASE"
        )
    folder = Path(named).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"the gallery {printable(folder)} is a file: name its folder")
    return Folder(folder, find_secret, is_given, index)


def index_of(named: str | None) -> MilvusAddress | None:
    """The index in Milvus that a user means.

    Args:
        named: Its address; None takes LIKENESS_INDEX.

    Returns:
        None where this machine is to have an index of its own.

    Raises:
        ArgumentError: It is no such address.
    """
    if named is None:
        named = os.environ.get("LIKENESS_INDEX")
    if named is None:
        return None
    if not named.startswith(SCHEME):
        raise ArgumentError(
            f"the index {printable(_without_secret(named))!r} is no address {SCHEME}HOST/NAME: "
            "leave --index and LIKENESS_INDEX out for an index of this machine's own"
        )
    return MilvusAddress.parse(named)


def _without_secret(named: str) -> str:
    """An address without what may be a password."""
    scheme, _, rest = named.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _index_folder(home: Path, address: PostgresAddress) -> Path:
    """Where this machine keeps its index of a gallery on a server."""
    digest = hashlib.sha256(str(address).encode()).hexdigest()
    name = re.sub(r"[^\w.-]", "-", address.database)
    return home / "indexes" / f"{name}-{digest[:12]}"


def _something_else(folder: Path) -> str | None:
    """The name of a file or folder that no gallery has; None where there is none."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return None
    own = (DATABASE, FORMER, COMING, "index", ASIDE, "erased.json", ".")
    return next((name for name in names if not name.startswith(own)), None)


def folder_of(
    place: Place,
    what: str,
    instead: str = "export it, or copy it to a folder with `likeness gallery copy`",
) -> Folder:
    """The place of a gallery on this machine.

    Args:
        place: The gallery's.
        what: What is done to those in a folder alone.
        instead: What to do with one that is elsewhere.

    Raises:
        GalleryError: It is a server's.
    """
    if isinstance(place, Folder):
        return place
    raise GalleryError(f"{what} is for galleries in a folder, and this is {place}: {instead}")
