"""What a file is that is no picture, or none that is read: told by how it begins, in words.

Only the first bytes are looked at, and nothing is decoded; who wonders why a file is refused reads
"it is a web page" sooner than a list of formats.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_LOOKED_AT = 1024  # bytes of a file

_FETCH_AGAIN = "fetch the picture itself"
_SAVE_AS = "save it as JPEG or PNG"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that is not read as a picture.

    Attributes:
        what: In words, with its article.
        is_picture: Whether it is a picture all the same, of a kind that is not read.
        advice: What to do.
    """

    what: str
    is_picture: bool
    advice: str

    @property
    def refusal(self) -> str:
        """Why it is refused, as the second half of a sentence."""
        why = "which is not read" if self.is_picture else "not a picture"
        return f"it is {self.what}, {why}: {self.advice}"


def kind_of(content: bytes) -> FileKind | None:
    """What a file is, where that can be told; None for pictures that are read, and the unknown.

    Args:
        content: Its bytes, of which only the first are looked at.
    """
    head = content[:_LOOKED_AT]
    if head and not head.strip(b"\0") and not content.strip(b"\0"):
        return FileKind("nothing but zero bytes", False, "its download was cut off: fetch it again")
    for kind, fits in _KINDS:
        if fits(head):
            return kind
    return _as_text(head)


def _begins(*beginnings: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(beginnings)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Whether it is a container of ISO's media formats whose first brand is one of these."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12].startswith(brands)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    """Whether it begins with this, after blanks and a byte order mark; case does not count."""
    compiled = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:" + pattern + rb")", re.IGNORECASE | re.DOTALL)
    return lambda head: compiled.match(head) is not None


def _picture(what: str, advice: str = _SAVE_AS) -> FileKind:
    return FileKind(what, True, advice)


def _other(what: str, advice: str = _FETCH_AGAIN) -> FileKind:
    return FileKind(what, False, advice)


_POINTER = "a pointer to a file that is kept elsewhere"
_SVG = _picture("a drawing (SVG)", "save it as PNG")
_WEB_PAGE = _other("a web page", "open its address in a browser, and save the picture itself")
_VIDEO = _other("a video", "save one frame of it as JPEG or PNG")
_SOUND = _other("a sound file")
_ARCHIVE = _other("an archive", "unpack it first")
_DOCUMENT = _other("a document", "save the picture in it as JPEG or PNG")

