"""`--like`: how a picture was painted, and what it was painted from, found again."""

from collections.abc import Sequence
from pathlib import Path

from data.errors import ArgumentError, StyleError
from data.files import printable
from style.config import Region
from style.record import Record, Source

from . import output


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
    return _found(record.content, like, "give it as CONTENT")


def styles_of(record: Record, like: Path) -> tuple[Path, ...]:
    """The style pictures that a picture was painted from.

    Raises:
        ArgumentError: One of them is not at hand.
    """
    if not record.styles:
        raise ArgumentError(
            f"{printable(like)} does not name its style pictures: give CONTENT and STYLE"
        )
    return tuple(_found(style, like, "give CONTENT and every STYLE") for style in record.styles)


def regions_of(record: Record, like: Path, content: Path) -> tuple[Region[Path], ...]:
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
    return tuple(_region(region, like) for region in record.regions)


def _region(region: Region[Source], like: Path) -> Region[Path]:
    """A region with its files."""
    hint = "give every --region"
    style = region.style
    return Region(
        mask=_found(region.mask, like, hint),
        style=_found(style, like, hint) if isinstance(style, Source) else style,
        strength=region.strength,
    )


def _found(source: Source, like: Path, hint: str) -> Path:
    """The file, beside the picture or where the user is.

    Raises:
        ArgumentError: It is in neither place, or not as it was.
    """
    places: Sequence[Path] = (like.parent, Path())
    if path := source.find(places):
        return path
    changed = any((place / source.name).exists() for place in places)
    raise ArgumentError(
        f"{printable(source.name)}, from which {printable(like)} was painted, "
        f"{'has changed since' if changed else 'is neither beside it nor here'}: {hint}"
    )
