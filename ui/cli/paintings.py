"""Pictures that were painted before: which are meant, what each was painted from, and how."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import AppError, ArgumentError, StyleError
from data.files import printable
from style.config import Region, StyleConfig
from style.record import Record, SourceFile

from . import output
from .style_words import is_preset, shelf_folder, style_file

if TYPE_CHECKING:
    from style.evaluation.paintings import Judged, Painting
    from style.record import Record, SourceFile


# Which painted pictures a user means, and what each was painted from.

_MANIFEST = "expected a list of objects with `picture`, `content` and `styles`, paths beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the pictures were painted from, as far as the user says it.

    Attributes:
        content: The photograph of all of them; None: each names its own.
        styles: The style pictures of all of them; empty: each names its own.
        folders: Where photographs and styles that pictures name are looked for, besides beside
            the pictures and where the user is.
    """

    content: Path | None = None
    styles: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()


def find_paintings(
    paths: Sequence[Path], sources: Sources, *, apart: Path | None = None
) -> "tuple[list[Painting], list[Judged], set[str]]":
    """The paintings in files and folders.

    Args:
        paths: Pictures, and folders of them.
        sources: What they were painted from.
        apart: A folder whose pictures are none: what was drawn of verdicts before.

    Returns:
        The paintings; those of which it is not known what they were painted from, with the
        reason; and the names of the networks that painted, where pictures tell them.

    Raises:
        ArgumentError: A path does not exist, there is no picture, or of none is it known.
    """
    from data.images import find_images
    from style.evaluation.paintings import Judged, Painting

    paintings, failed, painters = [], [], set()
    for path in find_images(paths):
        if apart is not None and path.parent.resolve() == apart.resolve():
            continue
        try:
            record = _record(path)
            content, styles = _content(path, record, sources), _styles(path, record, sources)
        except AppError as error:
            nothing = Painting(picture=path, content=path, styles=())
            failed.append(Judged(painting=nothing, error=str(error)))
            continue
        config = StyleConfig() if record is None else record.config
        if record is not None:
            painters.add(config.backbone)
            if record.regions:
                output.print_warning(
                    f"{path} has regions of other styles: it is judged as if it had none"
                )
        if len(config.style_mix) != len(styles):
            config = replace(config, style_mix=())
        paintings.append(Painting(picture=path, content=content, styles=styles, config=config))
    if not paintings:
        reason = failed[0].error if failed else "there is no picture in what is given"
        raise ArgumentError(str(reason))
    return paintings, failed, painters


