"""`crossmargin overview`: accounts at several venues in one view."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of
from crossmargin.cli.exit_codes import ExitCode

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("snapshot", type=_FILE)
@click.option(
    "--venue",
    "venues",
    type=(str, _FILE, str),
    multiple=True,
    required=True,
    metavar="LABEL ACCOUNTS RULEBOOK",
    help="Accounts at one venue and the rulebook they stand under; repeat.",
)
@options.age
@options.output("table", "json")
def command(
    snapshot: Path, venues: tuple[tuple[str, Path, str], ...], max_quote_age: float, form: str, output: Path | None
) -> int:
    """Accounts at several venues in one view, each under its own rulebook.

    A surplus at one venue does not cover a shortfall at another: both are summed, apart. Nothing counts twice.
    """
    from crossmargin.analysis.overview import Venue, overview

    loaded = [(label, calls.load(path, snapshot), rules) for label, path, rules in venues]
    market = loaded[0][1].snapshot
    refused = [(label, failure) for label, one, _ in loaded for failure in one.unreadable]
    view = overview(
        [Venue(label, one.accounts, calls.rulebook(rules, market)) for label, one, rules in loaded],
        market,
        max_quote_age_seconds=max_quote_age,
    )
    if form == "json":
        failures = [{"venue": label, **asdict(failure)} for label, failure in refused]
        document = calls.stamped(as_of=market.as_of, overview=view, failures=failures)
        output_of.emit(output_of.to_json(document), output)
    else:
        from crossmargin.cli.tables.overview import overview_tables

        output_of.show(overview_tables(view, refused), output)
    bad = len(refused) + sum(row.failure is not None for row in view.rows)
    if not bad:
        return ExitCode.OK
    return ExitCode.SOME_REFUSED if any(row.failure is None for row in view.rows) else ExitCode.INPUT_REFUSED
