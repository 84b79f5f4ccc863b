"""Files of weights, whole and broken; a pickle that is run leaves a file behind."""

import json
import os
import pickle
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from backbones.places import find_weights
from recognition.models import DEFAULT_MODEL

from .item import SEED, Item

PAYLOAD = "likeness-payload-ran"
"""The file, in the working folder, that a pickle makes that is unpickled."""

Tensors = dict[str, npt.NDArray[Any]]
Metadata = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Item):
    """A file of weights, called like the item."""


class _Payload:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {PAYLOAD}",)


@cache
def bundled(name: str = DEFAULT_MODEL) -> Path:
    """The weights that come with the application."""
    with tempfile.TemporaryDirectory() as home:
        found = find_weights(name, home=Path(home))
    if found is None:
        raise FileNotFoundError(f"no weights of {name} come with this application")
    return found.path


def _parts() -> tuple[Tensors, Metadata]:
    with safe_open(bundled(), framework="numpy") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())  # noqa: SIM118


def _changed(change: Callable[[Tensors, Metadata], None]) -> Callable[[Path], None]:
    """Write the bundled weights with a change."""

    def write(path: Path) -> None:
        tensors, metadata = _parts()
        change(tensors, metadata)
        save_file(tensors, path, metadata=metadata)
        _in_order(path)

    return write


def _in_order(path: Path) -> None:
    """Sort a safetensors header, which the library writes in another order every time."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def _middle(tensors: Tensors) -> str:
    """A matrix or a kernel in the middle of the network."""
    names = sorted(name for name, tensor in tensors.items() if tensor.ndim > 1)
    return names[len(names) // 2]


def _nan(tensors: Tensors, _: Metadata) -> None:
    tensor = tensors[_middle(tensors)].copy()
    tensor.flat[0] = np.nan
    tensors[_middle(tensors)] = tensor


def _transposed(tensors: Tensors, _: Metadata) -> None:
    name = max((n for n, t in tensors.items() if t.ndim > 1), key=lambda n: tensors[n].shape[0])
    tensors[name] = np.ascontiguousarray(np.swapaxes(tensors[name], 0, 1))


def _architecture(name: str) -> Callable[[Tensors, Metadata], None]:
    return lambda tensors, metadata: metadata.update(architecture=name)


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.weight": _Payload()}, protocol=2))


def _cut(path: Path) -> None:
    content = bundled().read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _no_metadata(path: Path) -> None:
    save_file(_parts()[0], path)
    _in_order(path)


_HUGE = (10**8).to_bytes(8, "little") + b"{" * 1000
_HTML = b"<!DOCTYPE html><html><body>404</body></html>"

FILES: dict[str, tuple[bool, str, Callable[[Path], object]]] = {
    "whole.safetensors": (True, "nothing odd", lambda path: shutil.copyfile(bundled(), path)),
    "pickle.pt": (False, "a pickle with a payload", _pickle),
    "pickle.safetensors": (False, "a pickle with a payload, renamed", _pickle),
    "cut.safetensors": (False, "half of it", _cut),
    "empty.safetensors": (False, "0 bytes", Path.touch),
    "page.safetensors": (False, "HTML", lambda path: path.write_bytes(_HTML)),
    "huge-header.safetensors": (
        False, "a header said to have 100 MB", lambda path: path.write_bytes(_HUGE)
    ),
    "other-architecture.safetensors": (
        False, "another architecture's name", _changed(_architecture("iresnet_se"))
    ),
    "unknown-architecture.safetensors": (
        False, "no architecture's name", _changed(_architecture("../../x\n"))
    ),
    "for-pictures.safetensors": (
        False, "a network for pictures", lambda path: shutil.copyfile(bundled("vgg_slim"), path)
    ),
    "missing-key.safetensors": (False, "a key less", _changed(lambda t, _: t.pop(_middle(t)))),
    "extra-key.safetensors": (
        False, "a key more", _changed(lambda t, _: t.update({"x\n": np.zeros(2, np.float32)}))
    ),
    "nan.safetensors": (False, "NaN in a kernel", _changed(_nan)),
    "transposed.safetensors": (False, "a transposed shape", _changed(_transposed)),
    "folder.safetensors": (False, "a folder", Path.mkdir),
}  # fmt: skip


def checkpoints(seed: int = SEED) -> Iterator[Checkpoint]:
    """Yield every item of this section."""
    for name, (accept, why, make) in FILES.items():

        def write(folder: Path, name: str = name, make: Callable[[Path], object] = make) -> None:
            make(folder / name)

        yield Checkpoint(
            section="checkpoints", name=name, accept=accept, why=f"weights: {why}", write=write
        )
