"""Groups of commands that several modules add to."""

import typer

people = typer.Typer(help="See, rename and delete who is enrolled.")
gallery = typer.Typer(
    help="Keep, check, encrypt and move the gallery; others may use it meanwhile."
)
