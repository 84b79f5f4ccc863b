"""A half-painted picture on disk: whatever ends the program, little is lost.

One safetensors file holds the painter's tensors and, in its header, the rest as JSON; replacing it
is one step, so there is the old state or the new one. The only random numbers are those of the
first iterate, which is in the file: no generator has a state to keep.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import ArgumentError, WeightsError
from data.files import printable
from data.tensors import read_tensors, stream_tensors

EVERY = 30.0
"""Seconds between two states."""

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintingPosition:
    """Where a painting stands after a step.

    Attributes:
        scale: Number of the scale, from 0.
        taken: Steps done in it.
        done: Steps done in all.
        elapsed: Seconds that they took.
        tiles: By scale, the longest side of the tiles, px; None in one piece. How a picture is cut
            up tells in the last digits, so it is gone on with in the same way.
    """

    scale: int
    taken: int
    done: int
    elapsed: float
    tiles: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """What was on disk.

    Attributes:
        position: Where it stands.
        state: Of its painter, by name, on the CPU.
    """

    position: PaintingPosition
    state: Mapping[str, Tensor]


class Unfinished:
    """The file of one picture."""

    def __init__(self, path: Path, *, every: float = EVERY, fresh: bool = False) -> None:
        """Remember where it is; nothing is read yet.

        Args:
            path: The file; its folder must exist.
            every: Seconds between two states; 0 writes one after each step.
            fresh: Whether a half-painted picture that is there is forgotten.
        """
        self._path = path
        self._every = every
        self._fresh = fresh
        self._identity: dict[str, Any] = {}
        self._written, self._took = time.monotonic(), 0.0

    def begin(self, settings: Mapping[str, object], inputs: Mapping[str, str]) -> Saved | None:
        """What is there of the picture of these settings and inputs; None: nothing yet.

        Args:
            settings: Everything that decides about the picture, as plain JSON.
            inputs: What it is made from, by name → digest.

        Raises:
            ArgumentError: The file holds another picture, or something else.
        """
        # Through JSON, so that what is compared later has had the same way.
        self._identity = json.loads(json.dumps({"settings": settings, "inputs": inputs}))
        self._written = time.monotonic()
        if self._fresh or not self._path.exists():
            return None
        shown = printable(self._path)
        try:
            file = read_tensors(self._path)
            document = json.loads(file.metadata["painting"])
            if document["format"] != _FORMAT:
                raise ValueError(document["format"])
            place = document["position"]
            position = PaintingPosition(**place | {"tiles": tuple(place["tiles"])})
            identity = document["identity"]
        except (WeightsError, LookupError, TypeError, ValueError) as error:
            raise ArgumentError(
                f"{shown} is there already, and is no half-painted picture that can be gone on "
                "with: remove it, or begin anew with --fresh"
            ) from error
        if differences := list(_differences(identity, self._identity)):
            raise ArgumentError(
                f"{shown} holds a half-painted picture with {', '.join(differences)}: repeat its "
                "settings and pictures to go on with it, or begin anew with --fresh"
            )
        # In memory of their own, laid out as always: sums over what lies elsewhere round otherwise.
        return Saved(position, {name: tensor.clone() for name, tensor in file.tensors.items()})

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def is_due(self) -> bool:
        """Whether it is time for a new state; writing takes a twentieth of the time at most."""
        pause = max(self._every, 20 * self._took) if self._every > 0 else 0.0
        return time.monotonic() - self._written >= pause

    def keep(self, position: PaintingPosition, state: Mapping[str, Tensor]) -> None:
        """Write a state; a kill at any moment leaves the one before or this one.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        document = {
            "format": _FORMAT,
            "position": asdict(position),
            "identity": self._identity,
        }
        began = time.monotonic()
        stream_tensors(self._path, state, {"painting": json.dumps(document, sort_keys=True)})
        self._written = time.monotonic()
        self._took = self._written - began

    def remove(self) -> None:
        """The picture is finished, and safe elsewhere."""
        self._path.unlink(missing_ok=True)


def digest_of(tensors: Iterable[Tensor]) -> str:
    """A digest of the shapes and values of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _differences(
    was: Mapping[str, Mapping[str, object]], asked: Mapping[str, Mapping[str, object]]
) -> Iterable[str]:
    """What is not as it was, in words."""
    for name in dict.fromkeys((*asked["settings"], *was["settings"])):
        old, new = was["settings"].get(name), asked["settings"].get(name)
        if old != new:
            yield f"{name} {json.dumps(old)}, not {json.dumps(new)}"
    for name in dict.fromkeys((*asked["inputs"], *was["inputs"])):
        if was["inputs"].get(name) != asked["inputs"].get(name):
            yield f"another {name}"
