"""`crossmargin conformance`: published cases, reproduced."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of
from crossmargin.cli.exit_codes import ExitCode


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.output("table", "json")
def command(directory: Path, form: str, output: Path | None) -> int:
    """Reproduce the published cases in DIRECTORY, family by family, to the tolerance of each file.

    Ends with 5 where a case of a known family is not reproduced; unknown families are listed, not failed.
    """
    with output_of.working("reproducing cases"):
        found = calls.conformance(directory)
    if form == "json":
        output_of.emit(output_of.to_json(calls.stamped(**found)), output)
    else:
        from crossmargin.cli.tables.conformance import conformance_tables

        output_of.show(conformance_tables(found), output)
    failed = any(family["failures"] for family in found["families"])
    return ExitCode.DIFFERENCES if failed else ExitCode.OK
