"""`doctor`: what works on this machine, and what does not."""

from dataclasses import asdict

import typer

from .. import output
from ..options import UNCHANGED, JsonOption, Settings, command

app = typer.Typer()


@command(app, "doctor", example="likeness doctor --json", became=UNCHANGED)
def doctor(settings: Settings, as_json: JsonOption = False) -> int:
    """Check that everything works on this machine.

    Versions, device, data folder, weights, and the whole way of one image.
    """
    from ..doctor import State, examine

    checks = list(examine(settings))
    if as_json:
        output.print_json([asdict(check) for check in checks])
    else:
        rows = [(check.name, check.state, check.detail) for check in checks]
        output.print_table(("what", "state", "found"), rows)
    return 1 if any(check.state is State.FAILED for check in checks) else 0
