"""Bad and odd pictures, made from a seed: what a stranger may hand in, and whether it is accepted.

`python tests/corpus.py FOLDER` writes them all into a folder, to be tried on anything.
"""

import base64
import io
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIZE = (64, 48)
ORIENTATION = 0x0112
GPS = 0x8825

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


class Item(NamedTuple):
    """One file: what it is called, its bytes, and whether it is to be accepted."""

    name: str
    content: bytes
    accept: bool


def scene(seed: int = 0) -> Image.Image:
    """Return a small picture, RGB, that looks different whichever way it is turned."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 24, (height, width, 3))
    ramp = np.stack([x * 200 // width, y * 200 // height, (x + y) % 96], axis=-1)
    picture = Image.fromarray((ramp + noise).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((4, 4, 18, 18), fill=(230, 40, 40))
    return picture


def encode(picture: Image.Image, encoding: str = "JPEG", **options: object) -> bytes:
    """Return a picture as a file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, encoding, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG with its right checksum."""
    return struct.pack(">I", len(content)) + kind + content + _sum(kind + content)


def png(width: int, height: int, *between: bytes, pixels: bytes = b"") -> bytes:
    """Return a grey PNG whose header says this size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), *between, data, chunk(b"IEND", b""))
    )


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with one more segment right after its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """Return a JPEG without the segments of this marker."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:  # up to the start of the scan
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        kept += b"" if jpeg[at + 1] == marker else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def oriented(picture: Image.Image, orientation: int) -> bytes:
    """Return a JPEG whose EXIF carries this orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(picture, exif=exif, quality=95, subsampling=0)


def located(picture: Image.Image) -> bytes:
    """Return a JPEG whose EXIF says where it was taken."""
    exif = Image.Exif()
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 31.0, 12.0), 3: "E", 4: (9.0, 3.0, 36.0)})
    return encode(picture, exif=exif)


def plain_cmyk(picture: Image.Image) -> bytes:
    """Return a CMYK JPEG without Adobe's marker: 255 is full ink."""
    # The library stores the inverse; inverted twice it is as it was.
    inverted = ImageChops.invert(picture.convert("CMYK"))
    return without_segment(encode(inverted, quality=95, subsampling=0), 0xEE)


def hidden_colour(picture: Image.Image) -> Image.Image:
    """Return RGBA whose left half is fully transparent, and not white beneath."""
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, picture.width // 2, picture.height))
    return Image.merge("RGBA", (*picture.split(), alpha))


def palette(picture: Image.Image) -> bytes:
    """Return a palette PNG whose most frequent colour is transparent."""
    indexed = picture.quantize(32)
    counts = indexed.histogram()
    return encode(indexed, "PNG", transparency=counts.index(max(counts)))


def animated(picture: Image.Image, encoding: str) -> bytes:
    """Return three frames, each turned further."""
    turned = [picture.rotate(90), picture.rotate(180)]
    return encode(picture, encoding, save_all=True, append_images=turned, duration=100)


