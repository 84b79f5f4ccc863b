"""Groups of commands that several modules add to."""

import typer

people = typer.Typer(help="See, rename and delete who is enrolled.")
gallery = typer.Typer(help="Encrypt the gallery, and see what was done in it.")
