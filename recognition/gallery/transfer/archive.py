"""The open format: its members and their limits."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
import safetensors

from data.errors import ArgumentError, GalleryError
from data.files import printable
from data.temporary import temporary_path

from ...results import Calibration, Use
from ..storage.integrity import is_sound
from ..templates import FIRST_DETECTOR, UNSAID_ALIGNMENT, EmbeddingModel

# The open format in which a gallery is handed on: a folder or a ZIP of four kinds of members.
#
#     manifest.json           what this is: format and version, model, counts, calibrations, and the
#                             length and SHA-256 of the next two
#     people.jsonl            a line of JSON for each person: name, dates, groups, and for each face
#                             the row of its embedding, the photograph's SHA-256, its quality, and
#                             name, length and SHA-256 of its crop
#     embeddings.safetensors  `templates` (N, D) and `exclusions` (M, D): float32, unit vectors
#     crops/000000001.png     the aligned faces, as they are kept (`.jpg` where they are JPEG)
#
# Names are data and stand in people.jsonl alone; no member is called after anybody.

FORMAT = "likeness-gallery"
VERSION = 3
"""A reader refuses a larger one. An export in which nobody is in a group is of version 1, one whose
faces were found and aligned as at first of version 2."""

MANIFEST, PEOPLE, EMBEDDINGS = "manifest.json", "people.jsonl", "embeddings.safetensors"

CROP = re.compile(r"crops/[0-9]{9}\.(png|jpg)")
"""What a crop's member may be called; nothing else is a member."""

