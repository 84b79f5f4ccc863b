"""`evaluate`: how good recognition is, on photographs whose people are known."""

import typer

app = typer.Typer()
_group = typer.Typer(help="Measure how good recognition is.")
app.add_typer(_group, name="evaluate")
