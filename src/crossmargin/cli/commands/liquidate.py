"""`crossmargin liquidate`: what would be closed, in which order, at what cost."""

from __future__ import annotations

from pathlib import Path

import click

from crossmargin.cli import calls, options
from crossmargin.cli import output as output_of
from crossmargin.cli.changes import parse_rate
from crossmargin.cli.exit_codes import ExitCode

_HELP = """Which pools of ACCOUNTS are liquidated at the market in SNAPSHOT, and what would be closed.

In which order and at what cost: under the venue's procedure, and under the cheapest plan that reaches the same end.

\b
--procedure  whose procedure: a rulebook's name or document; the rulebook's own
--depth      recorded order books: {"books": {"BTC-PERPETUAL": {"bids": [[price, contracts], ...], "asks": [...]}}}
--hedge      'BTC-PERPETUAL:5': the plan may open up to so many contracts, on either side
--lot        'BTC-PERPETUAL:0.1': the smallest number that trades
--state      'gas=5': a figure that the procedure's inputs name

What no order book says is a stated model: half the spread and 0.7 of a day's volatility times the root of what is
traded over a day's volume. Books do not refill between rounds.
"""


@click.command(help=_HELP)
@options.inputs
@options.rulebook
@click.option("--account", "-a", "names", metavar="ID", multiple=True, help="This account, liquidated or not; repeat.")
@click.option("--procedure", "-p", metavar="NAME[@DATE]|FILE.toml", help="Another rulebook's procedure.")
@click.option("--depth", type=click.Path(path_type=Path), metavar="FILE", help="Recorded order books.")
@click.option("--hedge", "hedges", multiple=True, metavar="SYMBOL:CONTRACTS", help="What the plan may open; repeat.")
@click.option("--lot", "lots", multiple=True, metavar="SYMBOL:CONTRACTS", help="Smallest trade; repeat.")
@click.option("--state", "stated", multiple=True, metavar="NAME=NUMBER", help="Input of the procedure; repeat.")
@click.option(
    "--spread", default="5bp", show_default=True, metavar="RATE", help="Half the spread where none is quoted."
)
@click.option("--option-spread", default="2%", show_default=True, metavar="RATE", help="The same of options' premium.")
@click.option("--volume", default=1e8, show_default=True, metavar="MONEY", help="A day's, where none is stated.")
@click.option("--fee", default="5bp", show_default=True, metavar="RATE", help="Of what a trade pays.")
@options.age
@options.output("table", "json", "html")
def command(  # noqa: PLR0917  # click passes them by keyword
    accounts: Path,
    snapshot: Path,
    rulebook: str,
    names: tuple[str, ...],
    procedure: str | None,
    depth: Path | None,
    hedges: tuple[str, ...],
    lots: tuple[str, ...],
    stated: tuple[str, ...],
    spread: str,
    option_spread: str,
    volume: float,
    fee: str,
    max_quote_age: float,
    form: str,
    output: Path | None,
) -> int:
    """What would be closed, in which order, at what cost."""
    from crossmargin.cli import liquidate_calls
    from crossmargin.liquidation import CostModel, PlanOptions

    loaded = calls.load(accounts, snapshot)
    rules = calls.rulebook(rulebook, loaded.snapshot)
    model = CostModel(
        spread=parse_rate(spread, "--spread"),
        option_spread=parse_rate(option_spread, "--option-spread"),
        volume=volume,
        fee=parse_rate(fee, "--fee"),
    )
    followed = (rules if procedure is None else calls.rulebook(procedure, loaded.snapshot)).procedure
    asked = liquidate_calls.Asked(
        procedure=followed,
        model=model,
        options=PlanOptions(hedges=liquidate_calls.parse_amounts(hedges, "--hedge")),
        lots=liquidate_calls.parse_amounts(lots, "--lot"),
        stated=liquidate_calls.parse_stated(stated, followed),
        depth=depth,
    )
    chosen = calls.choose(loaded, names)
    with output_of.working(f"closing out {len(chosen.accounts)} accounts"):
        found = liquidate_calls.closed(chosen, rules, asked, max_quote_age, every=bool(names))
    if form == "json":
        output_of.emit(output_of.to_json(liquidate_calls.document(found, rules)), output)
    elif form == "html":
        from crossmargin.cli.html_liquidate import html_liquidate

        output_of.emit(html_liquidate(found), output)
    else:
        from crossmargin.cli.tables.liquidate import liquidate_tables

        output_of.show(liquidate_tables(found), output)
    refused = sum(row.failure is not None for row in found.rows)
    if refused:
        return ExitCode.INPUT_REFUSED if refused == len(found.rows) and names else ExitCode.SOME_REFUSED
    return ExitCode.OK
