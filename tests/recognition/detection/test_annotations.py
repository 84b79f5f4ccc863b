"""Boxed photographs: what is read, and what is refused in a line."""

from pathlib import Path

import pytest
from PIL import Image

from data.errors import AppError, DatasetError
from recognition.detection.annotations import read_boxed

FACE = """<object><name>with_mask</name><difficult>{}</difficult>
<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""
SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    images, annotations = tmp_path / "images", tmp_path / "annotations"
    images.mkdir()
    annotations.mkdir()
    for name in ("b10", "b2"):
        Image.new("RGB", (40, 30)).save(images / f"{name}.png")
        (annotations / f"{name}.xml").write_text(f"<annotation>{SIZE}</annotation>")
    return images, annotations


def test_boxes_are_read_in_order_of_the_names(folders: tuple[Path, Path]) -> None:
    images, annotations = folders
    faces = FACE.format(0, 1, 2, 11, 22) + FACE.format(1, 3.5, 4, 5, 6)
    (annotations / "b10.xml").write_text(f"<annotation>{SIZE}{faces}</annotation>")
    first, second = read_boxed(images, annotations)
    assert [first.path.name, second.path.name] == ["b10.png", "b2.png"]
    assert first.boxes == ((1, 2, 11, 22), (3.5, 4, 5, 6))
    assert first.difficult == (False, True)
    assert first.size == (40, 30)
    assert second.boxes == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not XML"),
        (b"<annotation>", "not XML"),
        (b"\x89PNG\r\n", "not XML"),
        (b"<html></html>", "no VOC annotation"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "document type"),
        (f"<annotation>{FACE.format(0, 5, 2, 5, 9)}</annotation>".encode(), "left edge before"),
        (f"<annotation>{FACE.format(0, 5, 9, 8, 2)}</annotation>".encode(), "left edge before"),
        (f"<annotation>{FACE.format(0, 'nan', 2, 5, 9)}</annotation>".encode(), "left edge"),
        (f"<annotation>{FACE.format(0, 1, 2, 'inf', 9)}</annotation>".encode(), "left edge"),
        (f"<annotation>{FACE.format(0, 1, 'two', 5, 9)}</annotation>".encode(), "left edge"),
        (b"<annotation><object><name>x</name></object></annotation>", "left edge before"),
        (None, "no annotation"),
    ],
)
def test_what_is_no_annotation_is_refused_in_a_line(
    folders: tuple[Path, Path], content: bytes | None, why: str
) -> None:
    images, annotations = folders
    if content is None:
        (annotations / "b2.xml").unlink()
    else:
        (annotations / "b2.xml").write_bytes(content)
    with pytest.raises(AppError, match=why) as refused:
        read_boxed(images, annotations)
    assert "\n" not in str(refused.value)
    assert "b2" in str(refused.value)


def test_missing_folders_and_photographs_are_refused(folders: tuple[Path, Path]) -> None:
    images, annotations = folders
    with pytest.raises(AppError, match="no folder"):
        read_boxed(images, annotations / "absent")
    empty = images / "empty"
    empty.mkdir()
    with pytest.raises(AppError, match="no photograph"):
        read_boxed(empty, annotations)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("begin", ["", '<!DOCTYPE a [<!ENTITY b "c">]>', "<!DOCTYPE annotation>"])
def test_no_encoding_hides_a_document_type(
    folders: tuple[Path, Path], codec: str, begin: str
) -> None:
    images, annotations = folders
    for declared in ("", f'<?xml version="1.0" encoding="{codec}"?>'):
        text = f"{declared}{begin}<annotation>{SIZE}</annotation>"
        (annotations / "b2.xml").write_bytes(text.encode(codec))
        with pytest.raises(DatasetError, match="UTF-8"):
            read_boxed(images, annotations)


@pytest.mark.parametrize("codec", ["cp037", "cp500", "utf-7", "utf-16", "utf-8-sig", "latin-1"])
def test_no_declaration_hides_a_document_type(folders: tuple[Path, Path], codec: str) -> None:
    images, annotations = folders
    text = '<!DOCTYPE annotation [<!ENTITY b "40">]><annotation>&b;</annotation>'
    head = f'<?xml version="1.0" encoding="{codec}"?>'.encode()
    (annotations / "b2.xml").write_bytes(head + text.encode(codec))
    with pytest.raises(DatasetError):
        read_boxed(images, annotations)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("b2.png", "b2.jpg"), ("b2.png", "deep/b2.png"), ("x/a.png", "y/a.png")]
)
def test_two_photographs_do_not_share_an_annotation(
    folders: tuple[Path, Path], ours: str, theirs: str
) -> None:
    images, annotations = folders
    for name in (ours, theirs):
        (images / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(images / name)
        (annotations / Path(name).with_suffix(".xml").name).write_text("<annotation/>")
    with pytest.raises(DatasetError, match="share the annotation") as refused:
        read_boxed(images, annotations)
    assert str(images / ours) in str(refused.value)
    assert str(images / theirs) in str(refused.value)