_KINDS: tuple[tuple[FileKind, Callable[[bytes], bool]], ...] = (
    (
        _other(f"{_POINTER} (Git LFS)", "fetch it with `git lfs pull`"),
        _begins(b"version https://git-lfs", b"version https://hawser"),
    ),
    (
        _other(f"{_POINTER} (git-annex)", "fetch it with `git annex get`"),
        _matches(rb"[./\\]*(?:\.git/|/)annex/objects/"),
    ),
    (_other("a shortcut", "name the file that it leads to"), _begins(b"L\0\0\0\x01\x14\x02\0")),
    (
        _other("a shortcut", "name the file that it leads to"),
        _matches(rb"\[(?:InternetShortcut|Desktop Entry)\]"),
    ),
    (
        _other("the part of a file that macOS keeps beside it", "name the file without `._`"),
        _begins(b"\0\x05\x16\x07", b"\0\x05\x16\0"),
    ),
    (_picture("an icon (ICO)", "save it as PNG"), _begins(b"\0\0\1\0")),
    (_picture("a pointer's picture (CUR)", "save it as PNG"), _begins(b"\0\0\2\0")),
    (_picture("an icon (ICNS)", "save it as PNG"), _begins(b"icns")),
    (_picture("a Photoshop picture (PSD)"), _begins(b"8BPS")),
    (_picture("a GIMP picture (XCF)"), _begins(b"gimp xcf")),
    (
        _picture("a JPEG XL picture"),
        _begins(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ),
    (_picture("a JPEG XR picture"), _begins(b"II\xbc\x01")),
    (_picture("a camera's raw picture (RAF)"), _begins(b"FUJIFILMCCD-RAW")),
    (_picture("a camera's raw picture (RW2)"), _begins(b"IIU\0")),
    (_picture("a camera's raw picture (ORF)"), _begins(b"IIRO", b"IIRS", b"MMOR")),
    (_picture("a camera's raw picture (CR3)"), _brand(b"crx ")),
    (_picture("an OpenEXR picture"), _begins(b"v/1\x01")),
    (_picture("a Radiance picture (HDR)"), _begins(b"#?RADIANCE", b"#?RGBE")),
    (_picture("a texture (DDS)"), _begins(b"DDS ")),
    (_picture("a QOI picture"), _begins(b"qoif")),
    (_picture("a FITS picture"), _begins(b"SIMPLE  =")),
    (_picture("a medical picture (DICOM)"), _begins(b"DICM", at=128)),
    (_picture("a DjVu document"), _begins(b"AT&TFORM")),
    (_picture("a metafile (EMF)"), _begins(b" EMF", at=40)),
    (_picture("a metafile (WMF)"), _begins(b"\xd7\xcd\xc6\x9a")),
    (
        _picture("a PostScript page (EPS)", "save it as PNG"),
        _begins(b"%!PS", b"\xc5\xd0\xd3\xc6"),
    ),
    (_other("a PDF document", "save its picture as JPEG or PNG"), _matches(rb"%PDF-")),
    (_SVG, _matches(rb"(?:<\?xml.{0,600}?|<!--.{0,600}?-->\s*)?(?:<!DOCTYPE svg.{0,400}?)?<svg")),
    (
        _WEB_PAGE,
        _matches(
            rb"(?:<\?xml.{0,200}?>\s*)?(?:<!--.{0,600}?-->\s*)?"
            rb"<(?:!doctype html|html|head|body|script|title|meta|iframe|div|p|h1|table|a)\b"
        ),
    ),
    (_other("the answer of a web server", "fetch the picture again"), _matches(rb"HTTP/\d")),
    (_VIDEO, _brand(b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp4", b"M4V", b"qt", b"3g")),
    (_VIDEO, _brand(b"avc1", b"dash", b"MSNV", b"f4v")),
    (_SOUND, _brand(b"M4A", b"M4B")),
    (_VIDEO, _begins(b"moov", b"mdat", b"wide", b"free", at=4)),
    (
        _VIDEO,
        _begins(b"\x1aE\xdf\xa3", b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3", b"0&\xb2u\x8ef\xcf"),
    ),
    (_VIDEO, lambda head: head.startswith(b"RIFF") and head[8:12] == b"AVI "),
    (_SOUND, lambda head: head.startswith(b"RIFF") and head[8:12] == b"WAVE"),
    (_SOUND, _begins(b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"#!AMR", b"MThd")),
    (
        _DOCUMENT,
        lambda head: head.startswith(b"PK\3\4") and (b"word/" in head or b"[Content" in head),
    ),
    (_DOCUMENT, _begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf")),
    (
        _ARCHIVE,
        _begins(
            b"PK\3\4",
            b"PK\5\6",
            b"\x1f\x8b",
            b"BZh",
            b"\xfd7zXZ\0",
            b"7z\xbc\xaf'\x1c",
            b"Rar!",
            b"(\xb5/\xfd",
        ),
    ),
    (_ARCHIVE, _begins(b"ustar", at=257)),
    (_other("a database (SQLite)"), _begins(b"SQLite format 3\0")),
    (
        _other("a program"),
        _begins(
            b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!/", b"#! /", b"\0asm"
        ),
    ),
    (_other("a font"), _begins(b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0\0")),
    (_other("a NumPy array", "make a picture of it first"), _begins(b"\x93NUMPY")),
    (_other("a pickle, which is never opened"), _begins(b"\x80\x02", b"\x80\x03", b"\x80\x04")),
    (_other("an XML file"), _matches(rb"<\?xml")),
    (_other("a JSON file"), _matches(rb'[\[{]\s*(?:["\[{\]}]|-?\d)')),
)


def _as_text(head: bytes) -> FileKind | None:
    """Text of any kind; not what may be a picture in text, whose decoder says what is wrong."""
    if not head or re.match(rb"P[1-7fFy]\s", head):
        return None
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else a character was cut in the middle
            return None
        text = head[: error.start].decode("utf-8-sig")
    if (
        text.isascii()
        and not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    ):
        return None
    return _other("a text file") if len(text) >= 4 and any(map(str.isalpha, text)) else None
