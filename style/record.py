"""What a picture says of how it was painted, and how to find again what it was painted from."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from data.distribution import VERSION
from data.errors import AppError, StyleError
from data.files import printable, sha256_of
from data.formats import IMAGE_SUFFIXES, Depth

from .config import Region, RegionManner, StyleConfig

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOO_NEW = "it was painted by a newer version, with settings unknown here ({}): update likeness"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that a picture was painted from, as the picture remembers it.

    Attributes:
        name: The file's name without its folder, which is nobody's business.
        sha256: The digest of its content, 64 hexadecimal digits.
        size: Its length in bytes.
    """

    name: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Look at a file.

        Raises:
            OSError: It cannot be read.
        """
        return cls(name=path.name, sha256=sha256_of(path), size=path.stat().st_size)

    def is_at(self, path: Path) -> bool:
        """Whether this is the file."""
        try:
            same_size = path.is_file() and path.stat().st_size == self.size
            return same_size and sha256_of(path) == self.sha256
        except (OSError, ValueError):
            return False

    def find(self, folders: Iterable[Path]) -> Path | None:
        """The file in one of these folders, not below them: by its name, or else by its content."""
        places = list(dict.fromkeys(folders))
        named = (folder / self.name for folder in places)
        pictures = (path for folder in places for path in _pictures_in(folder))
        return next((path for path in chain(named, pictures) if self.is_at(path)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a picture was painted.

    Attributes:
        config: The settings.
        content: The photograph; None where the picture does not tell, as those of version 0.1.
        styles: The style pictures, likewise.
        regions: What was painted in another way.
        weights: Digest of the network's weights, or None.
        depth: Bits of a channel of the file, or None.
        draft: Whether it was painted at once, as a draft.
        steps_done: How far the painting came where it was interrupted; None where it is whole.
        grid: For a contact sheet, the values of one or two settings: the first one's grow from
            left to right, the second one's from top to bottom.
    """

    config: StyleConfig
    content: SourceFile | None = None
    styles: tuple[SourceFile, ...] = ()
    regions: tuple[Region[SourceFile], ...] = ()
    weights: str | None = None
    depth: Depth | None = None
    draft: bool = False
    steps_done: int | None = None
    grid: Mapping[str, tuple[Any, ...]] | None = None

    def settings(self) -> dict[str, object]:
        """The record as plain JSON, to be written into the picture; what is None is left out."""
        told = {
            "version": VERSION,
            "content": dataclasses.asdict(self.content) if self.content else None,
            "styles": [dataclasses.asdict(style) for style in self.styles] or None,
            "regions": [_plain_region(region) for region in self.regions] or None,
            "weights": self.weights,
            "depth": int(self.depth) if self.depth else None,
            "draft": self.draft or None,
            "steps_done": self.steps_done,
            "grid": [{"setting": name, "values": list(v)} for name, v in self.grid.items()]
            if self.grid
            else None,
        }
        return self.config.settings() | {k: v for k, v in told.items() if v is not None}

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "Record":
        """The record that a picture carries.

        Args:
            settings: As `data.images.read_settings` returns them; anyone may have written them.

        Raises:
            StyleError: They are of a newer version, or make no sense; the second half of a
                sentence.
        """
        fields = {field.name for field in dataclasses.fields(StyleConfig)}
        own = {field.name for field in dataclasses.fields(cls)} - {"config"} | {"version"}
        if unknown := sorted(settings.keys() - fields - own):
            raise StyleError(_TOO_NEW.format(printable(", ".join(unknown))))
        try:
            return cls(
                config=StyleConfig(**{k: v for k, v in settings.items() if k in fields}),
                content=_source(settings["content"]) if "content" in settings else None,
                styles=tuple(_source(style) for style in settings.get("styles", ())),
                regions=tuple(_region(region) for region in settings.get("regions", ())),
                weights=settings.get("weights"),
                depth=Depth(str(settings["depth"])) if "depth" in settings else None,
                draft=bool(settings.get("draft", False)),
                steps_done=settings.get("steps_done"),
                grid={axis["setting"]: tuple(axis["values"]) for axis in settings["grid"]}
                if "grid" in settings
                else None,
            )
        except (AppError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise StyleError(f"its settings make no sense ({printable(str(error))})") from error


def _pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder; none where it may not be looked into."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError:
        return []


def _plain_region(region: Region[SourceFile]) -> dict[str, object]:
    """A region as JSON."""
    style = region.style
    told = {
        "mask": dataclasses.asdict(region.mask),
        "style": style.value if isinstance(style, RegionManner) else dataclasses.asdict(style),
        "strength": region.strength,
    }
    return {name: value for name, value in told.items() if value is not None}


def _region(told: Mapping[str, Any]) -> Region[SourceFile]:
    """A region of JSON."""
    style = told["style"]
    return Region(
        mask=_source(told["mask"]),
        style=RegionManner(style) if isinstance(style, str) else _source(style),
        strength=told.get("strength"),
    )


def _source(told: Mapping[str, Any]) -> SourceFile:
    """A source of JSON; its name may be any file's, but no path."""
    source = SourceFile(name=told["name"], sha256=told["sha256"], size=told["size"])
    if Path(source.name).name != source.name or not _DIGEST.fullmatch(source.sha256):
        raise ValueError(f"{source.name!r} is no file")
    return source
