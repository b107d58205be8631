"""`crossmargin schema`: the documents' JSON Schema."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls
from crossmargin.cli import output as output_of

NAMES = ("accounts", "snapshot", "report", "book")


@click.command()
@click.argument("name", type=click.Choice(NAMES), metavar="|".join(NAMES))
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write here.")
def command(name: str, output: Path | None) -> None:
    """JSON Schema of an input document (accounts, snapshot) or an output (report, book)."""
    output_of.emit(output_of.to_json(calls.schema(name)), output)
