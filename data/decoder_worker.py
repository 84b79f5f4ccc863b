"""A process that decodes strangers' pictures, one after the other, and may be killed for it.

`decoder_sandbox` starts it and talks to its standard input and output: a header of fixed length,
then bytes, in both directions. Nothing is unpickled, no file is opened, and torch is not imported.
"""

import os
import signal
import struct
import sys
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from .decoding import TOO_MUCH_MEMORY, decode, decode_pixels
from .errors import ImageError
from .formats import FORMATS

REQUEST = struct.Struct("<?HIQ")
"""Whether all bits are wanted, a bit for each of `KINDS`, the most pixels, bytes of the file."""

REPLY = struct.Struct("<BIII")
"""Bytes of a value (0: refused), height, width, channels; refused: the message's bytes, 0, 0."""

WARNINGS = struct.Struct("<I")
"""Behind the pixels: bytes of what is odd about the picture, a line each."""

KINDS = tuple(sorted(FORMATS))
"""The formats in the order of their bits in a request."""


PATIENCE = 3
"""How much longer than its processor time a picture may take by the clock."""


def serve(memory: int, seconds: float) -> None:
    """Answer requests until there are no more.

    Args:
        memory: Bytes of address space that a picture may take, beyond what is taken now.
        seconds: Processor time that a picture may take before it ends this process.
    """
    requests, replies = _pipes()
    _limit(memory)
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        deep, kinds, max_pixels, length = REQUEST.unpack(header)
        content = requests.read(length)
        if len(content) < length:
            break
        _end_after(seconds)
        _answer(replies, content, deep, _formats(kinds), max_pixels)
        _end_after(0)


def kinds_of(formats: frozenset[str]) -> int:
    """Some of `KINDS` as bits."""
    return sum(1 << place for place, name in enumerate(KINDS) if name in formats)


def _formats(kinds: int) -> frozenset[str]:
    return frozenset(name for place, name in enumerate(KINDS) if kinds >> place & 1)


def _answer(
    replies: BinaryIO, content: bytes, deep: bool, formats: frozenset[str], max_pixels: int
) -> None:
    warnings: list[str] = []
    try:
        if deep:
            pixels = decode_pixels(
                content, formats=formats, max_pixels=max_pixels, warn=warnings.append
            )
            layers = [pixels.colours] if pixels.alpha is None else [pixels.colours, pixels.alpha]
        else:
            image = decode(content, formats=formats, max_pixels=max_pixels, warn=warnings.append)
            layers = [np.asarray(image)]
    except (ImageError, MemoryError) as error:
        reason = str(error) if isinstance(error, ImageError) else TOO_MUCH_MEMORY
        message = reason.encode("utf-8", "replace")
        replies.write(REPLY.pack(0, len(message), 0, 0) + message)
    else:
        height, width, _ = layers[0].shape
        channels = 3 if len(layers) == 1 else 4
        replies.write(REPLY.pack(layers[0].dtype.itemsize, height, width, channels))
        for layer in layers:
            replies.write(np.ascontiguousarray(layer).data)
        message = "\n".join(warnings).encode()
        replies.write(WARNINGS.pack(len(message)) + message)
    replies.flush()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two ends of the conversation; what a library prints goes to standard error instead."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, replies


def _limit(memory: int) -> None:
    """Bound the memory, and forbid to write files: neither pictures nor a dump of their pixels."""
    try:
        import resource
    except ImportError:  # Windows
        return
    import psutil

    most = psutil.Process().memory_info().vms + memory
    limits = {resource.RLIMIT_AS: most, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    for kind, value in limits.items():
        with suppress(OSError, ValueError):  # macOS takes no limit of the address space
            resource.setrlimit(kind, (value, value))


def _end_after(seconds: float) -> None:
    """Let the system end this process after so long, whatever it is doing then; 0: never.

    Processor time tells a picture that was made to take long from a machine that is busy. The
    clock is for a decoder that waits, should whoever asked be gone.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)
