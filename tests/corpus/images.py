"""Odd and bad picture files, and mutations of them."""

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from .item import SEED, Item
from .pictures import (
    PLACE,
    animated,
    chunk,
    deep,
    encode,
    floats,
    g4,
    gif_bomb,
    hidden_colour,
    located,
    oriented,
    palette,
    plain_cmyk,
    png,
    scene,
    stored,
    text_bomb,
    with_segment,
    wrong_sum,
)

TAIL = b"<script>alert(1)</script>"
JUNK = b"LIKENESS-TEST-JUNK"

# 16×16 pixels, made with libheif; no reader here can write HEIC.
_HEIC = """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA
ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAADUAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt
AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA
AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs
eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4
aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAPW1kYXQAAAAxKAGvC0hYsJD1/M7Vzk/Z3WEkc3SoYTYBEEDDFB5G
aAplGA2F9a3UuWFsD3S0BQt4wA==
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture(Item):
    """A picture file, called like the item.

    Attributes:
        content: Its bytes.
        likeness: Cosine similarity that the face in it has at least to the face in the picture that
            it was made of, the plain one; None where it may not be found.
        secret: Bytes of it that are in nothing that is made or kept of it.
        clear: Whether its left edge is transparent, over colours that nobody is to see.
        warned: Whether something is odd about it, which is said of it wherever it is read.
    """

    content: Callable[[], bytes]
    likeness: float | None = None
    secret: bytes | None = None
    clear: bool = False
    warned: bool = False


def _good(
    name: str,
    content: Callable[[], bytes],
    why: str,
    likeness: float | None = 0.9,
    secret: bytes | None = None,
    clear: bool = False,
) -> Picture:
    item = _bad(name, content, why)
    return replace(item, accept=True, likeness=likeness, secret=secret, clear=clear)


def _bad(name: str, content: Callable[[], bytes], why: str) -> Picture:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content())

    return Picture(section="images", name=name, accept=False, why=why, write=write, content=content)


def _cut(content: bytes, percent: int) -> bytes:
    return content[: len(content) * percent // 100]


def _truncated(picture: Image.Image) -> Iterator[Picture]:
    for p in range(0, 100, 10):
        why = f"cut off after {p} %"
        yield _bad(f"truncated-{p}.jpg", lambda p=p: _cut(encode(picture), p), why)
        yield _bad(
            f"progressive-truncated-{p}.jpg",
            lambda p=p: _cut(encode(picture, progressive=True), p),
            f"progressive, {why}",
        )
    for p in (10, 50, 90):
        yield _bad(
            f"truncated-{p}.png",
            lambda p=p: _cut(encode(picture, "PNG"), p),
            f"cut off after {p} %",
        )


def _turned(picture: Image.Image) -> Iterator[Picture]:
    for o in range(1, 9):
        yield _good(
            f"orientation-{o}.jpg",
            lambda o=o: oriented(stored(picture, o), o),
            f"to be turned as EXIF's orientation {o} says",
            likeness=0.99,
        )
    yield _good(
        "orientation-9.jpg",
        lambda: oriented(picture, 9),
        "an orientation that does not exist",
        0.99,
    )


def _modes(picture: Image.Image) -> Iterator[Picture]:
    grey, hidden, cmyk = picture.convert("L"), hidden_colour(picture), picture.convert("CMYK")
    best = {"quality": 95, "subsampling": 0}
    yield _good("cmyk.jpg", lambda: plain_cmyk(picture), "CMYK without Adobe's marker")
    yield _good("cmyk-adobe-inverted.jpg", lambda: encode(cmyk, **best), "CMYK stored inverted")
    yield _good("cmyk.tif", lambda: encode(cmyk, "TIFF"), "CMYK")
    yield _good("grey.jpg", lambda: encode(grey), "grey", 0.8)
    yield _good("one-bit.png", lambda: encode(picture.convert("1"), "PNG"), "black or white", None)
    yield _good(
        "grey-alpha.png",
        lambda: encode(hidden.convert("LA"), "PNG"),
        "grey with alpha",
        0.8,
        clear=True,
    )
    yield _good(
        "hidden-colour.png", lambda: encode(hidden, "PNG"), "colour under alpha 0", clear=True
    )
    yield _good("palette-transparent.png", lambda: palette(picture), "a transparent colour", None)
    yield _good("deep.png", lambda: encode(deep(picture), "PNG"), "16 bit", 0.8)
    yield _good("deep.pgm", lambda: encode(deep(picture), "PPM"), "16 bit", 0.8)
    yield _good("float.tif", lambda: encode(floats(picture, 0.25), "TIFF"), "floating point", 0.8)
    yield _bad("float-nan.tif", lambda: encode(floats(picture, float("nan")), "TIFF"), "NaN in it")
    side = 7200
    whole = cache(lambda: grey.resize((side, side), Image.Resampling.BICUBIC))
    yield _good("52-million.jpg", lambda: encode(whole()), f"{side**2:,} pixels, baseline", 0.8)
    yield _bad(
        "52-million-progressive.jpg",
        lambda: encode(whole(), progressive=True),
        f"{side**2:,} pixels, progressive",
    )
    yield _good("progressive.jpg", lambda: encode(picture, progressive=True), "progressive")
    yield _good("quality-1.jpg", lambda: encode(picture, quality=1), "quality 1", None)
    yield _good("plain.webp", lambda: encode(picture, "WEBP"), "WebP")
    yield _good("plain.avif", lambda: encode(picture, "AVIF"), "AVIF")
    yield _good("plain.jp2", lambda: encode(picture, "JPEG2000"), "JPEG 2000")
    yield _good("plain.bmp", lambda: encode(picture, "BMP"), "BMP")
    yield _good("plain.ppm", lambda: encode(picture, "PPM"), "PPM")
    yield _good("still.gif", lambda: encode(picture, "GIF"), "256 colours", 0.8)


def _frames(picture: Image.Image) -> Iterator[Picture]:
    why = "several frames, of which the first counts"
    for name, encoding in (
        ("animated.gif", "GIF"),
        ("animated.webp", "WEBP"),
        ("animated.png", "PNG"),
        ("animated.avif", "AVIF"),
        ("pages.tif", "TIFF"),
    ):
        item = _good(name, lambda encoding=encoding: animated(picture, encoding), why, 0.8)
        yield replace(item, warned=True)
    yield _good("several.mpo", lambda: animated(picture, "MPO"), f"{why}, as a camera writes it")
    for progressive in (False, True):
        item = _good(
            f"{'progressive-' * progressive}no-end.jpg",
            lambda progressive=progressive: encode(picture, progressive=progressive)[:-2],
            "nothing but the end marker is missing",
        )
        yield replace(item, warned=True)


def _bombs() -> Iterator[Picture]:
    yield _bad("1x1.png", lambda: png(1, 1, pixels=bytes(2)), "one pixel")
    yield _bad("30000x1.png", lambda: png(30000, 1, pixels=bytes(30001)), "one pixel high")
    yield _bad("1x30000.png", lambda: png(1, 30000, pixels=bytes(60000)), "one pixel wide")
    for side in (9000, 12000, 20000):
        yield _bad(
            f"{side}x{side}.png",
            lambda side=side: png(side, side, pixels=bytes(1_000_000)),
            f"{side**2:,} pixels in a few KB",
        )
    largest = 2**31 - 1
    yield _bad(
        "largest-header.png", lambda: png(largest, largest, pixels=bytes(9)), "a header's lie"
    )
    yield _bad("text-bomb.png", lambda: text_bomb(60_000_000), "a comment of 60 MB in a few KB")
    yield _bad("bomb.gif", gif_bomb, "65535×65535 pixels in 35 bytes")
    yield _bad("bomb.tif", lambda: g4(13000), "13000×13000 pixels in a few KB")


def _disguised(picture: Image.Image, seed: int) -> Iterator[Picture]:
    html = b"<!DOCTYPE html><html><body>not found</body></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    small = picture.resize((32, 32))
    yield _bad("wrong-sum.png", lambda: wrong_sum(picture), "a checksum is wrong")
    yield _bad("empty.jpg", lambda: b"", "no byte")
    yield _bad("nul.jpg", lambda: bytes(4096), "nothing but zeros")
    yield _bad("random.jpg", lambda: random.Random(seed).randbytes(4096), "random bytes")
    yield _bad("page.jpg", lambda: html, "HTML called .jpg")
    yield _bad("script.svg", lambda: svg, "SVG with a script")
    yield _bad("script.jpg", lambda: eps, "EPS called .jpg")
    yield _bad("tiff.png", lambda: encode(picture, "TIFF"), "TIFF called .png")
    yield _bad("picture.jpg", lambda: encode(picture, "JPEG2000"), "JPEG 2000 called .jpg")
    yield _bad("picture.ico", lambda: encode(small, "ICO"), "an icon")


def _laden(picture: Image.Image, seed: int) -> Iterator[Picture]:
    """Pictures that carry more than their pixels."""
    jpeg = cache(lambda: encode(picture))

    def junk(size: int) -> bytes:
        return JUNK + random.Random(seed).randbytes(size)

    tail = b"PK\x03\x04" + random.Random(seed).randbytes(300) + TAIL
    profile, exif = b"ICC_PROFILE\0\x01\x01", b"Exif\0\0"
    yield _good("tail.jpg", lambda: jpeg() + tail, "a ZIP and a script behind it", secret=TAIL)
    yield _good(
        "junk-profile.jpg",
        lambda: with_segment(jpeg(), 0xE2, profile + junk(60_000)),
        "60 KB of junk for a colour profile",
        secret=JUNK,
    )
    yield _good(
        "junk-exif.jpg",
        lambda: with_segment(jpeg(), 0xE1, exif + junk(65_500)),
        "64 KB of junk for EXIF",
        secret=JUNK,
    )
    yield _good("located.jpg", lambda: located(picture), "the place in its EXIF", secret=PLACE)
    comment = chunk(b"tEXt", b"Comment\0" + JUNK)
    yield _good(
        "comment.png",
        lambda: _with_chunk(encode(picture, "PNG"), comment),
        "a comment",
        secret=JUNK,
    )


def _with_chunk(content: bytes, extra: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return content[:33] + extra + content[33:]


def heic() -> bytes:
    """Return a HEIC of 16×16 pixels."""
    return base64.b64decode(_HEIC)


def images(picture: Image.Image, seed: int = SEED) -> Iterator[Picture]:
    """Yield every item of this section, made of a picture."""
    yield from _truncated(picture)
    yield from _turned(picture)
    yield from _modes(picture)
    yield from _frames(picture)
    yield from _bombs()
    yield from _disguised(picture, seed)
    yield from _laden(picture, seed)
    if find_spec("pi_heif"):
        yield _good("photograph.heic", heic, "HEIC, whose reader is installed", None)
    else:
        yield _bad("photograph.heic", heic, "HEIC, whose reader is not installed")


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield accepted files with bytes flipped, cut out, doubled or filled."""
    rng = random.Random(seed)
    originals = [item.content() for item in images(scene(seed), seed) if item.accept]
    for _ in range(count):
        content = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 8)):
            at, length = rng.randrange(len(content)), rng.randint(1, 64)
            match rng.randrange(4):
                case 0:
                    content[at] ^= 1 << rng.randrange(8)
                case 1 if len(content) > 2 * length:
                    del content[at : at + length]
                case 2:
                    content[at:at] = content[at : at + length]
                case _:
                    filled = rng.choice((0x00, 0xFF))
                    content[at : at + 4] = bytes([filled]) * len(content[at : at + 4])
        yield bytes(content)
