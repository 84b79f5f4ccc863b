"""Photographs whose faces somebody has boxed: annotations in the format of PASCAL VOC.

Everingham et al. 2010. Each photograph has an XML file of its own name, with one `object` a face;
what the objects are called is not looked at. Edges count pixels from 1 in the original data, but
not in most sets of today; the difference of a pixel is left as it is.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from data.errors import ArgumentError, DatasetError
from data.files import printable, read_regular
from data.images import find_images

from ..results import Box

_MOST_BYTES = 10_000_000
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedPhotograph:
    """A photograph and its boxed faces.

    Attributes:
        path: Of the photograph.
        boxes: In its pixels, in the file's order; empty where nobody is in it.
        difficult: For each box whether the file calls it `difficult`: such a face may be missed.
        size: Width and height that the file gives; None where it gives none.
    """

    path: Path
    boxes: tuple[Box, ...]
    difficult: tuple[bool, ...]
    size: tuple[int, int] | None = None


def read_boxed(images: Path, annotations: Path) -> list[BoxedPhotograph]:
    """Read all photographs of a folder with their annotations, sorted by name.

    Args:
        images: A folder, searched through all its depth.
        annotations: A folder of XML files, each named as its photograph but for the suffix.

    Raises:
        ArgumentError: A folder is missing.
        DatasetError: There is no photograph, one lacks its annotation, two would share one, or one
            is no such file.
    """
    if not annotations.is_dir():
        raise ArgumentError(
            f"there is no folder {printable(annotations)}: expected one of VOC annotations, an XML "
            "file for each photograph"
        )
    paths = sorted(find_images([images]), key=lambda path: (path.name, path))
    if not paths:
        raise DatasetError(f"{printable(images)} holds no photograph: give a folder that does")
    _check_names(paths)
    return [_read(path, annotations / f"{path.stem}.xml") for path in paths]


def _check_names(photographs: Iterable[Path]) -> None:
    """Refuse photographs that would share an annotation: those of one name but for the suffix."""
    seen: dict[str, Path] = {}
    for path in photographs:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise DatasetError(
                f"{printable(other)} and {printable(path)} would share the annotation "
                f"{printable(path.stem)}.xml: give each photograph a name of its own"
            )


def _read(photograph: Path, annotation: Path) -> BoxedPhotograph:
    shown = printable(annotation)
    try:
        content = read_regular(annotation, error=DatasetError, most_bytes=_MOST_BYTES)
    except ArgumentError as error:
        raise DatasetError(
            f"{printable(photograph)} has no annotation: expected {shown}"
        ) from error
    # Without a zero byte it is in an encoding that writes ASCII as ASCII: the parser knows no other
    # one but UTF-16, in which a document type would not be seen below.
    if b"\0" in content:
        raise DatasetError(f"{shown} holds a zero byte: expected a VOC annotation in UTF-8")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # what it defines could grow without end
        raise DatasetError(f"{shown} declares a document type: expected a plain VOC annotation")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(f"{shown} is not XML: expected a VOC annotation") from error
    if root.tag != "annotation":
        raise DatasetError(f"{shown} is no VOC annotation: its root is not `annotation`")
    objects = root.findall("object")
    return BoxedPhotograph(
        path=photograph,
        boxes=tuple(_box(each, shown) for each in objects),
        difficult=tuple(each.findtext("difficult", "0").strip() == "1" for each in objects),
        size=_size(root),
    )


def _box(face: ElementTree.Element, shown: str) -> Box:
    """The four edges of an object."""
    x1, y1, x2, y2 = (_number(face.findtext(f"bndbox/{edge}")) for edge in _EDGES)
    if not (x1 < x2 and y1 < y2):  # also where one is NaN
        raise DatasetError(
            f"{shown} has a box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}): expected numbers, the "
            "left edge before the right one and the upper before the lower"
        )
    return (x1, y1, x2, y2)


def _number(text: str | None) -> float:
    """A finite number, or else NaN."""
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    width, height = (_number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    return (int(width), int(height)) if width >= 1 and height >= 1 else None
