"""`crossmargin reconcile`: computed figures against reported ones."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options, reconcile_calls
from crossmargin.cli import output as output_of

_SOURCES = ("auto", "binance", "ccxt", "deribit", "okx")


@click.command()
@options.inputs
@click.option(
    "--reported",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="What the venue answered, as it was sent, in place of the account's `reported` block. May be repeated.",
)
@click.option(
    "--reported-from",
    type=click.Choice(_SOURCES),
    default=_SOURCES[0],
    show_default=True,
    help="Whose answer it is; recognised by what it holds.",
)
@options.rulebook
@options.one_account
@options.age
@options.output("table", "json")
def command(
    accounts: Path,
    snapshot: Path,
    *,
    reported: tuple[Path, ...],
    reported_from: str,
    rulebook: str,
    account: str | None,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> None:
    """What the venue reported beside what the rulebook gives, and the difference, figure by figure.

    Reads the account's `reported` block, or the answers that the venue itself gave. A figure that was not reported
    stays empty; a reported 0 is a 0.
    """
    loaded = calls.load(accounts, snapshot)
    chosen = calls.choose_one(loaded, account)
    if reported:
        chosen = reconcile_calls.with_reported(chosen, reported, reported_from)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    computed, rows = reconcile_calls.reconciliation(chosen, loaded.snapshot, rules, max_quote_age)
    notes = reconcile_calls.notes(chosen)
    if form == "json":
        document = calls.stamped(
            rulebook=computed.rulebook, as_of=computed.as_of, account=chosen.id, rows=rows, notes=notes
        )
        output_of.emit(output_of.to_json(document), output)
        return
    from crossmargin.cli.tables.reconcile import reconciliation_tables

    output_of.show(reconciliation_tables(computed, rows, notes), output)
