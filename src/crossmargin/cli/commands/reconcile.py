"""`crossmargin reconcile`: computed figures against reported ones."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of


@click.command()
@options.inputs
@options.rulebook
@options.one_account
@options.age
@options.output("table", "json")
def command(
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    account: str | None,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> None:
    """What the venue reported beside what the rulebook gives, and the difference, figure by figure.

    Reads the account's `reported` block. A figure that was not reported stays empty; a reported 0 is a 0.
    """
    loaded = calls.load(accounts, snapshot)
    chosen = calls.choose_one(loaded, account)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    computed, rows = calls.reconciliation(chosen, loaded.snapshot, rules, max_quote_age)
    if form == "json":
        document = calls.stamped(rulebook=computed.rulebook, as_of=computed.as_of, account=chosen.id, rows=rows)
        output_of.emit(output_of.to_json(document), output)
        return
    from crossmargin.cli.tables.compare import reconciliation_table

    output_of.show([reconciliation_table(computed, rows)], output)
