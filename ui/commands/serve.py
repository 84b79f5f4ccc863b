"""`app`: serve the page on this machine."""

import importlib.util
import os
import socket
import sys
from typing import Annotated

import typer

from data.distribution import install_command
from data.errors import AppError

from .. import output
from ..options import Settings, command

app = typer.Typer()

ADDRESS = "127.0.0.1"
"""The only address that the page is served on: there is no sign-in yet."""


@command(app, "app", example="likeness app --port 8600")
def serve(
    settings: Settings,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Where the page listens.")
    ] = 8501,
) -> int:
    """Serve the page to this machine's browser until Ctrl-C."""
    serving = page_command(port)
    _check_free(port)
    output.print_line(f"http://{ADDRESS}:{port}")
    sys.stdout.flush()
    # The server takes this process's place, so that whoever stops it reaches the server itself.
    os.execve(serving[0], serving, _environment(settings))


def page_command(port: int) -> list[str]:
    """The command that serves the page, with the settings that keep it safe from anywhere."""
    page = importlib.util.find_spec("app")
    if page is None or page.origin is None:
        raise AppError(f"the page is not installed: {install_command()}")
    options = {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": "true",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.maxUploadSize": 50,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    # Without the list of hosts, a stranger's page could reach this one by a name that it has
    # pointed at this machine (DNS rebinding).
    hosts = [f"--server.allowedHosts={host}" for host in (ADDRESS, "localhost")]
    # -P: what lies in the folder that this was started in is none of this application.
    return [sys.executable, "-P", "-m", "streamlit", "run", page.origin, *flags, *hosts]


def _check_free(port: int) -> None:
    """Refuse a port that another program listens on, before Streamlit says so at length."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise AppError(
                f"port {port} cannot be used ({error.strerror}): choose another with --port"
            ) from error


def _environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with the settings that the page reads from it."""
    given = {
        "LIKENESS_HOME": settings.home,
        "LIKENESS_GALLERY": settings.gallery,
        "LIKENESS_MODEL": settings.model,
        "LIKENESS_WEIGHTS_FILE": settings.weights,
        "LIKENESS_DEVICE": settings.device,
    }
    return os.environ | {name: str(value) for name, value in given.items() if value is not None}
