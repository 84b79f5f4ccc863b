"""How odd and bad picture files are made."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIZE = (64, 48)
ORIENTATION = 0x0112
GPS = 0x8825
PLACE = b"LIKENESS-TEST-PLACE"
"""Stands in the GPS of `located`, to be searched for."""

# What a camera that is held so stores: the inverse of what EXIF asks for.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(seed: int = 0) -> Image.Image:
    """Return a small picture, RGB, that looks different whichever way it is turned."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 24, (height, width, 3))
    ramp = np.stack([x * 200 // width, y * 200 // height, (x + y) % 96], axis=-1)
    picture = Image.fromarray((ramp + noise).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((4, 4, 18, 18), fill=(230, 40, 40))
    return picture


@cache
def portrait() -> Image.Image:
    """Return a photograph of one person, 160×160, RGB: the astronaut of scikit-image's wheel."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photograph:
        return photograph.convert("RGB").crop((100, 0, 340, 240)).resize((160, 160))


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


def stored(picture: Image.Image, orientation: int) -> Image.Image:
    """Return an upright picture as a camera stores it that gives it this orientation."""
    turn = _STORED.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def located(picture: Image.Image) -> bytes:
    """Return a JPEG whose EXIF says where it was taken."""
    exif = Image.Exif()
    place = {1: "N", 2: (48.0, 31.0, 12.0), 3: "E", 4: (9.0, 3.0, 36.0), 0x1B: PLACE}
    exif.get_ifd(GPS).update(place)
    return encode(picture, exif=exif)


def plain_cmyk(picture: Image.Image) -> bytes:
    """Return a CMYK JPEG without Adobe's marker: 255 is full ink."""
    # The library stores the inverse; inverted twice it is as it was.
    inverted = ImageChops.invert(picture.convert("CMYK"))
    return without_segment(encode(inverted, quality=95, subsampling=0), 0xEE)


def hidden_colour(picture: Image.Image) -> Image.Image:
    """Return RGBA whose left quarter is fully transparent, and not white beneath."""
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, picture.width // 4, picture.height))
    return Image.merge("RGBA", (*picture.split(), alpha))


def palette(picture: Image.Image) -> bytes:
    """Return a palette PNG whose most frequent colour is transparent."""
    indexed = picture.quantize(32)
    counts = indexed.histogram()
    return encode(indexed, "PNG", transparency=counts.index(max(counts)))


def animated(picture: Image.Image, encoding: str) -> bytes:
    """Return three frames, each turned further."""
    turned = [picture.rotate(90), picture.rotate(180)]
    content = encode(picture, encoding, save_all=True, append_images=turned, duration=100)
    return _timeless(content) if encoding == "AVIF" else content


def _timeless(content: bytes) -> bytes:
    """Return an AVIF whose boxes do not say when it was made, so that it is the same each time."""
    changed = bytearray(content)
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        place = changed.find(box)
        while place >= 0:
            start = place + 8  # behind the name, the version and the flags
            length = 16 if changed[place + 4] == 1 else 8  # made and changed
            changed[start : start + length] = bytes(length)
            place = changed.find(box, start)
    return bytes(changed)


def deep(picture: Image.Image) -> Image.Image:
    """Return grey of 16 bit over the whole range."""
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def floats(picture: Image.Image, value: float) -> Image.Image:
    """Return grey in floating point with this value at one place."""
    grey = np.asarray(picture.convert("L")).astype(np.float32) / 255
    grey[3, 4] = value
    return Image.fromarray(grey)


def wrong_sum(picture: Image.Image) -> bytes:
    """Return a PNG the checksum of whose pixels is wrong."""
    content = bytearray(encode(picture, "PNG"))
    content[content.index(b"IDAT") - 4 + 8 + int.from_bytes(content[33:37], "big")] ^= 0xFF
    return bytes(content)


def text_bomb(size: int) -> bytes:
    """Return a small PNG with a comment of so many bytes once it is unpacked."""
    text = b"Comment\0\0" + zlib.compress(bytes(size), 9)
    return png(64, 48, chunk(b"zTXt", text), pixels=bytes(65 * 48))


def gif_bomb() -> bytes:
    """Return 35 bytes that say they are a GIF of 65535×65535 pixels."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"


def g4(side: int) -> bytes:
    """Return a black TIFF in fax compression: a thousandth of a byte a pixel."""
    return encode(Image.new("1", (side, side)), "TIFF", compression="group4")


def _sum(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


@cache
def _aligned() -> np.ndarray:
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photograph:
        return np.asarray(photograph.convert("RGB").crop((170, 60, 282, 172)))


def face_crop(number: int = 0) -> np.ndarray:
    """Return a good aligned face, (112, 112, 3) uint8; its brightness tells one from another."""
    return (_aligned() * (1 - number % 97 / 300)).astype(np.uint8)
