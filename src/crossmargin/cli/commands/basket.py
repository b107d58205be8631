"""`crossmargin basket`: trades that belong together, as one."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import changes as language
from crossmargin.cli import output as output_of


@click.command()
@options.inputs
@options.rulebook
@options.one_account
@click.option(
    "--leg",
    "legs",
    multiple=True,
    required=True,
    metavar="SYMBOL:QUANTITY[@PRICE]",
    help="One trade of the basket, at the mark if no price; repeat, up to ten.",
)
@click.option(
    "--fee",
    default="0",
    show_default=True,
    metavar="RATE",
    help="Fee of the trades as a rate of their notional, as in 0.05% or 5bp.",
)
@options.age
@options.output("table", "json")
def command(  # noqa: PLR0917  # click passes them by keyword
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    account: str | None,
    legs: tuple[str, ...],
    fee: str,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> None:
    """A basket of trades as one: its requirement, each leg's part in it, and the order that needs least between.

    All legs at once: what a venue requires that accepts the combination as a whole. Leg by leg: what the account needs
    on the way, as listed and in the best order.
    """
    from crossmargin.analysis.basket import basket

    trades = [language.parse_trade(text, "--leg") for text in legs]
    rate = language.parse_fee(fee)
    loaded = calls.load(accounts, snapshot)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    found = basket(
        calls.choose_one(loaded, account),
        loaded.snapshot,
        rules,
        [(trade.instrument, trade.quantity, trade.price) for trade in trades],
        fee_rate=rate,
        max_quote_age_seconds=max_quote_age,
    )
    if form == "json":
        output_of.emit(output_of.to_json(calls.stamped(as_of=loaded.snapshot.as_of, basket=found)), output)
        return
    from crossmargin.cli.tables.basket import basket_tables

    output_of.show(basket_tables(found), output)
