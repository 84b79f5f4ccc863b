"""What a file is that is no picture, or none that is read."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from corpus import pictures
from hypothesis import given
from hypothesis import strategies as st

from data.decoding import decode, kind_of
from data.errors import ImageError
from data.formats import FORMATS

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def _packed(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x" * 50)
    return file.getvalue()


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _samples() -> Iterator[tuple[bytes, str]]:
    for page in (
        b"<!DOCTYPE html><html><body>not found</body></html>",
        b"\xef\xbb\xbf\r\n  <!doctype HTML>\n<HTML>",
        b"<html lang=en>",
        b"<!-- saved from url=(0014)about:internet -->\n<html>",
        b"<script>location='x'</script>",
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0"><html>',
    ):
        yield page, "a web page"
    yield POINTER, "Git LFS"
    yield b"../../.git/annex/objects/aa/bb/SHA256E-s1--ff.jpg/SHA256E-s1--ff.jpg", "git-annex"
    yield b"/annex/objects/MD5E-s1--ff.jpg\n", "git-annex"
    yield b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"
    yield b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="3"/>', "SVG"
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"
    yield b"%PDF-1.7\n%\xe2\xe3", "a PDF document"
    yield pictures.encode(pictures.scene().resize((32, 32)), "ICO"), "ICO"
    yield pictures.encode(pictures.scene(), "DDS"), "DDS"
    yield b"8BPS\0\1" + bytes(20), "PSD"
    yield b"\xff\x0a\xfa\x7f", "JPEG XL"
    yield b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"
    yield b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video"
    yield b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"
    yield b"\x1aE\xdf\xa3\x9fB\x86", "a video"
    yield b"RIFF\x24\0\0\0AVI LIST", "a video"
    yield b"RIFF\x24\0\0\0WAVEfmt ", "a sound file"
    yield b"ID3\4\0", "a sound file"
    yield _packed("photo.jpg"), "an archive"
    yield _packed("[Content_Types].xml"), "a document"
    yield gzip.compress(b"x", mtime=0), "an archive"
    yield b"7z\xbc\xaf'\x1c\0\4", "an archive"
    yield b"\x7fELF\2\1\1", "a program"
    yield b"MZ\x90\0\3", "a program"
    yield b"#!/bin/sh\n", "a program"
    yield b"SQLite format 3\0", "a database"
    yield _array(), "a NumPy array"
    yield b"\x80\4\x95", "a pickle"
    yield b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS"
    yield json.dumps({"error": "not found"}).encode(), "a JSON file"
    yield b'[{"a": 1}]', "a JSON file"
    yield b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"
    yield b"HTTP/1.1 404 Not Found\r\n", "a web server"
    yield b"404: Not Found", "a text file"
    yield "Zugriff verweigert: grüß Gott".encode(), "a text file"
    yield bytes(5000), "zero bytes"


@pytest.mark.parametrize(("content", "words"), list(_samples()))
def test_a_file_is_refused_as_what_it_is(content: bytes, words: str) -> None:
    found = kind_of(content)
    assert found is not None
    assert words in found.what
    assert found.advice
    with pytest.raises(ImageError) as refusal:
        decode(content)
    message = str(refusal.value)
    assert words in message
    assert ("not a picture" in message) is not ("which is not read" in message)
    assert "\n" not in message


@pytest.mark.parametrize("encoding", sorted(FORMATS - {"HEIF"}))
def test_pictures_that_are_read_are_of_no_such_kind(encoding: str) -> None:
    content = pictures.encode(pictures.scene(), encoding)
    for length in (len(content), len(content) // 2, 200):
        assert kind_of(content[:length]) is None


@given(st.binary(max_size=300))
def test_whatever_is_handed_in_has_one_kind_or_none(content: bytes) -> None:
    found = kind_of(content)
    assert found is None or found.refusal.startswith("it is ")


def test_nothing_is_looked_for_in_no_bytes() -> None:
    assert kind_of(b"") is None