MOST_MANIFEST = 1_000_000
MOST_LINE = 64_000_000
MOST_CROP = 1_000_000
"""The most bytes of the manifest, of one person's line, and of one crop that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the manifest says of a file: its length in bytes and its SHA-256."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.bytes, int) or not re.fullmatch("[0-9a-f]{64}", str(self.sha256)):
            raise ValueError("a member without length or SHA-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export says of itself.

    Attributes:
        model: Whose embeddings it holds.
        people: How many people, those who are deleted among them.
        templates: How many faces.
        exclusions: How many faces that are known not to be somebody's.
        crops: How many aligned faces.
        groups: How many memberships of people in groups.
        checksum: `records.checksum` of everything in it.
        calibrations: The gallery's own thresholds.
        members: What `people.jsonl` and `embeddings.safetensors` are.
    """

    model: EmbeddingModel
    people: int
    templates: int
    exclusions: int
    crops: int
    groups: int
    checksum: str
    calibrations: tuple[Calibration, ...]
    members: Mapping[str, Member]

    def to_json(self, exported_at: str) -> bytes:
        """The manifest as it is written."""
        model = asdict(self.model)
        del model["weights_path"]  # means something on the machine alone that it was made on
        calibrations = [asdict(one) for one in self.calibrations]
        for one in calibrations:
            del one["doubt"]
        content = {
            "format": FORMAT,
            "version": self._version,
            "exported_at": exported_at,
            "model": model,
            "counts": {name: getattr(self, name) for name in (*_COUNTS, "groups")},
            "checksum": self.checksum,
            "calibrations": calibrations,
            "members": {name: asdict(member) for name, member in self.members.items()},
        }
        return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"

    @property
    def _version(self) -> int:
        """The oldest format that says all of this, so that an older Likeness reads what it can."""
        if not self.model.is_first_of_its_weights:
            return VERSION
        return 2 if self.groups else 1

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read a manifest.

        Raises:
            GalleryError: It is none, or one of a newer format.
        """
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            if found["version"] > VERSION:
                raise GalleryError(
                    f"it was written by a newer Likeness (format {found['version']}, this one "
                    f"knows up to {VERSION}): update Likeness"
                )
            return cls(
                model=_model(found["model"]),
                **{name: _count(found["counts"][name]) for name in _COUNTS},
                groups=_count(found["counts"].get("groups", 0)),
                checksum=str(found["checksum"]),
                calibrations=tuple(_calibration(one) for one in found["calibrations"]),
                members={name: Member(**found["members"][name]) for name in (PEOPLE, EMBEDDINGS)},
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(f"{MANIFEST} is damaged, or no export's ({error!r})") from error


_COUNTS = ("people", "templates", "exclusions", "crops")


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**40:
        raise ValueError(f"{value!r} is no count")
    return value


def _model(found: Mapping[str, Any]) -> EmbeddingModel:
    model = EmbeddingModel(
        found["model_id"],
        found["weights_digest"],
        _count(found["dimension"]),
        detector=found.get("detector", FIRST_DETECTOR),
        alignment=found.get("alignment", UNSAID_ALIGNMENT),
    )
    texts = model.model_id, model.weights_digest, model.detector, model.alignment
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("the model has no name, no digest, no detector or no alignment")
    if not 1 <= model.dimension <= 65_536:
        raise ValueError(f"a dimension of {model.dimension}")
    return model


def _calibration(found: Mapping[str, Any]) -> Calibration:
    """One calibration."""
    made = Calibration(**{**found, "use": Use(found["use"]), "doubt": None})
    if not is_sound(made):
        raise ValueError("a calibration whose values cannot be")
    return made


# The files of an export, in a folder or a ZIP, read without trusting them.

_CHUNK = 1 << 20
_MOST_OF_A_PERSON, _MOST_OF_A_FACE = 50_000, 2_000  # bytes of a line of people.jsonl
_MOST_OF_ALL = 20  # times that all members may be larger than the archive
_LEFT_FREE = 100_000_000  # bytes of the disk that stay free
_MOST_SQUEEZED = 200  # times that a member may be larger than it is in the archive


class Members(ABC):
    """Reads members by name; each read is bounded."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def __str__(self) -> str:
        return printable(self._source)

    @abstractmethod
    def stream(self, name: str) -> IO[bytes]:
        """A member from its beginning.

        Raises:
            GalleryError: There is none of that name.
        """

    @abstractmethod
    def as_file(self, name: str, length: int) -> Path:
        """A member as a file on disk, of at most so many bytes."""

    def read(self, name: str, length: int) -> bytes:
        """At most so many bytes of a member, and one more if it is longer."""
        try:
            with self.stream(name) as file:
                return file.read(length + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise GalleryError(f"{self}: {name} is damaged ({error})") from error

    @abstractmethod
    def size(self, name: str) -> int:
        """How many bytes a member has, or says that it has; nothing of it is read.

        Raises:
            GalleryError: There is none of that name.
        """

    def bound(self, manifest: Manifest) -> None:
        """Make sure, before anything is unpacked, that no member is longer than it can be.

        Raises:
            GalleryError: One is.
        """
        faces = manifest.templates + manifest.exclusions
        most = {
            PEOPLE: _MOST_OF_A_PERSON * manifest.people + _MOST_OF_A_FACE * faces,
            EMBEDDINGS: 4 * manifest.model.dimension * faces + 100_000,
        }
        for name, limit in most.items():
            size = self.size(name)
            if size != manifest.members[name].bytes or size > limit:
                raise GalleryError(
                    f"{self}: {name} has {size:,} bytes, which is not what {MANIFEST} says or more "
                    f"than {manifest.people:,} people and {faces:,} faces take: nothing was taken"
                )

    def manifest(self) -> bytes:
        """The manifest."""
        content = self.read(MANIFEST, MOST_MANIFEST)
        if len(content) > MOST_MANIFEST:
            raise GalleryError(f"{self}: {MANIFEST} is longer than {MOST_MANIFEST:,} bytes")
        return content

    def verify(self, name: str, member: Member) -> None:
        """Compare a member's length and SHA-256 with what the manifest says.

        Raises:
            GalleryError: They differ.
        """
        digest, length = hashlib.sha256(), 0
        try:
            with self.stream(name) as file:
                while (chunk := file.read(_CHUNK)) and length <= member.bytes:
                    digest.update(chunk)
                    length += len(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise GalleryError(f"{self}: {name} is damaged ({error})") from error
        if (length, digest.hexdigest()) != (member.bytes, member.sha256):
            raise GalleryError(
                f"{self}: {name} is damaged, its length or SHA-256 is not what {MANIFEST} says: "
                "fetch it again"
            )

    def tensors(self, manifest: Manifest) -> Mapping[str, npt.NDArray[np.float32]]:
        """`templates` (N, D) and `exclusions` (M, D), read from disk as they are asked for.

        Raises:
            GalleryError: They are not what the manifest says.
        """
        dimension, said = manifest.model.dimension, manifest.members[EMBEDDINGS].bytes
        counts = {"templates": manifest.templates, "exclusions": manifest.exclusions}
        content = 4 * dimension * sum(counts.values())
        if not content < said <= content + 100_000:
            raise GalleryError(f"{self}: {EMBEDDINGS} is not as long as its vectors")
        path = self.as_file(EMBEDDINGS, said)
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                for name, count in counts.items():
                    part = file.get_slice(name)
                    if (part.get_dtype(), part.get_shape()) != ("F32", [count, dimension]):
                        raise ValueError(f"{name} has another shape or type")
                if set(file.keys()) != set(counts):
                    raise ValueError("it holds other tensors")
            offsets = _offsets(path)
        except Exception as error:  # SafetensorError, or whatever a header of its own makes
            raise GalleryError(
                f"{self}: {EMBEDDINGS} is damaged ({printable(str(error))}): fetch it again"
            ) from error
        return {
            name: np.memmap(path, "<f4", "r", offsets[name], (count, dimension))
            if count
            else np.empty((0, dimension), np.float32)
            for name, count in counts.items()
        }


def _offsets(path: Path) -> dict[str, int]:
    """Where each tensor of a checked file begins."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: 8 + length + header[name]["data_offsets"][0] for name in ("templates", "exclusions")
    }


class _Folder(Members):
    def size(self, name: str) -> int:
        with self.stream(name) as file:
            return os.fstat(file.fileno()).st_size

    def stream(self, name: str) -> IO[bytes]:
        path = self._source / name
        try:
            # A link might lead out of the folder, and a pipe would wait for its other end.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise GalleryError(f"{self} lacks {name}, or it cannot be read") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise GalleryError(f"{self}: {name} is no regular file")
        return os.fdopen(descriptor, "rb")

    def as_file(self, name: str, length: int) -> Path:
        self.stream(name).close()
        return self._source / name


class _Zip(Members):
    def __init__(self, source: Path, archive: zipfile.ZipFile, scratch: Path) -> None:
        super().__init__(source)
        self._archive, self._scratch = archive, scratch
        seen: set[str] = set()
        whole, packed = sum(info.file_size for info in archive.infolist()), source.stat().st_size
        if whole > _MOST_OF_ALL * packed + _CHUNK:
            raise GalleryError(
                f"{self} would grow from {packed:,} to {whole:,} bytes: nothing was taken"
            )
        for info in archive.infolist():
            name = info.filename
            if name.endswith("/") and name in ("crops/",) and not info.file_size:
                continue
            if name not in (MANIFEST, PEOPLE, EMBEDDINGS) and not CROP.fullmatch(name):
                raise GalleryError(
                    f"{self} holds a member that no export has ({printable(name)}): nothing of it "
                    "was taken"
                )
            if name in seen:
                raise GalleryError(f"{self} holds {name} twice: nothing of it was taken")
            seen.add(name)
            if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
                raise GalleryError(f"{self}: {name} is encrypted or a link: nothing was taken")
            if info.file_size > _MOST_SQUEEZED * info.compress_size + _CHUNK:
                raise GalleryError(
                    f"{self}: {name} would grow to {info.file_size:,} bytes: nothing was taken"
                )

    def size(self, name: str) -> int:
        try:
            return self._archive.getinfo(name).file_size
        except KeyError as error:
            raise GalleryError(f"{self} lacks {name}") from error

    def stream(self, name: str) -> IO[bytes]:
        try:
            return self._archive.open(name)
        except KeyError as error:
            raise GalleryError(f"{self} lacks {name}") from error
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise GalleryError(f"{self}: {name} is damaged ({error})") from error

    def as_file(self, name: str, length: int) -> Path:
        path = self._scratch / name
        left = length
        free = shutil.disk_usage(self._scratch).free
        if length > free - _LEFT_FREE:
            raise GalleryError(
                f"{self}: {name} takes {length:,} bytes to be unpacked, and {free:,} are free in "
                f"{printable(self._scratch.parent)}: make room there"
            )
        try:
            with self.stream(name) as file, path.open("wb") as copy:
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    copy.write(chunk)
                    left -= len(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise GalleryError(f"{self}: {name} is damaged ({error})") from error
        return path


@contextmanager
def opened_members(source: Path, scratch: Path | None = None) -> Iterator[Members]:
    """Open an export, a folder or a ZIP.

    Args:
        source: The export.
        scratch: Where the embeddings of a ZIP are unpacked, for they are in plain: a folder that is
            swept; None takes the system's for temporary files.

    Raises:
        ArgumentError: There is nothing there.
        GalleryError: It is neither.
    """
    shown = printable(source)
    if not source.exists():
        raise ArgumentError(f"there is no file or folder {shown}: check the path")
    if source.is_dir():
        yield _Folder(source)
        return
    if not source.is_file():
        raise GalleryError(f"{shown} is no regular file: name an export")
    place = Path(tempfile.gettempdir()) if scratch is None else scratch
    with temporary_path(place, is_folder=True) as unpacked:
        try:
            archive = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise GalleryError(f"{shown} is no ZIP of an export, or cut off ({error})") from error
        with archive:
            yield _Zip(source, archive, unpacked)