def read_manifest(path: Path, home: Path | None = None) -> "tuple[list[Painting], set[str]]":
    """The paintings that a list in JSON names, and the networks that it says painted them.

    Its objects have `picture`, `content` and `styles`, and may have settings of `StyleConfig`.
    Paths are relative to the list's own folder; a style may be a preset.

    Args:
        path: The list.
        home: The user's data folder, where presets are kept; None for the usual one.

    Raises:
        ArgumentError: It cannot be read or makes no sense.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArgumentError(f"cannot read {printable(path)} ({error}): {_MANIFEST}") from error
    if not isinstance(entries, list) or not entries:
        raise ArgumentError(f"{printable(path)} is no list of pictures: {_MANIFEST}")
    paintings, painters = [], set()
    for number, entry in enumerate(entries, start=1):
        try:
            paintings.append(_entry(entry, path.parent, home))
            if "backbone" in entry:
                painters.add(paintings[-1].config.backbone)
        except (AppError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, AppError) else _MANIFEST
            raise ArgumentError(f"entry {number} of {printable(path)}: {reason}") from error
    return paintings, painters


def _entry(entry: Mapping[str, Any], folder: Path, home: Path | None) -> "Painting":
    """One object of a list."""
    from style.evaluation.paintings import Painting

    settings = {k: v for k, v in entry.items() if k not in ("picture", "content", "styles")}
    styles = entry["styles"]
    if not isinstance(styles, list) or not styles:
        raise ArgumentError(_MANIFEST)
    return Painting(
        picture=folder / entry["picture"],
        content=folder / entry["content"],
        styles=tuple(
            style_file(style, home) if is_preset(style) else folder / style for style in styles
        ),
        config=StyleConfig(**settings),
    )


def _record(picture: Path) -> "Record | None":
    """How a picture says it was painted; None where it does not, or by a version unknown here."""
    from data.errors import StyleError
    from data.images import read_settings
    from style.record import Record

    settings = read_settings(picture)
    try:
        return None if settings is None else Record.parse(settings)
    except StyleError:
        return None


def _content(picture: Path, record: "Record | None", sources: Sources) -> Path:
    """The photograph of a picture.

    Raises:
        ArgumentError: Neither the user nor the picture names it, or it is not at hand.
    """
    if sources.content is not None:
        return sources.content
    if record is None or record.content is None:
        raise ArgumentError(f"{printable(picture)} does not name its photograph: give --content")
    return _found(record.content, picture, sources, "--content")


def _styles(picture: Path, record: "Record | None", sources: Sources) -> tuple[Path, ...]:
    """The style pictures of a picture, as `_content` its photograph."""
    if sources.styles:
        return sources.styles
    if record is None or not record.styles:
        raise ArgumentError(f"{printable(picture)} does not name its style: give --style")
    return tuple(_found(style, picture, sources, "--style") for style in record.styles)


def _found(source: "SourceFile", picture: Path, sources: Sources, option: str) -> Path:
    """A file that a picture names.

    Raises:
        ArgumentError: It is nowhere, or not as it was.
    """
    if path := source.find([picture.parent, Path(), *sources.folders]):
        return path
    raise ArgumentError(
        f"{printable(source.name)}, from which {printable(picture)} was painted, is not at hand: "
        f"name its folder with --sources, or give {option}"
    )


# `--like`: how a picture was painted, and what it was painted from, found again.


def record_of(like: Path) -> Record:
    """How a picture was painted.

    Raises:
        ArgumentError: It does not tell, or a newer version painted it.
        ImageError: It cannot be read.
    """
    from data.images import read_settings

    settings = read_settings(like)
    if settings is None:
        raise ArgumentError(
            f"{printable(like)} does not say how it was painted: "
            "give a picture that `likeness stylize` wrote"
        )
    try:
        return Record.parse(settings)
    except StyleError as error:
        raise ArgumentError(f"cannot repeat {printable(like)}: {error}") from error


def content_of(record: Record, like: Path) -> Path:
    """The photograph that a picture was painted from.

    Raises:
        ArgumentError: It is not at hand.
    """
    if record.content is None:
        raise ArgumentError(f"{printable(like)} does not name its photograph: give CONTENT")
    return _found_again(record.content, like, None, "give it as CONTENT")


def styles_of(record: Record, like: Path, home: Path | None) -> tuple[Path, ...]:
    """The style pictures that a picture was painted from.

    Raises:
        ArgumentError: One of them is not at hand.
    """
    if not record.styles:
        raise ArgumentError(
            f"{printable(like)} does not name its style pictures: give CONTENT and STYLE"
        )
    hint = "give CONTENT and every STYLE"
    return tuple(_found_again(style, like, home, hint) for style in record.styles)


def regions_of(
    record: Record, like: Path, content: Path, home: Path | None
) -> tuple[Region[Path], ...]:
    """The regions of a picture, which belong to its photograph; none where that is another one.

    Raises:
        ArgumentError: A mask or a style picture of theirs is not at hand.
    """
    if not record.regions:
        return ()
    if content.is_dir() or record.content is None or not record.content.is_at(content):
        output.print_warning(
            f"the regions of {printable(like)} belong to another photograph and are left out; "
            "--region gives others"
        )
        return ()
    return tuple(_region_again(region, like, home) for region in record.regions)


def _region_again(region: Region[SourceFile], like: Path, home: Path | None) -> Region[Path]:
    """A region with its files."""
    hint = "give every --region"
    style = region.style
    return Region(
        mask=_found_again(region.mask, like, home, hint),
        style=_found_again(style, like, home, hint) if isinstance(style, SourceFile) else style,
        strength=region.strength,
    )


def _found_again(source: SourceFile, like: Path, home: Path | None, hint: str) -> Path:
    """The file, beside the picture, where the user is, or among the presets that were drawn.

    Raises:
        ArgumentError: It is in neither place, or not as it was.
    """
    places: Sequence[Path] = (like.parent, Path(), shelf_folder(home))
    if path := source.find(places):
        return path
    changed = any((place / source.name).exists() for place in places)
    raise ArgumentError(
        f"{printable(source.name)}, from which {printable(like)} was painted, "
        f"{'has changed since' if changed else 'is neither beside it nor here'}: {hint}"
    )
