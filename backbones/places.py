"""Where weights lie on this machine, and which file is taken.

They are looked for in this order: the path given; the folder that `LIKENESS_WEIGHTS` names; what
has been downloaded; what came with the application; for dlib's
network, the package that carries it.
"""

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import data.assets
from data.errors import AppError, ArgumentError, WeightsError
from data.files import data_home, printable, sha256_of
from data.tensors import read_metadata

from .dlib_file import ARCHITECTURE, SUFFIX, describe_file, installed_file
from .metadata import parse_metadata
from .registry import spec_of

_SUFFIX = ".safetensors"
_ASSETS = Path(str(data.assets.__file__)).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A file of weights on this machine.

    Attributes:
        path: Where it is.
        sha256: Its digest, 64 hexadecimal digits.
        metadata: The text fields of its header.
        architecture: The network that it belongs to.
    """

    path: Path
    sha256: str
    metadata: Mapping[str, str]
    architecture: str


def find_weights(
    name: str, *, explicit: Path | None = None, home: Path | None = None
) -> WeightsFile | None:
    """Look for a network's weights on this machine.

    Args:
        name: One of `registry.available()`.
        explicit: A file that is taken and no other, or None.
        home: The application's data folder; None takes the user's.

    Returns:
        The first file found; None where there is none.

    Raises:
        ArgumentError: `explicit` does not exist, `LIKENESS_WEIGHTS` is no folder, or there is no
            network of that name.
        WeightsError: `explicit` or the folder's file is no weights file, or says that it belongs
            to another network.
    """
    spec_of(name)
    if explicit is not None:
        return weights_file(explicit, name)
    for path in _candidates(name, home):
        return weights_file(path, name)
    return None


def every_weights(name: str, home: Path | None = None) -> list[WeightsFile]:
    """All of a network's weights on this machine, the preferred ones first.

    A gallery may have been made with others than those that are preferred by now.

    Args:
        name: One of `registry.available()`.
        home: The application's data folder; None takes the user's.

    Returns:
        The files; those that cannot be used are left out.

    Raises:
        ArgumentError: `LIKENESS_WEIGHTS` is no folder, or there is no network of that name.
    """
    spec_of(name)
    found = []
    for path in _candidates(name, home):
        try:
            found.append(weights_file(path, name))
        except AppError:
            continue  # whoever asks for the very file by name is told what is wrong with it
    return found


def weights_file(path: Path, name: str | None) -> WeightsFile:
    """Look at a file of weights; its tensors are not read.

    Args:
        path: The file.
        name: The network that it must belong to; None takes the one that it names.

    Returns:
        The file and what its header says.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is no weights file, it says that it belongs to another network, or it does
            not say to which and no name is given.
    """
    if path.suffix == SUFFIX:
        digest, metadata = describe_file(path)
    else:
        digest, metadata = None, read_metadata(path)
    try:
        says = parse_metadata(metadata).architecture
        architecture = spec_of(says).name if says else name
    except AppError as error:
        raise WeightsError(f"{printable(path)}: {error}") from error
    if architecture is None:
        raise WeightsError(
            f"{printable(path)} does not say which network it is for; name it with --model"
        )
    if name is not None and architecture != name:
        raise WeightsError(
            f"{printable(path)} holds weights of {architecture}, expected {name}; name another file"
        )
    return WeightsFile(
        path=path,
        sha256=digest or sha256_of(path),
        metadata=metadata,
        architecture=architecture,
    )


def is_bundled(path: Path) -> bool:
    """Whether a file of weights came with the application."""
    return path.parent.resolve() == _ASSETS.resolve()


def bundled_weights(name: str) -> Path | None:
    """The file of a network's weights that came with the application; None where there is none.

    Args:
        name: The network's name.
    """
    path = _ASSETS / f"{name}{_SUFFIX}"
    return path if path.is_file() else None


def cached_weights(name: str, home: Path | None = None) -> Path:
    """Where a network's downloaded weights are kept, whether or not they are there.

    Args:
        name: The network's name.
        home: The application's data folder; None takes the user's.

    Returns:
        `<home>/weights/<name>.safetensors`.
    """
    return data_home(home) / "weights" / f"{name}{_SUFFIX}"


def bundled_or_own(name: str, home: Path | None = None) -> Path | None:
    """Look for weights that belong to no registered network, by their file's name.

    Args:
        name: Of the file, without its suffix.
        home: The application's data folder; None takes the user's.

    Returns:
        The first file of that name, in the order above; None where there is none.

    Raises:
        ArgumentError: `LIKENESS_WEIGHTS` is no folder.
    """
    return next(iter(_candidates(name, home)), None)


def _candidates(name: str, home: Path | None) -> Iterator[Path]:
    """Files that may hold a network's weights, the preferred one first."""
    if folder := os.environ.get("LIKENESS_WEIGHTS"):
        if not Path(folder).is_dir():
            raise ArgumentError(f"LIKENESS_WEIGHTS names {printable(folder)}, which is no folder")
        yield from _in_folder(Path(folder), name)
    if (cached := cached_weights(name, home)).is_file():
        yield cached
    yield from _in_folder(_ASSETS, name)
    if name == ARCHITECTURE and (installed := installed_file()) is not None:
        yield installed


def _in_folder(folder: Path, name: str) -> Iterator[Path]:
    """The file that bears the network's name, then those whose header says that they are of it."""
    named = folder / f"{name}{_SUFFIX}"
    if named.is_file():
        yield named
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            at = path.stat()
            if path != named and _architecture_in(path, at.st_size, at.st_mtime_ns) == name:
                yield path
        except (AppError, OSError):
            continue  # a stranger's file beside ours is no reason to stop


@functools.lru_cache(maxsize=256)
def _architecture_in(path: Path, size: int, changed: int) -> str | None:
    """What a file says that it is for; read once as long as it stays what it is.

    A list of all networks asks every file about each of them.
    """
    return parse_metadata(read_metadata(path)).architecture
