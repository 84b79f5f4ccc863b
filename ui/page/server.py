"""The page's server: Streamlit's application behind the gate, told everything and told by nobody.

Nothing in the folder that it is started in, and no variable of Streamlit's, configures it: it works
in a folder of its own, sets every option that a settings file may have, and reads no secrets file.
"""

import errno
import importlib
import importlib.util
import os
import signal
import socket
import sys
import tomllib
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from data.distribution import install_command
from data.errors import AppError
from data.files import data_home, private_folder, write_atomic
from ui.settings import Settings

from ..audience import BEHIND
from ..cli import output
from .connections import HttpConnection, SocketConnection, Waiting
from .frontend import Frontend, first_paint
from .gate import Access, Gate, policy
from .language import catalogue, chosen, say
from .limits import Limits
from .preloading import Loading, first_page

if TYPE_CHECKING:
    from streamlit.starlette import App

ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
"""The only addresses that the page is served on; a proxy beside it may serve others."""

LOCK_AFTER = "LIKENESS_LOCK_AFTER"
"""What tells the page after how many minutes without a visitor an encrypted gallery is locked."""

_guarded = False
"""Whether the page of this process is behind the gate."""

_FOLDER, _DOOR = "page", "open.html"
_UPLOAD = 50  # MB of a picture
_MESSAGE, _WIDGETS = 100, 5  # MB from the server, and to it
_SECONDS_TO_END = 5
_MOST_AT_THE_DOOR = 64  # connections that are accepted at once
_MOST_FILES = 4096  # that are open at once
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def serve(settings: Settings, port: int, access: Access, *, lock_after: int, opens: bool) -> None:
    """Serve the page until Ctrl-C, and say by which address it is reached.

    Args:
        settings: What the page works with.
        port: Where it listens.
        access: Who may use it.
        lock_after: Minutes without a visitor after which an encrypted gallery is locked; 0: never.
        opens: Whether the user's browser is opened.

    Raises:
        AppError: The port cannot be used, or the page is not installed.
    """
    catalogue(chosen())  # a language that there is not is refused before anything is done
    script = _script()
    told = _environment(settings, access, lock_after)
    listening = _listen(port)
    folder = private_folder(data_home(settings.home) / _FOLDER)
    _settle(folder, told)
    waiting = Waiting()
    application = _application(script, access, port, waiting)
    with ExitStack() as held:
        for each in listening:
            held.enter_context(each)
        held.enter_context(_opened(folder, access.address, opens))
        output.print_line(access.address)
        sys.stdout.flush()
        if access.token is not None:
            output.print_note("whoever has this address can use the page: keep it to yourself")
            if sys.platform == "darwin":
                output.print_note("if Safari does not find it: Firefox, Chrome and Edge do")
        _run(application, listening, waiting)


def require_gate() -> None:
    """For the page: stop where another server than this one shows it, which nothing guards."""
    import streamlit as st
    from streamlit.runtime import Runtime, get_instance

    if not _guarded and type(get_instance()) is Runtime:
        st.error(say("Start this page by `likeness app`: nothing guards it here."))
        st.stop()


def is_served() -> bool:
    """Whether this process is the page's server."""
    return _guarded


def options(script: Path, access: Access, port: int) -> dict[str, Any]:
    """Every option of Streamlit's: those that keep the page safe, its theme, and all defaults."""
    from streamlit import config

    usual = {name: option.default_val for name, option in config._config_options_template.items()}
    host = urlsplit(access.origin).hostname or ""
    safe: dict[str, Any] = {
        "server.address": ADDRESSES[socket.AF_INET],
        "server.port": port,
        "server.baseUrlPath": access.base.strip("/"),
        "server.headless": True,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.xsrfCookieSameSite": "strict",
        "server.allowedHosts": [host],
        "server.corsAllowedOrigins": [],
        "server.maxUploadSize": _UPLOAD,
        "server.maxMessageSize": _MESSAGE,
        "server.maxWidgetStateSize": _WIDGETS,
        "server.fileWatcherType": "none",
        "server.allowRunOnSave": False,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": host,
        "browser.serverPort": port,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.toolbarMode": "minimal",
        "client.allowedOrigins": [],
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "logger.level": "error",
        "logger.enableRich": False,  # which prints to standard output, as if it were our address
        "runner.magicEnabled": False,
        "secrets.files": [],
    }
    return usual | _theme(script) | safe


def _script() -> Path:
    """The page's router, installed beside this package."""
    page = importlib.util.find_spec("app")
    if page is None or page.origin is None:
        raise AppError(f"the page is not installed: {install_command()}")
    return Path(page.origin).resolve()


def _theme(script: Path) -> dict[str, Any]:
    """What the page's own settings file says of its looks."""
    path = script.parent / ".streamlit" / "config.toml"
    if not path.is_file():
        return {}
    theme = tomllib.loads(path.read_text(encoding="utf-8")).get("theme", {})
    return dict(_flat("theme", theme))


