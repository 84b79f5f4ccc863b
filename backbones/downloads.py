"""Fetching a publisher's file of weights: resumed where it broke off, checked before it is opened.

What has come so far lies in `<file>.part` beside the file that it will be, and what the server
calls this version of it in `<file>.etag`. Only a checked file gets its name.
"""

import os
import re
import sys
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

import torch
from torch import Tensor

from data.errors import WeightsError
from data.files import printable, sha256_of
from data.progress import Progress

from .spec import WeightsSource

if sys.platform != "win32":
    import fcntl

_PIECE = 1 << 18
_TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""


class _BrokenConnectionError(Exception):
    """No more bytes came; what is missing can be asked for again."""


def fetch(source: WeightsSource, folder: Path, progress: Progress | None = None) -> Path:
    """Get a publisher's file and make sure that it is the one meant.

    A connection that breaks is taken up again where it broke: at once while bytes keep coming, and
    otherwise by the next call. A file that somebody has put there by hand is checked all the same.

    Args:
        source: What to fetch.
        folder: Where to; it exists.
        progress: Called after each piece.

    Returns:
        `folder` and the file's own name, checked.

    Raises:
        WeightsError: The server cannot be reached, breaks off, or answers with something else; the
            bytes are not those meant (they are removed); another process is fetching the file; or
            the disk does not take it.
    """
    target = folder / PurePosixPath(urlsplit(source.url).path).name
    try:
        if not target.is_file():
            part = Path(f"{target}.part")
            with _open_locked(part) as file:
                download = _Download(source, file, Path(f"{target}.etag"), progress)
                while not download.take_up():
                    pass
            download.etag.unlink(missing_ok=True)
            part.replace(target)
        digest = sha256_of(target)
    except OSError as error:
        raise WeightsError(
            f"cannot write {printable(target)}: {error.strerror}; make room, or name another --home"
        ) from error
    if not digest.startswith(source.sha256):
        target.unlink()
        raise WeightsError(
            f"what {source.url} gave has the sha256 {digest}, expected {source.sha256}; it was "
            "removed: try again, or from another network"
        )
    return target


def read_published(path: Path) -> dict[str, Tensor]:
    """Open a PyTorch file that `fetch` has checked; nothing in it but tensors is let through.

    Args:
        path: The file.

    Returns:
        Its tensors by the publisher's names, on the CPU.

    Raises:
        WeightsError: It holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is not one may set off
        raise WeightsError(f"{printable(path)} is no PyTorch file of plain tensors") from error
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise WeightsError(f"{printable(path)} is no table of tensors")
    return state


def _open_locked(part: Path) -> BinaryIO:
    """Open a file for reading and writing, at its end, and keep other processes out of it."""
    file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise WeightsError(
                f"{printable(part)} is being fetched by another process; wait until it is done"
            ) from None
    file.seek(0, os.SEEK_END)
    return file


@dataclass(frozen=True, slots=True)
class _Download:
    """One file on its way.

    Attributes:
        source: What is fetched.
        file: What has come so far; stands at its end.
        etag: A file that holds what the server calls the version that was begun.
        progress: Called after each piece.
    """

    source: WeightsSource
    file: BinaryIO
    etag: Path
    progress: Progress | None

    def take_up(self) -> bool:
        """Ask for what is missing and append it; False where it broke off after some bytes."""
        before = self.file.tell()
        try:
            with closing(self._ask(before)) as response:
                total = self._accept(response)
                self._append(response, total)
        except _BrokenConnectionError as error:
            if self.file.tell() > before:
                return False
            raise WeightsError(
                f"cannot fetch {self.source.url}: {error}; try again, or fetch it by other means, "
                f"put it into {printable(self.etag.parent)} and run the same command"
            ) from error
        return True

    def _ask(self, start: int) -> HTTPResponse:
        """Send the request; with a beginning at hand, only for what follows it."""
        request = urllib.request.Request(self.source.url, headers={"User-Agent": "likeness"})
        if start:
            request.add_header("Range", f"bytes={start}-")
            if self.etag.is_file():  # then the whole file, should it be another one by now
                request.add_header("If-Range", self.etag.read_text(encoding="latin-1"))
        try:
            response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._forget()  # more is there than the server has
                return self._ask(0)
            raise _BrokenConnectionError(f"the server answered {error.code}") from error
        except urllib.error.URLError as error:
            raise _BrokenConnectionError(printable(str(error.reason))) from error
        except (OSError, HTTPException) as error:
            raise _BrokenConnectionError(printable(str(error))) from error
        return response

    def _accept(self, response: HTTPResponse) -> int:
        """Make sure that the answer is a piece of the file; returns the whole file's length."""
        if response.headers.get_content_type() == "text/html":
            raise WeightsError(
                f"{self.source.url} gave a web page instead of weights; "
                "a sign-in or a filter may stand between: try from another network"
            )
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            given = response.headers.get("Content-Range", "")
            found = re.fullmatch(rf"bytes {self.file.tell()}-\d+/(\d+)", given)
        else:
            self._forget()
            found = re.fullmatch(r"(\d+)", response.headers.get("Content-Length", ""))
        total = int(found[1]) if found else 0
        if abs(total - self.source.size) > self.source.size // 1000:
            raise WeightsError(
                f"{self.source.url} gave {total:,} bytes, expected {self.source.size:,}; "
                "try again later, or from another network"
            )
        tag = response.headers.get("ETag", "")
        if re.fullmatch(r'"[!#-~]*"', tag):  # a weak one, W/"…", does not mean the same bytes
            self.etag.write_text(tag, encoding="latin-1")
        return total

    def _append(self, response: HTTPResponse, total: int) -> None:
        done = self.file.tell()
        while done < total:
            if self.progress:
                self.progress(done, total)
            try:
                piece = response.read(min(_PIECE, total - done))
            except (OSError, HTTPException) as error:
                raise _BrokenConnectionError(printable(str(error))) from error
            if not piece:
                raise _BrokenConnectionError("the connection was cut off")
            self.file.write(piece)
            done += len(piece)
        if self.progress:
            self.progress(done, total)

    def _forget(self) -> None:
        """Begin anew."""
        self.file.seek(0)
        self.file.truncate()
        self.etag.unlink(missing_ok=True)