def _sum(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def _deep(picture: Image.Image) -> Image.Image:
    """Return grey of 16 bit over the whole range."""
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    return Image.fromarray(grey)


def _floats(value: float) -> Image.Image:
    grey = np.full((48, 64), 0.5, np.float32)
    grey[3, 4] = value
    return Image.fromarray(grey)


def _text_bomb() -> bytes:
    text = b"Comment\0\0" + zlib.compress(bytes(60_000_000), 9)
    return png(64, 48, chunk(b"zTXt", text), pixels=bytes(65 * 48))


def _wrong_sum(picture: Image.Image) -> bytes:
    content = bytearray(encode(picture, "PNG"))
    content[content.index(b"IDAT") - 4 + 8 + int.from_bytes(content[33:37], "big")] ^= 0xFF
    return bytes(content)


def _gif_bomb() -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"


def _g4(side: int) -> bytes:
    return encode(Image.new("1", (side, side)), "TIFF", compression="group4")


def _cut(content: bytes, percent: int) -> bytes:
    return content[: len(content) * percent // 100]


def _truncated(picture: Image.Image) -> Iterator[Item]:
    for percent in range(0, 100, 10):
        yield Item(f"truncated-{percent}.jpg", _cut(encode(picture), percent), False)
        progressive = encode(picture, progressive=True)
        yield Item(f"progressive-truncated-{percent}.jpg", _cut(progressive, percent), False)
    for percent in (10, 50, 90):
        yield Item(f"truncated-{percent}.png", _cut(encode(picture, "PNG"), percent), False)


def _modes(picture: Image.Image) -> Iterator[Item]:
    cmyk = picture.convert("CMYK")
    yield Item("cmyk.jpg", plain_cmyk(picture), True)
    yield Item("cmyk-adobe-inverted.jpg", encode(cmyk, quality=95, subsampling=0), True)
    yield Item("cmyk.tif", encode(cmyk, "TIFF"), True)
    yield Item("grey.jpg", encode(picture.convert("L")), True)
    yield Item("one-bit.png", encode(picture.convert("1"), "PNG"), True)
    yield Item("grey-alpha.png", encode(hidden_colour(picture).convert("LA"), "PNG"), True)
    yield Item("hidden-colour.png", encode(hidden_colour(picture), "PNG"), True)
    yield Item("palette-transparent.png", palette(picture), True)
    yield Item("deep.png", encode(_deep(picture), "PNG"), True)
    yield Item("deep.pgm", encode(_deep(picture), "PPM"), True)
    yield Item("float.tif", encode(_floats(0.25), "TIFF"), True)
    yield Item("float-nan.tif", encode(_floats(float("nan")), "TIFF"), False)
    yield Item("progressive.jpg", encode(picture, progressive=True), True)
    yield Item("quality-1.jpg", encode(picture, quality=1), True)
    yield Item("plain.webp", encode(picture, "WEBP"), True)
    yield Item("plain.bmp", encode(picture, "BMP"), True)
    yield Item("plain.ppm", encode(picture, "PPM"), True)
    yield Item("still.gif", encode(picture, "GIF"), True)


def _frames(picture: Image.Image) -> Iterator[Item]:
    yield Item("animated.gif", animated(picture, "GIF"), False)
    yield Item("animated.webp", animated(picture, "WEBP"), True)
    yield Item("animated.png", animated(picture, "PNG"), True)
    yield Item("several.mpo", animated(picture, "MPO"), True)
    yield Item("pages.tif", animated(picture, "TIFF"), True)


def _bombs() -> Iterator[Item]:
    yield Item("1x1.png", png(1, 1, pixels=bytes(2)), False)
    yield Item("30000x1.png", png(30000, 1, pixels=bytes(30001)), False)
    yield Item("1x30000.png", png(1, 30000, pixels=bytes(60000)), False)
    for side in (9000, 12000, 20000):
        yield Item(f"{side}x{side}.png", png(side, side, pixels=bytes(1_000_000)), False)
    yield Item("largest-header.png", png(2**31 - 1, 2**31 - 1, pixels=bytes(9)), False)
    yield Item("text-bomb.png", _text_bomb(), False)
    yield Item("bomb.gif", _gif_bomb(), False)
    yield Item("bomb.tif", _g4(13000), False)


def _strange(picture: Image.Image, rng: random.Random) -> Iterator[Item]:
    jpeg = encode(picture)
    yield Item("wrong-sum.png", _wrong_sum(picture), False)
    yield Item("empty.jpg", b"", False)
    yield Item("nul.jpg", bytes(4096), False)
    yield Item("random.jpg", rng.randbytes(4096), False)
    yield Item("page.jpg", b"<!DOCTYPE html><html><body>not found</body></html>", False)
    yield Item("script.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', False)
    yield Item("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", False)
    yield Item("tiff.png", encode(picture, "TIFF"), False)
    yield Item("tail.jpg", jpeg + b"PK\x03\x04" + rng.randbytes(300) + b"<script>1</script>", True)
    profile = b"ICC_PROFILE\0\x01\x01" + rng.randbytes(60_000)
    yield Item("junk-profile.jpg", with_segment(jpeg, 0xE2, profile), True)
    yield Item("junk-exif.jpg", with_segment(jpeg, 0xE1, b"Exif\0\0" + rng.randbytes(65_500)), True)
    yield Item("located.jpg", located(picture), True)
    yield Item("picture.jp2", encode(picture, "JPEG2000"), False)
    yield Item("picture.ico", encode(picture.resize((32, 32)), "ICO"), False)


def heic() -> bytes:
    """Return a HEIC of 16×16 pixels; accepted only where its reader is installed."""
    return base64.b64decode(_HEIC)


def corpus(seed: int = 0) -> Iterator[Item]:
    """Yield every item but the HEIC, whose verdict depends on what is installed."""
    picture = scene(seed)
    yield from _truncated(picture)
    for orientation in range(1, 10):
        name = f"orientation-{orientation}.jpg"
        yield Item(name, oriented(picture, orientation), True)
    yield from _modes(picture)
    yield from _frames(picture)
    yield from _bombs()
    yield from _strange(picture, random.Random(seed))


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield accepted files with bytes flipped, cut out, doubled or filled."""
    rng = random.Random(seed)
    originals = [item.content for item in corpus(seed) if item.accept]
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


def main(folder: Path) -> None:
    """Write every item into a folder, and say which are to be accepted."""
    folder.mkdir(parents=True, exist_ok=True)
    for item in corpus():
        (folder / item.name).write_bytes(item.content)
        print("accept" if item.accept else "refuse", item.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