def _flat(name: str, section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(f"{name}.{key}", value)
        else:
            yield f"{name}.{key}", value


def _environment(settings: Settings, access: Access, lock_after: int) -> dict[str, str]:
    """What the page reads of its environment; paths do not depend on the folder any more."""
    weights = settings.weights or os.environ.get("LIKENESS_WEIGHTS_FILE")
    gallery = settings.gallery or os.environ.get("LIKENESS_GALLERY")
    given = {
        "LIKENESS_HOME": data_home(settings.home),
        "LIKENESS_GALLERY": _in_place(gallery),
        "LIKENESS_INDEX": settings.index or os.environ.get("LIKENESS_INDEX"),
        "LIKENESS_MODEL": settings.model,
        "LIKENESS_WEIGHTS_FILE": _in_place(weights),
        "LIKENESS_WEIGHTS": _in_place(os.environ.get("LIKENESS_WEIGHTS")),
        "LIKENESS_KEY_FILE": _in_place(os.environ.get("LIKENESS_KEY_FILE")),
        "LIKENESS_DEVICE": settings.device,
        LOCK_AFTER: lock_after,
        BEHIND: access.origin if access.token is None else None,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def _in_place(path: str | Path | None) -> str | None:
    """A path as it is from everywhere; an address of a server stays as it is."""
    if not path or "://" in str(path):
        return None if not path else str(path)
    return str(Path(path).expanduser().absolute())


def _settle(folder: Path, told: Mapping[str, str]) -> None:
    """Move to a folder where nobody has left anything, and forget what may steer Streamlit."""
    os.chdir(folder)
    # What was relative meant the folder that this was started in.
    sys.path[:] = [place for place in sys.path if os.path.isabs(place)]  # noqa: PTH117
    for name in list(os.environ):
        if name.startswith("STREAMLIT_") or name == BEHIND:
            del os.environ[name]
    os.environ.update(told)


def _listen(port: int) -> list[socket.socket]:
    """Sockets at every address that a browser may try for a name of this machine.

    It may try either for one that ends in `.localhost`. Whoever listened at the other would be told
    the secret of the printed address.

    Raises:
        AppError: Another program listens at one of them.
    """
    listening: list[socket.socket] = []
    for family, address in ADDRESSES.items():
        try:
            bound = _bound(family, address, port)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in _NO_SUCH_ADDRESS:
                continue
            for other in listening:
                other.close()
            raise AppError(
                f"port {port} cannot be used ({error.strerror}): choose another with --port"
            ) from error
        listening.append(bound)
    return listening


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listening = socket.socket(family)
    try:
        if sys.platform == "win32":  # where the other option would let anybody listen here, too
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen(_MOST_AT_THE_DOOR)
    except OSError:
        listening.close()
        raise
    return listening


def _application(script: Path, access: Access, port: int, waiting: Waiting) -> Gate:
    """Streamlit's application behind the gate."""
    from streamlit import file_util
    from streamlit.starlette import App
    from streamlit.web import bootstrap

    bootstrap.load_config_options(options(script, access, port))
    application = App(script)
    folder = Path(file_util.get_static_dir())
    index = (folder / "index.html").read_text(encoding="utf-8")
    importlib.import_module("uvicorn")
    # Only now, for two threads that import the same would break each other; every page needs it,
    # and while it is imported the browser fetches what it needs.
    first = Loading(first_page)
    frontend = Frontend(
        application, access.base, folder, first.result, partial(first_paint, _theme(script))
    )
    limited = Limits(frontend, access.base, lambda: _held(application), waiting.let_in)
    global _guarded
    _guarded = True
    return Gate(limited, access, policy(access.origin, index))


def _held(application: "App") -> dict[str, int]:
    """How many bytes of uploads each session holds."""
    runtime = application._runtime
    if runtime is None:
        return {}
    files = getattr(runtime.uploaded_file_mgr, "file_storage", {})
    return {
        session: sum(len(file.data) for file in list(held.values()))
        for session, held in list(files.items())
    }


@contextmanager
def _opened(folder: Path, address: str, opens: bool) -> Iterator[None]:
    """Let the user's browser open the page, by a file: a command line can be read by everybody."""
    if not opens:
        yield
        return
    door = folder / _DOOR
    page = f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={escape(address)}">'
    write_atomic(door, page.encode())
    try:
        # It is asked for once the server listens, which it does already.
        webbrowser.open(door.as_uri())
        yield
    finally:
        door.unlink(missing_ok=True)


def _allow_files() -> None:
    """Let this process have as many files open as there may be connections, and then some."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _run(application: Gate, listening: list[socket.socket], waiting: Waiting) -> None:
    """Serve until Ctrl-C or SIGTERM, either of which is the proper end."""
    import uvicorn

    _allow_files()
    # uvicorn hands the signal on once it has ended, which must not end this process half-way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            access_log=False,
            log_level="error",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            http=cast(Any, partial(HttpConnection, waiting)),
            ws=SocketConnection,
            ws_max_size=_WIDGETS * 1_000_000,
            ws_per_message_deflate=False,
            backlog=_MOST_AT_THE_DOOR,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
    )
    with suppress(KeyboardInterrupt):
        server.run(sockets=listening)
