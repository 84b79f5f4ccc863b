"""`app`: serve the page on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from data.errors import ArgumentError
from ui.settings import Settings

from ..options import command

app = typer.Typer()


@command(app, "app", example="likeness app --port 8600")
def serve(
    settings: Settings,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Where the page listens.")
    ] = 8501,
    opens: Annotated[
        bool, typer.Option("--open", help="Open the page in this machine's browser, too.")
    ] = False,
    lock_after: Annotated[
        int,
        typer.Option(
            "--lock-after",
            metavar="MINUTES",
            min=0,
            max=1440,
            help="Lock an encrypted gallery after so long without a visitor; 0: never.",
        ),
    ] = 15,
    behind: Annotated[
        str | None,
        typer.Option(
            "--behind",
            metavar="URL",
            help="Where a proxy that signs people in shows the page, as https://faces.example.org.",
        ),
    ] = None,
    proxy_key: Annotated[
        Path | None,
        typer.Option(
            "--proxy-key-file",
            metavar="FILE",
            help="File of one line: what that proxy sends as X-Likeness-Proxy-Key.",
        ),
    ] = None,
) -> int:
    """Serve the page to this machine's browser until Ctrl-C.

    It prints the address to open, whose name and secret are others at each start: no other account
    of this machine, and no other page in the browser, gets in without them. Nothing of the folder
    that it is started in is read.
    """
    from recognition.secrets import open_to_others, secret_in_file

    from ...page.gate import Access
    from ...page.server import serve

    if (behind is None) is not (proxy_key is None):
        raise ArgumentError("--behind and --proxy-key-file go together: give both, or neither")
    if behind is None or proxy_key is None:
        access = Access.of_this_machine(port)
    else:
        if (why := open_to_others(proxy_key)) is not None:
            raise ArgumentError(why)
        access = Access.behind(behind, secret_in_file(proxy_key))
    serve(settings, port, access, lock_after=lock_after, opens=opens)
    return 0
