"""What of Streamlit runs in the browser, handed out from memory and asked for at once.

A first visit fetches a hundred small files. Each of them costs several changes of thread where it
is read from the disk, and those of a page's elements are asked for only when the page has been
described: by then the server is busy. So the files stay in memory once they were read, and the page
of HTML names those that every page of ours needs, which a browser then fetches with the others.

Until they are there, a browser has nothing to show but what the page of HTML itself says: the sign
and the title of the page that is asked for, at the places where they will stay.
"""

import asyncio
import json
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from .gate import Application, Message, Receive, Scope, Send
from .language import say
from .navigation import title_of

ELEMENTS = (
    "Html",
    "BidiComponent",
    "TextInput",
    "FileUploader",
    "ButtonGroup",
    "Checkbox",
    "Button",
)
"""The elements that pages are made of, by the names of their scripts."""

_STATIC = "/static/"
_EMPTY = b'<div id="root"></div>'
"""Where the page will be; whatever is there before is replaced by it."""
_LASTING = b"public, immutable, max-age=31536000"  # a file's name has a digest of its content


class Frontend:
    """An ASGI application around the page's, inside the gate.

    Args:
        application: The page.
        base: The path below which it lies.
        folder: Where Streamlit keeps what runs in the browser.
        ready: Waits until what every session needs is loaded; none begins before.
        shown_first: The HTML that is shown until the page itself is there, by its path.
    """

    def __init__(
        self,
        application: Application,
        base: str,
        folder: Path,
        ready: Callable[[], object] = lambda: None,
        shown_first: Callable[[str], str] = lambda path: "",
    ) -> None:
        self._application = application
        self._base = base
        self._ready = ready
        self._shown_first = shown_first
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in (folder / _STATIC.strip("/")).rglob("*")
            if path.is_file()
        }
        self._read: dict[str, bytes] = {}
        self._early = preloads(folder, ELEMENTS).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory what never changes, and let the page answer the rest."""
        if scope["type"] == "websocket":
            # A thread that imports holds what others import: they would break each other.
            await asyncio.to_thread(self._ready)
            await self._application(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            name = scope["path"].removeprefix(self._base).removeprefix("/")
            if name in self._files:
                await self._hand_out(name, scope["method"] == "HEAD", send)
            else:
                asks = scope["method"] == "GET"
                sending = self._with_more(name, send) if asks else send
                await self._application(_unpacked(scope), receive, sending)
        else:
            await self._application(scope, receive, send)

    async def _hand_out(self, name: str, head: bool, send: Send) -> None:
        """One file, whole: browsers ask for no part of a script."""
        content = self._read.get(name)
        if content is None:
            content = self._read[name] = self._files[name].read_bytes()
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        start: Message = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", kind.encode("ascii")),
                (b"content-length", str(len(content)).encode("ascii")),
                (b"cache-control", _LASTING),
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": b"" if head else content})

    def _with_more(self, path: str, send: Send) -> Send:
        """What sends an answer; a page of HTML with what it lacks, and so once it is whole."""
        held: Message = {}
        content = b""

        async def sending(message: Message) -> None:
            nonlocal held, content
            if message["type"] == "http.response.start":
                headers = {key.lower(): value for key, value in message.get("headers", [])}
                is_page = headers.get(b"content-type", b"").startswith(b"text/html")
                if message["status"] == 200 and is_page and b"content-encoding" not in headers:
                    held = message
                    return
            elif message["type"] == "http.response.body" and held:
                content += message.get("body", b"")
                if message.get("more_body", False):
                    return
                whole = self._completed(path, content)
                length = (b"content-length", str(len(whole)).encode("ascii"))
                others = [one for one in held["headers"] if one[0].lower() != length[0]]
                await send({**held, "headers": [*others, length]})
                message, held = {"type": "http.response.body", "body": whole}, {}
            await send(message)

        return sending

    def _completed(self, path: str, page: bytes) -> bytes:
        """A page of HTML that names scripts early, and has something to show before they run."""
        begin, end, rest = page.partition(b"</head>")
        named = begin + self._early + end + rest
        return named.replace(_EMPTY, _EMPTY[:-6] + self._shown_first(path).encode() + _EMPTY[-6:])


def _unpacked(scope: Scope) -> Scope:
    """A request for a page of HTML asks for it as it is: nothing can be put into a packed one."""
    if (b"sec-fetch-dest", b"document") not in scope["headers"]:
        return scope
    headers = [one for one in scope["headers"] if one[0] != b"accept-encoding"]
    return {**scope, "headers": headers}


def first_paint(theme: Mapping[str, object], path: str) -> str:
    """The HTML that a browser shows while it fetches the page's scripts.

    Args:
        theme: Streamlit's options of the page's looks, by their names.
        path: The page, below the application's own path.
    """
    static = Path(__file__).parent / "static"
    shown = (static / "first_paint.html").read_text(encoding="utf-8")
    parts = {
        "LIGHT_GROUND": theme.get("theme.light.backgroundColor", "#fff"),
        "LIGHT_LETTERS": theme.get("theme.light.textColor", "#000"),
        "DARK_GROUND": theme.get("theme.dark.backgroundColor", "#000"),
        "DARK_LETTERS": theme.get("theme.dark.textColor", "#fff"),
        "WORDMARK": (static / "wordmark.svg").read_text(encoding="utf-8"),
        "TITLE": escape(title_of(path)),
        "LOADING": escape(say("Loading…")),
    }
    for name, value in parts.items():
        shown = shown.replace(name, str(value))
    return shown


def preloads(folder: Path, elements: Iterable[str]) -> str:
    """The lines of HTML by which a browser fetches the scripts of some elements early.

    Args:
        folder: Where Streamlit keeps what runs in the browser, with a list of what imports what.
        elements: Their names.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        wanted = list(dict.fromkeys(_scripts(manifest, elements)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # another release of Streamlit: the page then only comes later
    return "".join(f'<link rel="modulepreload" crossorigin href="./{name}">' for name in wanted)


def _scripts(manifest: Any, elements: Iterable[str]) -> Iterator[str]:
    """The files of some elements, and of all that they import and the page itself does not."""
    (entry,) = (key for key, one in manifest.items() if one.get("isEntry"))
    known = set(_with_imports(manifest, [entry]))
    chosen = set(elements)
    begin = [key for key, one in manifest.items() if one.get("name") in chosen]
    for key in _with_imports(manifest, begin):
        if key not in known:
            yield manifest[key]["file"]


def _with_imports(manifest: Any, keys: Iterable[str]) -> Iterator[str]:
    waiting, seen = list(keys), set()
    while waiting:
        key = waiting.pop(0)
        if key not in seen:
            seen.add(key)
            yield key
            waiting += manifest[key].get("imports", [])
