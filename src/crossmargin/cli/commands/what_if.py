"""`crossmargin what-if`: one account before and after changes."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import changes as language
from crossmargin.cli import output as output_of

_HELP = """One account before and after trades, orders, deposits and a shock of the market.

\b
--add     'BTC-PERPETUAL:+10'  or  'BTCUSDT:-0.5@71000'
--order   'BTCUSDT:-5@70000'
--deposit 'USDC:+1000'
--shock   'BTC=-20%,vol=+30%,time=+1d,USDT=-2%,funding=+0.01%'
--fee     '0.05%'  or  '5bp'

Price and vol moves are relative; time moves forward, past an expiry too (an option is then worth its intrinsic value);
an asset that is pegged or wraps another moves against it.
"""


@click.command(help=_HELP)
@options.inputs
@options.rulebook
@options.one_account
@click.option("--add", "adds", multiple=True, metavar="SYMBOL:QUANTITY[@PRICE]", help="Trade, at the mark if no price.")
@click.option("--order", "orders", multiple=True, metavar="SYMBOL:QUANTITY@LIMIT", help="Open order.")
@click.option("--deposit", "deposits", multiple=True, metavar="ASSET:AMOUNT", help="Deposit; negative withdraws.")
@click.option("--shock", "shocks", multiple=True, metavar="NAME=MOVE,...", help="Joint shock of the market.")
@click.option("--fee", default="0", show_default=True, metavar="RATE", help="Fee of the trades, of their notional.")
@options.age
@options.output("table", "json")
def command(  # noqa: PLR0917  # click passes them by keyword
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    account: str | None,
    adds: tuple[str, ...],
    orders: tuple[str, ...],
    deposits: tuple[str, ...],
    shocks: tuple[str, ...],
    fee: str,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> None:
    """One account before and after trades, orders, deposits and a shock of the market."""
    wanted = calls.Wanted(
        trades=tuple(language.parse_trade(text) for text in adds),
        orders=tuple(language.parse_order(text) for text in orders),
        deposits=language.parse_deposits(deposits),
        moves=language.parse_shock(shocks),
        fee=language.parse_fee(fee),
    )
    if wanted == calls.Wanted():
        raise click.UsageError("nothing to change: give --add, --order, --deposit or --shock")
    loaded = calls.load(accounts, snapshot)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    found = calls.what_if(calls.choose_one(loaded, account), loaded.snapshot, rules, wanted, max_quote_age)
    if form == "json":
        output_of.emit(output_of.to_json(calls.what_if_document(found)), output)
        return
    from crossmargin.cli.tables.what_if import what_if_tables

    output_of.show(what_if_tables(found.before, found.after), output)
