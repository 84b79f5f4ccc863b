"""Writing a gallery to the open format of `archive`."""

import hashlib
import json
import os
import shutil
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from data.errors import ArgumentError, WriteError
from data.files import atomic_output, printable
from data.progress import Progress
from data.temporary import temporary_path

from ...results import Use
from ..gallery import Gallery
from ..storage.records import PersonRecord, checksum, fingerprints
from ..templates import Template
from .archive import EMBEDDINGS, MANIFEST, PEOPLE, Manifest, Member

_HEADER = 512  # bytes of the safetensors header, filled up with blanks


class _Target(ABC):
    """A folder or a ZIP that is being written."""

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Write one member."""

    @abstractmethod
    def take(self, name: str, path: Path) -> None:
        """Take a file as a member."""


class _Folder(_Target):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "crops").mkdir(mode=0o700)

    def put(self, name: str, content: bytes) -> None:
        descriptor = os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def take(self, name: str, path: Path) -> None:
        path.chmod(0o600)  # whatever this process gives new files
        shutil.move(path, self._folder / name)


class _Zip(_Target):
    """Nothing is compressed: embeddings and pictures hardly can be."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def put(self, name: str, content: bytes) -> None:
        self._archive.writestr(name, content)

    def take(self, name: str, path: Path) -> None:
        self._archive.write(path, name)


class _Tensors:
    """`embeddings.safetensors` as it grows, so that memory does not grow with it."""

    def __init__(self, file: IO[bytes], dimension: int) -> None:
        self._file, self._dimension = file, dimension
        self.templates, self._exclusions = 0, list[bytes]()
        file.write(bytes(8 + _HEADER))

    @property
    def exclusions(self) -> int:
        """How many there are so far."""
        return len(self._exclusions)

    def add(self, template: Template, *, excluded: bool = False) -> int:
        """Add an embedding; its row."""
        content = template.embedding.astype("<f4").tobytes()
        if excluded:
            self._exclusions.append(content)
            return len(self._exclusions) - 1
        self._file.write(content)
        self.templates += 1
        return self.templates - 1

    def finish(self) -> None:
        """Write what comes last, and the header."""
        self._file.write(b"".join(self._exclusions))
        row = 4 * self._dimension
        middle, end = row * self.templates, row * (self.templates + len(self._exclusions))
        header = {
            "templates": {"dtype": "F32", "shape": [self.templates, self._dimension],
                          "data_offsets": [0, middle]},
            "exclusions": {"dtype": "F32", "shape": [len(self._exclusions), self._dimension],
                           "data_offsets": [middle, end]},
        }  # fmt: skip
        self._file.seek(0)
        self._file.write(struct.pack("<Q", _HEADER) + json.dumps(header).encode().ljust(_HEADER))


def export(
    gallery: Gallery,
    target: Path,
    progress: Progress = lambda done, total: None,
    notes: Path | None = None,
) -> Manifest:
    """Write everything that a gallery keeps, whole or not at all; in plain, whoever reads it.

    Args:
        gallery: The gallery, which others may use meanwhile.
        target: A folder or, where it ends in `.zip`, a file; neither may be there.
        progress: Called with how many people are written, and how many are enrolled.
        notes: See `temporary_path`.

    Raises:
        ArgumentError: Something is there already, or it cannot be there.
        GalleryError: A template is damaged.
        WriteError: The disk is full, or the folder gone.
    """
    if target.exists() or target.is_symlink():
        raise ArgumentError(f"{printable(target)} is there already: name another place")
    if not target.parent.is_dir():
        raise ArgumentError(f"the folder {printable(target.parent)} does not exist: make it first")
    try:
        with (
            _opened(target, notes) as into,
            temporary_path(target.parent, is_folder=True, notes=notes) as scratch,
        ):
            return _write(gallery, into, scratch, progress)
    except OSError as error:
        raise WriteError(f"cannot write {printable(target)}: {error.strerror or error}") from error


@contextmanager
def _opened(target: Path, notes: Path | None) -> Iterator[_Target]:
    """Write beside the target, and put it in its place when all of it is there."""
    if target.suffix.lower() == ".zip":
        with (
            atomic_output(target, notes=notes) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            yield _Zip(archive)
        return
    with temporary_path(target.parent, is_folder=True, notes=notes) as hidden:
        yield _Folder(hidden)
        hidden.rename(target)


def _write(gallery: Gallery, into: _Target, scratch: Path, progress: Progress) -> Manifest:
    model, (enrolled, _) = gallery.model, gallery.size
    digests: list[bytes] = []
    people = crops = groups = 0
    lines, tensors = scratch / "people", scratch / "embeddings"
    for path in (lines, tensors):
        path.touch(mode=0o600)
    with lines.open("wb") as text, tensors.open("wb") as binary, gallery.records() as records:
        embeddings = _Tensors(binary, model.dimension)
        for people, record in enumerate(records, 1):
            entry, crops = _entry(record, embeddings, into, crops)
            text.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            groups += len(record.groups)
            digests += fingerprints(record)
            progress(people, max(people, enrolled))
        embeddings.finish()
    manifest = Manifest(
        model=model,
        people=people,
        templates=embeddings.templates,
        exclusions=embeddings.exclusions,
        crops=crops,
        groups=groups,
        checksum=checksum(digests),
        calibrations=tuple(one for one in map(gallery.calibration, Use) if one is not None),
        members={PEOPLE: _member(lines), EMBEDDINGS: _member(tensors)},
    )
    into.take(PEOPLE, lines)
    into.take(EMBEDDINGS, tensors)
    into.put(MANIFEST, manifest.to_json(datetime.now(UTC).isoformat(timespec="seconds")))
    return manifest


def _entry(
    record: PersonRecord, embeddings: _Tensors, into: _Target, crops: int
) -> tuple[dict[str, object], int]:
    """A person's line, and how many crops there are by now."""
    templates = []
    for template in record.templates:
        crop = None
        if template.crop is not None:
            crops += 1
            ending = "jpg" if template.crop.startswith(b"\xff\xd8") else "png"
            name = f"crops/{crops:09}.{ending}"
            into.put(name, template.crop)
            crop = {
                "file": name,
                "bytes": len(template.crop),
                "sha256": hashlib.sha256(template.crop).hexdigest(),
            }
        templates.append(
            {
                "row": embeddings.add(template),
                "photograph_sha256": template.photograph_sha256,
                "quality": None if template.quality is None else asdict(template.quality),
                "crop": crop,
            }
        )
    exclusions = [
        {
            "row": embeddings.add(face, excluded=True),
            "photograph_sha256": face.photograph_sha256,
        }
        for face in record.exclusions
    ]
    entry: dict[str, object] = {
        "name": record.name,
        "enrolled_at": record.enrolled_at,
        "deleted_at": record.deleted_at,
        "consent": record.consent,
        "consented_at": record.consented_at,
        "expires_on": record.expires_on,
        "groups": list(record.groups),
        "templates": templates,
        "exclusions": exclusions,
    }
    return entry, crops


def _member(path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(bytes=path.stat().st_size, sha256=digest)
