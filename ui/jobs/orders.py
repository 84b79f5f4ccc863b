"""What a job is asked to do: typed, checked, and turned into a command line only here.

A job's record holds its order as JSON. Whoever goes on with a job reads that again, so nothing that
a file holds becomes a word of a command before it has been found to be one that the page could have
chosen: a network's name, a preset, the name of a picture in the job's own folder, a number.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data.errors import AppError, ArgumentError
from style.config import Region, RegionManner, StyleConfig
from ui.settings import Settings

STYLIZE, DOWNLOAD = "stylize", "download"
"""What sorts of jobs there are."""

CONTENT, PREVIEW, PICTURE = "content.png", "preview.jpg", "picture.png"
"""The files of a stylisation: the photograph, the picture so far, the finished one."""

_PREVIEWS = 40  # in the course of one picture
_NETWORK = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_STYLE = re.compile(r"preset:[a-z0-9][a-z0-9-]{0,63}|(style|region)-[1-9][0-9]?\.png")
_MOST = 16  # styles, and regions

_FIELDS = (
    "size", "steps", "strength", "content_weight", "style_weight", "tv_weight", "style_scale",
    "style_mix", "colors", "color_method", "content_detail", "keep_identity", "seed",
)  # fmt: skip
"""What the page may choose of a `StyleConfig`, beside its backbone; each is an option."""


class JobOrder(Protocol):
    """What a job is asked to do."""

    @property
    def kind(self) -> str:
        """What sort of work it is."""

    @property
    def title(self) -> str:
        """What to call it."""

    def as_json(self) -> dict[str, Any]:
        """The order as a record keeps it."""

    def command(self, settings: Settings, folder: Path) -> list[str]:
        """The command line that does it, in the job's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeOrder:
    """Paint the photograph that lies in the job's folder.

    Attributes:
        styles: For each style a preset, `preset:…`, or a picture's name in the folder.
        config: What to paint; of it what `_FIELDS` names, and the backbone.
        regions: Their styles are likewise given; the mask of the first is `mask-1.png`.

    Raises:
        ArgumentError: A style is neither, a network's name cannot be one, or there are too many.
    """

    styles: tuple[str, ...]
    config: StyleConfig
    regions: tuple[Region[str], ...] = ()
    kind: str = STYLIZE

    def __post_init__(self) -> None:
        """Check whatever becomes a word of the command."""
        own = [
            region.style for region in self.regions if not isinstance(region.style, RegionManner)
        ]
        if len(self.styles) > _MOST or len(self.regions) > _MOST:
            raise ArgumentError(f"more than {_MOST} styles or regions: choose fewer")
        if wrong := [style for style in (*self.styles, *own) if not _STYLE.fullmatch(style)]:
            raise ArgumentError(f"{wrong[0]!r} is no style: expected a preset or a picture")
        _check_network(self.config.backbone)

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.config.backbone}, {self.config.size} px"

    def as_json(self) -> dict[str, Any]:
        """The order as a record keeps it."""
        values = self.config.settings()
        return {
            "styles": list(self.styles),
            "config": {name: values[name] for name in ("backbone", *_FIELDS)},
            "regions": [
                {"style": str(region.style), "strength": region.strength} for region in self.regions
            ],
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "StylizeOrder":
        """The order that a record keeps.

        Raises:
            ArgumentError: It is none.
        """
        config: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each
            for name, each in value["config"].items()
        }
        if not set(config) <= {"backbone", *_FIELDS}:
            raise ArgumentError("settings that the page does not choose")
        regions = [
            Region(mask="", style=_style(region["style"]), strength=region["strength"])
            for region in value["regions"]
        ]
        return cls(
            styles=tuple(value["styles"]), config=StyleConfig(**config), regions=tuple(regions)
        )

    def command(self, settings: Settings, folder: Path) -> list[str]:
        """The command line that paints it."""
        return [
            *likeness(settings, "stylize"),
            str(folder / CONTENT),
            *(_word(style, folder) for style in self.styles),
            *(_region(region, folder, number) for number, region in enumerate(self.regions, 1)),
            f"--output={folder / PICTURE}",
            f"--preview={folder / PREVIEW}",
            f"--preview-every={max(1, self.config.steps // _PREVIEWS)}",
            "--json-lines",
            f"--backbone={self.config.backbone}",
            *_options(self.config),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOrder:
    """Fetch a network's weights; somebody has agreed to it.

    Raises:
        ArgumentError: The name cannot be a network's.
    """

    network: str
    kind: str = DOWNLOAD

    def __post_init__(self) -> None:
        """Check the one word of it."""
        _check_network(self.network)

    @property
    def title(self) -> str:
        """What to call it."""
        return self.network

    def as_json(self) -> dict[str, Any]:
        """The order as a record keeps it."""
        return {"network": self.network}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "DownloadOrder":
        """The order that a record keeps.

        Raises:
            ArgumentError: It is none.
        """
        return cls(network=value["network"])

    def command(self, settings: Settings, folder: Path) -> list[str]:
        """The command line that fetches them."""
        return [
            *likeness(settings, "models", "download"),
            self.network,
            "--yes",
            "--json-lines",
        ]


def order_of(kind: str, value: object) -> StylizeOrder | DownloadOrder:
    """The order that a job's record keeps.

    Raises:
        AppError: The page could not have given it: the record is damaged, or of another release.
    """
    kinds: dict[str, type[StylizeOrder] | type[DownloadOrder]] = {
        STYLIZE: StylizeOrder,
        DOWNLOAD: DownloadOrder,
    }
    try:
        return kinds[kind].of(value)  # type: ignore[arg-type]  # what it may be is found out there
    except (AppError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AppError(
            "what this job was asked to do cannot be read any more: discard it, and start it anew"
        ) from error


def likeness(settings: Settings, *words: str) -> list[str]:
    """This application's command line with the shared settings."""
    given: dict[str, str | Path | None] = {"home": settings.home, "device": settings.device}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    # -P: what lies in the folder that the server was started in is none of this application.
    program = "from ui.cli.main import run; run()"
    return [sys.executable, "-P", "-c", program, *words, *options]


def _check_network(name: object) -> None:
    if not isinstance(name, str) or not _NETWORK.fullmatch(name):
        raise ArgumentError(f"{name!r} is no network's name: see `likeness models list`")


def _style(text: str) -> str | RegionManner:
    return RegionManner(text) if text in tuple(RegionManner) else text


def _word(style: str, folder: Path) -> str:
    """A style on the command line: its preset, or the file that was made of it."""
    return style if style.startswith("preset:") else str(folder / style)


def _region(region: Region[str], folder: Path, number: int) -> str:
    """The option that asks for a region."""
    style = region.style if isinstance(region.style, RegionManner) else _word(region.style, folder)
    strength = "" if region.strength is None else f":{region.strength}"
    return f"--region={folder / f'mask-{number}.png'}={style}{strength}"


def _options(config: StyleConfig) -> list[str]:
    """The options that ask for a config: size and steps, and whatever is not as usual."""
    values, usual = config.settings(), StyleConfig().settings()
    options = []
    for name in _FIELDS:
        value = values[name]
        if value != usual[name] or name in ("size", "steps"):
            option = f"--{name.replace('_', '-')}"
            each: Sequence[object] = value if isinstance(value, list) else [value]
            options += [option] if value is True else [f"{option}={one}" for one in each]
    return options
