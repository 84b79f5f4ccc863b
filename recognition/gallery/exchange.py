"""The open format in which a gallery is handed on: a folder or a ZIP of four kinds of members.

    manifest.json           what this is: format and version, model, counts, calibrations, and the
                            length and SHA-256 of the next two
    people.jsonl            a line of JSON for each person: name, dates, groups, and for each face
                            the row of its embedding, the photograph's SHA-256, its quality, and
                            name, length and SHA-256 of its crop
    embeddings.safetensors  `templates` (N, D) and `exclusions` (M, D): float32, unit vectors
    crops/000000001.png     the aligned faces, as they are kept (`.jpg` where they are JPEG)

Names are data and stand in people.jsonl alone; no member is called after anybody.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from data.errors import GalleryError

from ..results import Calibration, Use
from .sound import is_sound
from .templates import EmbeddingModel

FORMAT = "likeness-gallery"
VERSION = 2
"""A reader refuses a larger one. An export in which nobody is in a group is of version 1."""

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
            "version": VERSION if self.groups else 1,
            "exported_at": exported_at,
            "model": model,
            "counts": {name: getattr(self, name) for name in (*_COUNTS, "groups")},
            "checksum": self.checksum,
            "calibrations": calibrations,
            "members": {name: asdict(member) for name, member in self.members.items()},
        }
        return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"

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
    model = EmbeddingModel(found["model_id"], found["weights_digest"], _count(found["dimension"]))
    if not (isinstance(model.model_id, str) and isinstance(model.weights_digest, str)):
        raise ValueError("the model has no name or no digest")
    if not 1 <= model.dimension <= 65_536:
        raise ValueError(f"a dimension of {model.dimension}")
    return model


def _calibration(found: Mapping[str, Any]) -> Calibration:
    """One calibration."""
    made = Calibration(**{**found, "use": Use(found["use"]), "doubt": None})
    if not is_sound(made):
        raise ValueError("a calibration whose values cannot be")
    return made
