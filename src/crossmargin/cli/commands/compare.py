"""`crossmargin compare`: one account under several rulebooks."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of
from crossmargin.cli.exit_codes import ExitCode


@click.command()
@options.inputs
@click.option(
    "--rulebook",
    "-r",
    "specs",
    multiple=True,
    metavar="NAME[@DATE]|FILE.toml",
    help="A rulebook of the comparison; repeat. Without it: each that is shipped.",
)
@options.one_account
@options.age
@options.output("table", "json", "html")
def command(
    accounts: Path,
    snapshot: Path,
    specs: tuple[str, ...],
    account: str | None,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> int:
    """One account under several rulebooks: required capital, requirements, headroom, and what drives the differences.

    A rulebook that refuses the account is a row with its reason.
    """
    loaded = calls.load(accounts, snapshot)
    chosen = calls.choose_one(loaded, account)
    market = loaded.snapshot
    rules = [calls.rulebook(spec, market) for spec in specs] or calls.in_force(market)
    with output_of.working(f"comparing {len(rules)} rulebooks"):
        rows = calls.comparison(chosen, market, rules, max_quote_age)
    if form == "json":
        document = calls.stamped(account=chosen.id, as_of=market.as_of, rows=rows)
        output_of.emit(output_of.to_json(document), output)
    elif form == "html":
        from crossmargin.cli.html_compare import html_compare

        output_of.emit(html_compare(chosen.id, market.as_of, rows), output)
    else:
        from crossmargin.cli.tables.compare import comparison_tables

        output_of.show(comparison_tables(chosen.id, rows), output)
    return ExitCode.INPUT_REFUSED if rows and all(row.failure for row in rows) else ExitCode.OK
